"""`wakelark evaluate`: a model file against clips with the phrase and recordings without it."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from wakelark.audio import SAMPLE_RATE, BadAudio, printable, stream_audio, to_int16
from wakelark.corpus import recordings
from wakelark.corpus.cache import cache_folder
from wakelark.corpus.packages import kind_of_audio
from wakelark.corpus.streams import Stream
from wakelark.errors import ConfigError, DataError
from wakelark.evaluation.groups import (
    ScoredClip,
    ScoredStream,
    alarm_figures,
    alarm_groups,
    det_curve,
    miss_figures,
    miss_groups,
    total_hours,
)
from wakelark.evaluation.operating_point import BUDGETS, DetCurve
from wakelark.pipeline.breakdown import Condition, Heard, breakdown
from wakelark.pipeline.clip_lists import ClipList, listed_files, read_clips
from wakelark.pipeline.clip_measures import measure_clips
from wakelark.pipeline.scoring import NoiseSource, Progress, StreamSource, score_clips, score_streams
from wakelark.runtime.detector import Detector

EVENT_FLOOR = 1e-5
"""Quieter events are not kept: nobody sets a threshold there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationRequest:
    """What `evaluate` is to do.

    Attributes:
        model: a wakelark model file.
        positives: a folder of clips with the phrase, a text file with one path per line, or a run's manifest.
        negatives: a folder or list of recordings without it; None for the test-role recordings in the cache.
        near_misses: clips that only sound like the phrase, as `positives`; None for those of the manifest, if any.
        split: which split of a manifest is heard.
        noise: a folder or list of noise to put under the positives; None for test-role music and coloured noise.
        conditions: how the positives are played; the first one is that of the main figures.
        threshold: instead of the model's own.
        seed: of near-silence, noise and bootstrap.
        workers: processes.
    """

    model: Path
    positives: Path
    negatives: Path | None = None
    near_misses: Path | None = None
    split: str = "test"
    noise: Path | None = None
    conditions: Sequence[Condition] = (Condition(),)
    threshold: float | None = None
    seed: int = 0
    workers: int = 1


def evaluate(request: EvaluationRequest, *, progress: Progress) -> dict[str, Any]:
    """Score everything and count; the keys are in docs/evaluation.md.

    Raises:
        ModelError: the model cannot be used.
        DataError: no usable positive clip, or a given folder without audio.
        ConfigError: `noise` in no condition.
    """
    if request.noise is not None and all(condition.snr_db is None for condition in request.conditions):
        raise ConfigError("noise needs a level: add for instance --snr 10")
    detector = Detector.load(request.model, request.threshold)
    clips = read_clips(request.positives, split=request.split, label=1)
    close = _near_misses(request)
    streams = _negatives(request.negatives)
    score = partial(score_clips, request.model, seed=request.seed, workers=request.workers, progress=progress)
    with tempfile.TemporaryDirectory(prefix="wakelark-noise-") as folder:
        noise, refused_noise = _noise(request, Path(folder))
        trials = [(how, *score(how.sources(clips.sources), noise=how.noise(noise))) for how in request.conditions]
    _, scored, refused = trials[0]
    if not scored:
        raise DataError(
            f"none of the {len(clips.sources)} files in {printable(request.positives)} can be used: {refused[0]}"
        )
    near, refused_near = score(close.sources, noise=None)
    heard, refused_streams = score_streams(
        request.model, streams, floor=EVENT_FLOOR, workers=request.workers, progress=progress
    )
    measures = measure_clips(clips.sources, workers=request.workers, progress=progress)
    result = summary(scored, heard, threshold=detector.threshold, seed=request.seed)
    further = breakdown(
        Heard(
            trials=[(how, found) for how, found, _ in trials], near_misses=near, streams=heard, floor=EVENT_FLOOR,
            measures=measures, traits=clips.traits, threshold=detector.threshold, seed=request.seed,
        )
    )  # fmt: skip
    return {
        **result,
        **further,
        **request.conditions[0].facts(),
        "groups": {**result["groups"], **further["groups"]},
        "warnings": [*result["warnings"], *clips.notes, *close.notes],
        "model": {"file": printable(request.model), "phrase": detector.phrase},
        "skipped": [
            {"file": printable(error.path), "reason": error.reason}
            for error in (*refused, *refused_near, *refused_noise, *refused_streams)
        ],
    }


