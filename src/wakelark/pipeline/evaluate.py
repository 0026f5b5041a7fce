"""`wakelark evaluate`: a model file, alone or with a judge, against clips with the phrase and recordings without it.

The model may be another project's: what `wakelark.peers.load` takes.
"""

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
from wakelark.evaluation.intervals import hours_needed
from wakelark.evaluation.operating_point import DetCurve, operating_rows
from wakelark.peers.live import check_runs
from wakelark.peers.own import WakelarkScorer
from wakelark.peers.scorer import Scorer
from wakelark.pipeline.breakdown import Condition, Heard, breakdown
from wakelark.pipeline.clip_lists import ClipList, listed_files, read_clips
from wakelark.pipeline.clip_measures import measure_clips
from wakelark.pipeline.listener import Listener
from wakelark.pipeline.scoring import Progress, score_clips, score_streams
from wakelark.pipeline.sources import NoiseSource, StreamSource

EVENT_FLOOR = 1e-5
"""Quieter events are not kept: nobody sets a threshold there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationRequest:
    """What `evaluate` is to do.

    Attributes:
        model: any file that `load_scorer` takes.
        positives: a folder of clips with the phrase, a text file with one path per line, or a run's manifest.
        negatives: a folder or list of recordings without it; None for the test-role recordings in the cache.
        near_misses: clips that only sound like the phrase, as `positives`; None for those of the manifest, if any.
        split: which split of a manifest is heard.
        noise: a folder or list of noise to put under the positives; None for test-role music and coloured noise.
        conditions: how the positives are played; the first one is that of the main figures.
        threshold, preset, judge, judge_threshold: as in `Detector.load`.
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
    preset: str | None = None
    judge: Path | None = None
    judge_threshold: float | None = None
    seed: int = 0
    workers: int = 1

    def listener(self) -> Listener:
        """The detector that is measured."""
        return Listener(
            model=self.model, threshold=self.threshold, preset=self.preset, judge=self.judge,
            judge_threshold=self.judge_threshold,
        )  # fmt: skip


