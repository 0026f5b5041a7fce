"""Stage "report": both written model files, run over the test clips and test recordings."""

from __future__ import annotations

import dataclasses
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from wakelark import __version__
from wakelark.audio import SAMPLE_RATE
from wakelark.config import Config
from wakelark.corpus.cache import cache_folder, write_atomically
from wakelark.corpus.clip import Clip
from wakelark.errors import DataError
from wakelark.evaluation.groups import ScoredClip
from wakelark.evaluation.report import MeasuredModel, RunFacts, build_report
from wakelark.model_card import ModelCard
from wakelark.pipeline.corpus import Corpus
from wakelark.pipeline.development import clips_in_a_row
from wakelark.pipeline.evaluate import EVENT_FLOOR, clip_source, stream_source, test_noise
from wakelark.pipeline.report_page import synthetic_stream, write_page
from wakelark.pipeline.retraining import Verdict
from wakelark.pipeline.rounds import Round
from wakelark.pipeline.run_folder import RunFolder
from wakelark.pipeline.scoring import ClipSource, NoiseSource, StreamSource, score_clips, score_streams
from wakelark.pipeline.teacher_quality import TeacherQuality
from wakelark.training.clip_audio import ClipReader
from wakelark.training.stream_features import Progress
from wakelark.training.training_loop import TrainingResult

NOISE_SNR_DB = 10.0
NEAR_MISS_KINDS = ("near_miss", "partial", "swap")


def write_report(
    config: Config,
    folder: RunFolder,
    corpus: Corpus,
    result: TrainingResult,
    *,
    export: Mapping[str, Mapping[str, float]],
    mined: Sequence[Clip],
    rounds: Sequence[Round],
    verdicts: Sequence[Verdict],
    quality: TeacherQuality | None,
    warnings: Sequence[str],
    progress: Progress,
) -> dict[str, object]:
    """Measure both files and write `report.json` and `report.html`; returns the report.

    Args:
        config, folder, corpus: of the run.
        result: of the student's training.
        export: "accurate" and "tiny" -> what is known of the file's export.
        mined: clips of the rounds inside the training.
        rounds: what happened in them.
        verdicts: on a run that was trained anew: its models before and after.
        quality: teacher and student in development.
        warnings: of the stages.
        progress: called with (done, total, what).
    """
    positives = [clip_source(clip) for clip in corpus.of("test") if clip.label == 1]
    near = [clip_source(clip) for clip in corpus.of("test", *NEAR_MISS_KINDS)]
    streams = [stream_source(stream) for stream in corpus.roles("test")] or _synthetic_stream(corpus, folder)
    # Of this run's recordings, not of whatever else lies in the cache: the figures follow from the configuration.
    noise = test_noise(NOISE_SNR_DB, corpus.roles("test"))
    models = [
        _measure(config, path, positives, near, streams, noise=noise, name=name, progress=progress)
        for name, path in (("accurate", folder.accurate), ("tiny", folder.tiny))
    ]
    facts = RunFacts(
        phrase=config.phrase,
        preset=config.preset,
        created=folder.created,
        wakelark_version=__version__,
        stages=folder.stages(),
        distillation={
            "enabled": config.distillation.enabled,
            "alpha": config.distillation.alpha,
            "temperature": config.distillation.temperature,
            "share": result.distilled_share,
            "why": result.why_not_distilled,
            "quality": None if quality is None else quality.facts(),
        },
        clips=[*corpus.clips, *mined],
        hours=_hours(corpus),
        pretrained=[
            {"name": item.name, "licence": item.licence, "note": item.note}
            for item in _card(folder.accurate).pretrained
        ],
        warnings=[
            *(text for verdict in verdicts if (text := verdict.warning())),
            *warnings,
            *(quality.warnings() if quality else ()),
        ],
        facts=corpus.facts
        | {
            "mining": [_round(entry) for entry in rounds],
            "export": export,
            "retraining": [verdict.facts() for verdict in verdicts],
        },
    )
    report = build_report(facts, models, seed=config.seed)
    write_atomically(folder.report, json.dumps(report, indent=1, allow_nan=False).encode())
    # Audio that is gone since it was scored is missing on the page, which says so in its place.
    write_page(folder, report, [*positives, *near], streams, seed=config.seed, progress=progress)
    return report


def _measure(
    config: Config,
    path: Path,
    positives: Sequence[ClipSource],
    near: Sequence[ClipSource],
    streams: Sequence[StreamSource],
    *,
    noise: NoiseSource,
    name: str,
    progress: Progress,
) -> MeasuredModel:
    card = _card(path)
    workers, seed = config.training.processes, config.seed

    def report_progress(done: int, total: int, what: str) -> None:
        progress(done, total, f"{name}: {what}")

    def scored(clips: Sequence[ClipSource], noise: NoiseSource | None) -> list[ScoredClip]:
        found, refused = score_clips(path, clips, noise=noise, seed=seed, workers=workers, progress=report_progress)
        if refused:
            raise DataError(f"a test clip cannot be read: {refused[0]}; run again with --resume, which makes it anew")
        return found

    clean, noisy, close = scored(positives, None), scored(positives, noise), scored(near, None)
    heard, unheard = score_streams(path, streams, floor=EVENT_FLOOR, workers=workers, progress=report_progress)
    if unheard:
        raise DataError(f"a test recording cannot be read: {unheard[0]}; run `wakelark fetch`, then --resume")
    return MeasuredModel(
        name=name, file=path.name, size_bytes=path.stat().st_size, parameters=card.parameters,
        step_s=card.step_samples / SAMPLE_RATE, threshold=card.threshold, fa_per_hour=card.fa_per_hour,
        positives=clean, noisy_positives=noisy, snr_db=NOISE_SNR_DB, near_misses=close, streams=heard,
        floor=EVENT_FLOOR,
    )  # fmt: skip


def _card(path: Path) -> ModelCard:
    return ModelCard.from_json(path.with_name(path.name + ".json").read_text(encoding="utf-8"))


def _synthetic_stream(corpus: Corpus, folder: RunFolder) -> list[StreamSource]:
    """Without test recordings: the sentences of the test voices, one after the other, labelled synthetic."""
    audio = clips_in_a_row(corpus.of("test", "sentence"), ClipReader(cache_folder()), seed=[7])
    if not audio.size:
        return []
    stream = synthetic_stream(folder)
    buffer = io.BytesIO()
    np.save(buffer, audio)
    write_atomically(stream.path, buffer.getvalue())
    return [stream]


def _hours(corpus: Corpus) -> dict[str, dict[str, float]]:
    hours: dict[str, dict[str, float]] = {}
    for stream in corpus.streams:
        kinds = hours.setdefault(stream.role, {})
        kinds[stream.kind] = round(kinds.get(stream.kind, 0.0) + stream.seconds / 3600, 3)
    return hours


def _round(entry: Round) -> Mapping[str, object]:
    return dataclasses.asdict(entry) | {"kept": entry.kept}
