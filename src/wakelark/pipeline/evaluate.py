"""`wakelark evaluate`: a model file, alone or with a judge, against clips with the phrase and recordings without it.

The model may be another project's: what `wakelark.peers.load` takes.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from wakelark.audio import SAMPLE_RATE, BadAudio, find_audio_files, printable, stream_audio, to_int16
from wakelark.corpus import recordings
from wakelark.corpus.cache import cache_folder
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
from wakelark.pipeline.listener import Listener
from wakelark.pipeline.scoring import ClipSource, NoiseSource, Progress, StreamSource, score_clips, score_streams

EVENT_FLOOR = 1e-5
"""Quieter events are not kept: nobody sets a threshold there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationRequest:
    """What `evaluate` is to do.

    Attributes:
        model: any file that `load_scorer` takes.
        positives: a folder of clips with the phrase, or a text file with one path per line.
        negatives: the same of recordings without it; None for the test-role recordings in the cache.
        noise: the same of noise to put under the positives; None for test-role music and coloured noise.
        snr_db: level of the speech over that noise; None for clean positives.
        threshold, preset, judge, judge_threshold: as in `Detector.load`.
        seed: of near-silence, noise and bootstrap.
        workers: processes.
    """

    model: Path
    positives: Path
    negatives: Path | None = None
    noise: Path | None = None
    snr_db: float | None = None
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


def evaluate(request: EvaluationRequest, *, progress: Progress) -> dict[str, object]:
    """Score everything and count; the keys are in docs/evaluation.md.

    Raises:
        ModelError: a model cannot be used.
        SetupError: the package that runs another project's model is not installed.
        DataError: no usable positive clip, or a given folder without audio.
        ConfigError: `noise` without `snr_db`, or a listener that cannot be.
    """
    if request.noise is not None and request.snr_db is None:
        raise ConfigError("noise needs a level: add for instance --snr 10")
    check_runs(request.model)
    listener = request.listener()
    scorer = listener.load()
    facts = scorer.facts
    clips = clip_sources(request.positives)
    streams = negative_sources(request.negatives)
    with tempfile.TemporaryDirectory(prefix="wakelark-noise-") as folder:
        noise, refused_noise = noise_source(request.noise, request.snr_db, Path(folder))
        scored, refused = score_clips(
            listener, clips, noise=noise, seed=request.seed, workers=request.workers, progress=progress
        )
    if not scored:
        raise DataError(f"none of the {len(clips)} files in {printable(request.positives)} can be used: {refused[0]}")
    heard, refused_streams = score_streams(
        listener, streams, floor=EVENT_FLOOR, workers=request.workers, progress=progress
    )
    result = summary(scored, heard, threshold=facts.threshold, seed=request.seed)
    result["snr_db"] = request.snr_db
    result["model"] = {"file": printable(request.model), "phrase": facts.phrase, "family": facts.family}
    result["judge"] = _judge(listener, scorer, heard)
    result["skipped"] = [
        {"file": printable(error.path), "reason": error.reason}
        for error in (*refused, *refused_noise, *refused_streams)
    ]
    return result


def summary(clips: list[ScoredClip], streams: list[ScoredStream], *, threshold: float, seed: int) -> dict[str, object]:
    """Counts, rates, intervals and operating points. Without negative audio the rates of false alarms are None."""
    result = miss_figures(clips, threshold=threshold, rng=np.random.default_rng(seed))
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


def clip_sources(place: Path) -> list[ClipSource]:
    """Clips of a folder or a list, named relative to it; a sub-folder's name stands for the speaker's group."""
    return [ClipSource(name=name, path=path) for name, path in _listed(place)]


def negative_sources(place: Path | None) -> list[StreamSource]:
    """Recordings of a folder or a list; None for the test-role recordings in the cache."""
    if place is None:
        return [stream_source(stream) for stream in recordings.streams("test")]
    return [StreamSource(name=name, path=path, kind="own") for name, path in _listed(place)]


def stream_source(stream: Stream) -> StreamSource:
    """A cached recording as something to be scored."""
    return StreamSource(
        name=stream.name,
        path=cache_folder() / stream.path,
        kind=stream.kind,
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
    for _, path in _listed(place):
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


def _listed(place: Path) -> list[tuple[str, Path]]:
    """(name, path) of the audio files in a folder, or of the lines of a text file."""
    if place.is_dir():
        found = [(printable(path.relative_to(place)), path) for path in find_audio_files(place)]
    elif place.is_file():
        found = _read_list(place)
    else:
        raise DataError(f"{printable(place)} is neither a folder nor a list of files; check the path")
    if not found:
        raise DataError(f"no audio files in {printable(place)}; WAV, FLAC, Ogg and MP3 are read")
    return found


def _read_list(place: Path) -> list[tuple[str, Path]]:
    try:
        lines = place.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise DataError(
            f"{printable(place)} is not a text file; give a folder, or a list with one file per line"
        ) from error
    return [(line.strip(), place.parent / line.strip()) for line in lines if line.strip() and not line.startswith("#")]


def _folder_of(clip: ScoredClip) -> str:
    return clip.file.rpartition("/")[0] or "."
