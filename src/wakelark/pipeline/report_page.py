"""`report.html` of a run: written at its end, and anew from what lies in its folder and in the cache."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from wakelark.config_file import load_config
from wakelark.corpus.cache import cache_folder, write_atomically
from wakelark.corpus.clip import Clip
from wakelark.corpus.manifest import read_manifest
from wakelark.corpus.streams import read_stream
from wakelark.errors import DataError
from wakelark.evaluation.page.whole import report_page
from wakelark.pipeline.clip_lists import clip_source
from wakelark.pipeline.evaluate import stream_source
from wakelark.pipeline.run_folder import RunFolder
from wakelark.pipeline.snippets import Progress, make_snippets
from wakelark.pipeline.sources import ClipSource, StreamSource
from wakelark.runtime.detector import Detector

SYNTHETIC_STREAM = "synthetic sentences"


def write_page(
    folder: RunFolder,
    report: Mapping[str, Any],
    clips: Sequence[ClipSource],
    streams: Sequence[StreamSource],
    *,
    seed: int,
    progress: Progress,
) -> list[str]:
    """Write `report.html` from a report and the audio it names; returns which audio could not be had.

    Args:
        folder: of the run: its models say again what they made of each sound, its metrics give the curves.
        report: what `report.json` holds.
        clips: all clips that it may name.
        streams: all recordings that it may name.
        seed: of the run.
        progress: called with (sounds done, sounds, what).

    Raises:
        ModelError: a model file of the run cannot be used.
        SetupError: the page cannot be written.
    """
    detectors = {entry["name"]: Detector.load(folder.root / entry["file"]) for entry in report["models"]}
    if report["judged"] is not None:
        detectors[report["judged"]["name"]] = Detector.load(folder.tiny, judge=folder.accurate)
    snippets, problems = make_snippets(report, detectors, clips, streams, seed=seed, progress=progress)
    page = report_page(report, metrics=_metrics(folder), snippets=snippets)
    write_atomically(folder.report_html, page.encode())
    return problems


def rewrite_page(folder: RunFolder, *, progress: Progress) -> list[str]:
    """Write `report.html` of a finished run anew, from its `report.json`; returns which audio could not be had.

    Raises:
        ConfigError: the folder holds no run.
        DataError: the run has no `report.json` yet, or its manifest is damaged.
        ModelError, SetupError: see `write_page`.
    """
    folder.check_run()
    if not folder.report.is_file():
        raise DataError(
            f"{folder.root} has no report.json: the run is not finished. Go on with: {folder.resume_command}"
        )
    report = json.loads(folder.report.read_text(encoding="utf-8"))
    lines = [clip for clip in read_manifest(folder.manifest) if clip.split == "test"]
    clips = [clip_source(clip) for clip in lines if not clip.is_stream]
    streams = [*_recordings(lines), synthetic_stream(folder)]
    config = load_config(folder.config, overrides=[], preset=None)
    return write_page(folder, report, clips, streams, seed=config.seed, progress=progress)


def synthetic_stream(folder: RunFolder) -> StreamSource:
    """What stands for recordings where there are none: sentences of the test voices, labelled synthetic."""
    path = folder.root / "corpus" / "synthetic-test.npy"
    return StreamSource(name=SYNTHETIC_STREAM, path=path, kind="speech", synthetic=True)


def _recordings(lines: Sequence[Clip]) -> list[StreamSource]:
    """The recordings among a manifest's lines that are in the cache."""
    found = [read_stream((cache_folder() / clip.path).with_suffix(".json")) for clip in lines if clip.is_stream]
    return [stream_source(stream) for stream in found if stream is not None]


def _metrics(folder: RunFolder) -> list[dict[str, object]]:
    lines = folder.metrics.read_text(encoding="utf-8").splitlines() if folder.metrics.is_file() else []
    return [json.loads(line) for line in lines]