def summary(clips: list[ScoredClip], streams: list[ScoredStream], *, threshold: float, seed: int) -> dict[str, Any]:
    """Counts, rates, intervals and operating points. Without negative audio the rates of false alarms are None."""
    result: dict[str, Any] = miss_figures(clips, threshold=threshold, rng=np.random.default_rng(seed))
    result |= {"threshold": threshold, "warnings": []}
    hours = total_hours(streams)
    result |= _alarms(det_curve(clips, streams, floor=EVENT_FLOOR), streams, threshold, seed) if hours else _NO_ALARMS
    result["groups"] = {
        "positives": miss_groups(clips, _folder_of, threshold=threshold),
        "negatives": alarm_groups(streams, lambda stream: stream.name.split("/")[0], threshold=threshold),
    }
    result["files"] = [
        {"file": clip.file, "score": round(clip.score, 6), "detected": clip.score >= threshold} for clip in clips
    ]
    return result


_NO_ALARMS: dict[str, object] = {
    "hours": 0.0,
    "false_alarms": 0,
    "fa_per_hour": None,
    "fa_per_hour_ci": None,
    "operating_points": [],
    "warnings": [
        "no recordings without the phrase: no false alarms were measured; run `wakelark fetch`, or use --negatives"
    ],
}


def _alarms(curve: DetCurve, streams: list[ScoredStream], threshold: float, seed: int) -> dict[str, object]:
    warnings = []
    if threshold < EVENT_FLOOR:
        warnings.append(f"the threshold lies below {EVENT_FLOOR}: false alarms below that score were not counted")
    too_short = [budget for budget in BUDGETS if curve.allowed_events(budget) == 0]
    if too_short:
        warnings.append(
            f"{curve.hours:.2f} hours are too few for a budget of {', '.join(f'{b:g}' for b in too_short)} per hour: "
            "not one alarm is allowed there"
        )
    return {
        "hours": curve.hours,
        **alarm_figures(streams, curve, threshold=threshold, rng=np.random.default_rng(seed)),
        "operating_points": [
            {
                "fa_per_hour_budget": budget,
                "threshold": matched.threshold,
                "miss_rate": matched.miss_rate,
                "miss_rate_ci": list(matched.miss_rate_ci),
                "false_alarms": matched.false_alarms,
            }
            for budget, matched in curve.operating_points()
        ],
        "warnings": warnings,
    }


def _near_misses(request: EvaluationRequest) -> ClipList:
    place = request.near_misses or (request.positives if request.positives.suffix == ".jsonl" else None)
    return ClipList(sources=()) if place is None else read_clips(place, split=request.split, label=0)


def _negatives(place: Path | None) -> list[StreamSource]:
    if place is None:
        return [stream_source(stream) for stream in recordings.streams("test")]
    # A sub-folder says what is heard in it: dialogue/, music/, noise/ or whatever the user calls it.
    return [
        StreamSource(name=name, path=path, kind=name.partition("/")[0] if "/" in name else "own")
        for name, path in listed_files(place)
    ]


def stream_source(stream: Stream) -> StreamSource:
    """A cached recording as something to be scored."""
    return StreamSource(
        name=stream.name,
        path=cache_folder() / stream.path,
        kind=kind_of_audio(stream.name, stream.kind),
        seconds=stream.seconds,
        parts=tuple((file.start / SAMPLE_RATE, file.name) for file in stream.files),
    )


def _noise(request: EvaluationRequest, folder: Path) -> tuple[NoiseSource | None, list[BadAudio]]:
    levels = [condition.snr_db for condition in request.conditions if condition.snr_db is not None]
    if not levels:
        return None, []
    if request.noise is None:
        return test_noise(levels[0], recordings.streams("test")), []
    pieces, refused = [], []
    for _, path in listed_files(request.noise):
        try:
            pieces += [to_int16(block) for block in stream_audio(path, max_seconds=None)]
        except BadAudio as error:
            refused.append(error)
    if not pieces:
        raise DataError(f"none of the noise files in {printable(request.noise)} can be used: {refused[0]}")
    joined = np.concatenate(pieces)
    shortest = 60 * SAMPLE_RATE  # longer than any trial, so that a piece can always be cut
    np.save(folder / "noise.npy", np.tile(joined, -(-shortest // len(joined))) if len(joined) < shortest else joined)
    return NoiseSource(snr_db=levels[0], recordings=(folder / "noise.npy",), coloured_share=0.0), refused


def test_noise(snr_db: float, streams: Sequence[Stream]) -> NoiseSource:
    """The noise of reported figures: the music of test-role streams for one half of the clips, coloured noise for the
    other; all coloured where there is no such music (below the thorough set).
    """
    music = tuple(cache_folder() / stream.path for stream in streams if stream.kind == "music")
    return NoiseSource(snr_db=snr_db, recordings=music, coloured_share=0.5 if music else 1.0)


def _folder_of(clip: ScoredClip) -> str:
    return clip.file.rpartition("/")[0] or "."
