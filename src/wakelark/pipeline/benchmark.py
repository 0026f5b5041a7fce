"""`wakelark benchmark`: wakelark models and published ones on the same audio, in one run."""

from __future__ import annotations

import json
import os
import platform
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from wakelark import __version__
from wakelark.audio import SAMPLE_RATE, BadAudio, Int16Array, printable
from wakelark.corpus.cache import write_atomically
from wakelark.errors import ConfigError, DataError
from wakelark.evaluation.benchmark_chart import benchmark_chart
from wakelark.evaluation.benchmark_figures import benchmark_figures
from wakelark.evaluation.benchmark_tables import benchmark_markdown
from wakelark.evaluation.groups import ScoredClip
from wakelark.evaluation.operating_point import BUDGETS
from wakelark.peers.live import LiveCost, measure_live
from wakelark.peers.scorer import WAKELARK, as_int16
from wakelark.pipeline.backgrounds import negative_sources, noise_source
from wakelark.pipeline.breakdown import check_snr
from wakelark.pipeline.clip_lists import clip_source, read_clips
from wakelark.pipeline.contenders import Contender, choose_contenders
from wakelark.pipeline.evaluate import EVENT_FLOOR
from wakelark.pipeline.scoring import Progress, score_clips, score_streams
from wakelark.pipeline.sources import ClipSource, NoiseSource, StreamSource