def evaluate(request: EvaluationRequest, *, progress: Progress) -> dict[str, Any]:
    """Score everything and count; the keys are in docs/evaluation.md.

    Raises:
        ModelError: a model cannot be used.
        SetupError: the package that runs another project's model is not installed.
        DataError: no usable positive clip, or a given folder without audio.
        ConfigError: `noise` in no condition, or a listener that cannot be.
    """
    if request.noise is not None and all(condition.snr_db is None for condition in request.conditions):
        raise ConfigError("noise needs a level: add for instance --snr 10")
    check_runs(request.model)
    listener = request.listener()
    scorer = listener.load()
    facts = scorer.facts
    clips = read_clips(request.positives, split=request.split, label=1)
    close = _near_misses(request)
    streams = negative_sources(request.negatives)
    score = partial(score_clips, listener, seed=request.seed, workers=request.workers, progress=progress)
    levels = [condition.snr_db for condition in request.conditions if condition.snr_db is not None]
    with tempfile.TemporaryDirectory(prefix="wakelark-noise-") as folder:
        noise, refused_noise = noise_source(request.noise, levels[0] if levels else None, Path(folder))
        trials = [(how, *score(how.sources(clips.sources), noise=how.noise(noise))) for how in request.conditions]
    _, scored, refused = trials[0]
    if not scored:
        raise DataError(
            f"none of the {len(clips.sources)} files in {printable(request.positives)} can be used: {refused[0]}"
        )
    near, refused_near = score(close.sources, noise=None)
    heard, refused_streams = score_streams(
        listener, streams, floor=EVENT_FLOOR, workers=request.workers, progress=progress
    )
    measures = measure_clips(clips.sources, workers=request.workers, progress=progress)
    result = summary(scored, heard, threshold=facts.threshold, seed=request.seed)
    further = breakdown(
        Heard(
            trials=[(how, found) for how, found, _ in trials], near_misses=near, streams=heard, floor=EVENT_FLOOR,
            measures=measures, traits=clips.traits, threshold=facts.threshold, seed=request.seed,
        )
    )  # fmt: skip
    return {
        **result,
        **further,
        **request.conditions[0].facts(),
        "groups": {**result["groups"], **further["groups"]},
        "warnings": [*result["warnings"], *clips.notes, *close.notes],
        "model": {"file": printable(request.model), "phrase": facts.phrase, "family": facts.family},
        "judge": _judge(listener, scorer, heard),
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
    points = operating_rows(curve)
    if too_short := [f"{row['fa_per_hour_budget']:g}" for row in points if not row["supported"]]:
        warnings.append(
            f"{curve.hours:.2f} hours cannot show that {', '.join(too_short)} false alarms per hour are kept, not even "
            f"without a single one: {too_short[0]} takes at least {hours_needed(float(too_short[0])):.1f} hours"
        )
    return {
        "hours": curve.hours,
        **alarm_figures(streams, curve, threshold=threshold, rng=np.random.default_rng(seed)),
        "operating_points": points,
        "warnings": warnings,
    }


def _judge(listener: Listener, scorer: Scorer, streams: list[ScoredStream]) -> dict[str, object] | None:
    """The second stage, and how much of the negative audio it had to listen to."""
    if listener.judge is None or not isinstance(scorer, WakelarkScorer) or scorer.judge is None:
        return None
    hours = total_hours(streams)
    heard_s = sum(stream.judge_heard_s for stream in streams)
    return {
        "file": printable(listener.judge),
        "wake_threshold": scorer.wake_threshold,
        "is_known": scorer.judge.is_known,
        "wakes_per_hour": sum(stream.judge_wakes for stream in streams) / hours if hours else None,
        "heard_share": heard_s / 3600 / hours if hours else None,
    }


def _near_misses(request: EvaluationRequest) -> ClipList:
    place = request.near_misses or (request.positives if request.positives.suffix == ".jsonl" else None)
    return ClipList(sources=()) if place is None else read_clips(place, split=request.split, label=0)


def negative_sources(place: Path | None) -> list[StreamSource]:
    """Recordings of a folder or a list; None for the test-role recordings in the cache."""
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


def noise_source(place: Path | None, snr_db: float | None, folder: Path) -> tuple[NoiseSource | None, list[BadAudio]]:
    """Noise to put under clips, and the files that cannot be read.

    Args:
        place: a folder or a list of recordings; None for `test_noise`.
        snr_db: level of the speech over it; None for no noise.
        folder: where the joined recordings are kept while the noise is in use.

    Raises:
        DataError: not one file can be read.
    """
    if snr_db is None:
        return None, []
    if place is None:
        return test_noise(snr_db, recordings.streams("test")), []
    pieces, refused = [], []
    for _, path in listed_files(place):
        try:
            pieces += [to_int16(block) for block in stream_audio(path, max_seconds=None)]
        except BadAudio as error:
            refused.append(error)
    if not pieces:
        raise DataError(f"none of the noise files in {printable(place)} can be used: {refused[0]}")
    joined = np.concatenate(pieces)
    shortest = 60 * SAMPLE_RATE  # longer than any trial, so that a piece can always be cut
    np.save(folder / "noise.npy", np.tile(joined, -(-shortest // len(joined))) if len(joined) < shortest else joined)
    return NoiseSource(snr_db=snr_db, recordings=(folder / "noise.npy",), coloured_share=0.0), refused


def test_noise(snr_db: float, streams: Sequence[Stream]) -> NoiseSource:
    """The noise of reported figures: the music of test-role streams for one half of the clips, coloured noise for the
    other; all coloured where there is no such music (below the thorough set).
    """
    music = tuple(cache_folder() / stream.path for stream in streams if stream.kind == "music")
    return NoiseSource(snr_db=snr_db, recordings=music, coloured_share=0.5 if music else 1.0)


def _folder_of(clip: ScoredClip) -> str:
    return clip.file.rpartition("/")[0] or "."