LIVE_S = 20
"""Audio of a cost measurement's round."""
LIVE_ROUNDS = 3
LIVE_PROCESSES = 3
"""Each model gets so many processes, in turns with the others: what else the machine does must not hit one alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchmarkRequest:
    """What `benchmark` is to do.

    Attributes:
        models: files for the same phrase, the wakelark ones.
        judge: a model that judges the others of `models`, as further detectors; None for no judge.
        peers: further files; None for the published models in installed packages.
        positives: a folder of clips with the phrase, or a text file with one path per line; None for the synthetic
            test clips of the run that the first model lies in.
        negatives: the same of recordings without it; None for the test-role recordings in the cache.
        snr_db: level of the speech over noise, for a second set of figures; None for clean ones only.
        seed: of near-silence, noise and bootstrap.
        workers: processes.
    """

    models: tuple[Path, ...]
    judge: Path | None = None
    peers: tuple[Path, ...] | None = None
    positives: Path | None = None
    negatives: Path | None = None
    snr_db: float | None = None
    seed: int = 0
    workers: int = 1


def benchmark(request: BenchmarkRequest, *, progress: Progress) -> dict[str, Any]:
    """Measure all models; the keys are in docs/benchmark.md. All but `cost` is the same every time.

    Raises:
        ModelError: a model cannot be used.
        SetupError: a package that runs one, or that brings published ones, is not installed.
        DataError: no usable positive clip, no negative audio, or a given folder without audio.
        ConfigError: models for different phrases, too many, or no positives given and no run to take them from.
    """
    if request.snr_db is not None:
        check_snr(request.snr_db)
    contenders, warnings = choose_contenders(request.models, request.judge, request.peers)
    clips, positives_from = _positives(request)
    streams = negative_sources(request.negatives)
    if not streams:
        raise DataError("no recordings without the phrase: run `wakelark fetch`, or use --negatives")
    costs = _costs(contenders, _live_audio(streams), progress)
    refused: dict[Path, BadAudio] = {}
    with tempfile.TemporaryDirectory(prefix="wakelark-noise-") as folder:
        noise, _ = noise_source(None, request.snr_db, Path(folder))
        rows = [_measure(contender, clips, streams, noise, request, refused, progress) for contender in contenders]
    hours = rows[0]["realised"]["hours"]
    few = [budget for budget in BUDGETS if int(budget * hours + 1e-9) == 0]
    if few:
        rates = ", ".join(f"{budget:g}" for budget in few)
        warnings.append(f"{hours:.2f} hours are too few for {rates} per hour: not one false alarm is allowed there")
    return {
        "phrase": contenders[0].facts.phrase,
        "seed": request.seed,
        "positives": rows[0]["realised"]["positives"],
        "positives_from": positives_from,
        "hours": hours,
        "snr_db": request.snr_db,
        "models": rows,
        "versions": _versions(contenders),
        "warnings": warnings,
        "skipped": [{"file": printable(path), "reason": error.reason} for path, error in refused.items()],
        "cost": _cost_summary(contenders, costs),
    }


def write_benchmark(result: dict[str, Any], folder: Path) -> list[Path]:
    """Write `benchmark.json`, `benchmark.md` and `benchmark.svg`; returns the files."""
    folder.mkdir(parents=True, exist_ok=True)
    title = f'"{result["phrase"]}": missed at equal false alarms'
    texts = {
        "benchmark.json": json.dumps(result, indent=1, allow_nan=False) + "\n",
        "benchmark.md": benchmark_markdown(result),
        "benchmark.svg": benchmark_chart(result["models"], title=title, snr_db=result["snr_db"]),
    }
    for name, text in texts.items():
        write_atomically(folder / name, text.encode())
    return [folder / name for name in texts]


def _positives(request: BenchmarkRequest) -> tuple[list[ClipSource], str]:
    if request.positives is not None:
        return list(read_clips(request.positives, split="test", label=1).sources), printable(request.positives.name)
    manifest = request.models[0].parent / "corpus" / "manifest.jsonl"
    if not manifest.is_file():
        raise ConfigError(
            f"{printable(request.models[0])} does not lie in a run's folder, so there are no test clips to take: "
            "give recordings of the phrase with --positives"
        )
    from wakelark.corpus.manifest import read_manifest

    clips = [clip_source(clip) for clip in read_manifest(manifest) if clip.split == "test" and clip.label == 1]
    if not clips:
        raise DataError(f"{printable(manifest)} holds no test clips of the phrase; give some with --positives")
    return clips, "synthetic test voices of the run, whose engines the wakelark model has trained on"


def _live_audio(streams: Sequence[StreamSource]) -> Int16Array:
    """The first seconds of the recordings, for the cost."""
    wanted = LIVE_S * SAMPLE_RATE
    pieces: list[Int16Array] = [np.zeros(0, np.int16)]
    for stream in streams:
        try:
            # A block is a minute of a cached recording, seconds of a file.
            pieces += [as_int16(block) for block in islice(stream.blocks(), LIVE_S)]
        except BadAudio:  # told when it is scored
            continue
        if sum(map(len, pieces)) >= wanted:
            break
    audio = np.concatenate(pieces)
    if not len(audio):
        raise DataError("not one of the recordings without the phrase can be read; give others with --negatives")
    return np.tile(audio, -(-wanted // len(audio)))[:wanted]


def _costs(contenders: Sequence[Contender], audio: Int16Array, progress: Progress) -> dict[str, LiveCost]:
    costs: dict[str, LiveCost] = {}
    total = LIVE_PROCESSES * len(contenders)
    for number in range(total):
        progress(number, total, "costs measured")
        contender = contenders[number % len(contenders)]
        cost = measure_live(contender.listener, audio, rounds=LIVE_ROUNDS)
        costs[contender.name] = cost.best(costs.get(contender.name, cost))
    progress(total, total, "costs measured")
    return costs


def _measure(
    contender: Contender,
    clips: Sequence[ClipSource],
    streams: Sequence[StreamSource],
    noise: NoiseSource | None,
    request: BenchmarkRequest,
    refused: dict[Path, BadAudio],
    progress: Progress,
) -> dict[str, Any]:
    def report(done: int, total: int, what: str) -> None:
        progress(done, total, f"{contender.name}: {what}")

    def scored(under: NoiseSource | None) -> list[ScoredClip]:
        found, unread = score_clips(
            contender.listener, clips, noise=under, seed=request.seed, workers=request.workers, progress=report
        )
        if not found:
            raise DataError(f"none of the {len(clips)} clips with the phrase can be used: {unread[0]}")
        refused.update({error.path: error for error in unread})
        return found

    clean, noisy = scored(None), None if noise is None else scored(noise)
    heard, unheard = score_streams(
        contender.listener, streams, floor=EVENT_FLOOR, workers=request.workers, progress=report
    )
    refused.update({error.path: error for error in unheard})
    facts = contender.facts
    return {
        "name": contender.name,
        "file": printable(contender.listener.model.name),
        "family": facts.family,
        "runtime": facts.runtime,
        "size_bytes": facts.size_bytes,
        "shared_bytes": facts.shared_bytes,
        "step_s": facts.step_s,
        "threshold": facts.threshold,
        "smoothing_steps": facts.smoothing_steps,
    } | benchmark_figures(clean, noisy, heard, threshold=facts.threshold, floor=EVENT_FLOOR, seed=request.seed)


def _versions(contenders: Sequence[Contender]) -> dict[str, str]:
    packages = {one.facts.runtime for one in contenders} | {"numpy", "onnxruntime"}
    return {"wakelark": __version__} | {name: version(name) for name in sorted(packages - {"wakelark"})}


def _cost_summary(contenders: Sequence[Contender], costs: dict[str, LiveCost]) -> dict[str, Any]:
    own = [one.name for one in contenders if one.facts.family == WAKELARK]
    peers = [one.name for one in contenders if one.facts.family != WAKELARK]
    return {
        "models": {name: asdict(cost) for name, cost in costs.items()},
        "cpu_ratios": [
            {"model": name, "peer": peer, "ratio": costs[name].cpu_s_per_s / costs[peer].cpu_s_per_s}
            for name in own
            for peer in peers
        ],
        "processes": LIVE_PROCESSES,
        "machine": {
            "system": platform.system(),
            "machine": platform.machine(),
            "python": platform.python_version(),
            "cores": os.cpu_count(),
        },
    }
