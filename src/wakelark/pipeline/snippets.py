"""What the report's rows play and show: the audio of every listed mistake, and what the model made of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from wakelark.audio import SAMPLE_RATE, BadAudio, Float32Array, to_float
from wakelark.evaluation.events import Float64Array
from wakelark.evaluation.page.parts import entries_of
from wakelark.evaluation.snippets import LONGEST_S, Snippet, make_snippet, trace_from
from wakelark.pipeline.scoring import clip_trial
from wakelark.pipeline.sources import ClipSource, StreamSource
from wakelark.runtime.detector import Detector

BEFORE_ALARM_S, AFTER_ALARM_S = 2.5, 0.7
HEARD_BEFORE_S = 12.0
"""So much of a recording a model hears before the piece that is shown: more than any model remembers."""
_BEFORE_CLIP_S, _AFTER_CLIP_S = 0.2, 0.6

Progress = Callable[[int, int, str], None]


def make_snippets(
    report: Mapping[str, Any],
    detectors: Mapping[str, Detector],
    clips: Sequence[ClipSource],
    streams: Sequence[StreamSource],
    *,
    seed: int,
    progress: Progress,
) -> tuple[dict[str, Snippet], list[str]]:
    """Snippets by the report's `sound` names, and what is not there or cannot be read.

    Args:
        report: of a run.
        detectors: by the name of a model in the report; a row of another model has no trace.
        clips: all that the report may name, with the names that it uses.
        streams: the recordings, likewise.
        seed: of the run: with it a clip is played as it was when it was scored.
        progress: called with (rows done, rows, what).
    """
    clip_of, stream_of = {clip.name: clip for clip in clips}, {stream.name: stream for stream in streams}
    rows = list(_rows(report))
    found: dict[str, Snippet] = {}
    problems: list[str] = []
    for number, (model, row) in enumerate(rows):
        name = row["recording"] if "recording" in row else row["file"]
        clip, stream = clip_of.get(name), stream_of.get(name)
        try:
            if "recording" in row and stream is not None:
                found[row["sound"]] = _alarm(row["stream_time_s"], stream, detectors.get(model))
            elif "recording" not in row and clip is not None:
                found[row["sound"]] = _clip(clip, detectors.get(model), seed=seed)
            else:
                problems.append(f"{name} is not among the run's clips and recordings")
        except (BadAudio, OSError, ValueError) as error:  # gone or cut short since: numpy raises ValueError for that
            problems.append(f"{name} cannot be read: {error}")
        progress(number + 1, len(rows), "sounds of the report")
    return found, list(dict.fromkeys(problems))


def _rows(report: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every row that can have a sound, with the name of its model."""
    for entry in entries_of(report):
        near = entry["near_misses"]
        for row in (*entry["loudest_false_alarms"], *entry["missed_clips"], *(near["loudest"] if near else ())):
            yield entry["name"], row


def _alarm(time_s: float, stream: StreamSource, detector: Detector | None) -> Snippet:
    """The sound around an event of a recording."""
    array = np.load(stream.path, mmap_mode="r")
    # In whole steps from the start of the recording, so that the model's steps fall where they fell.
    step = detector.card.step_samples if detector else SAMPLE_RATE
    begin = max(0, round((time_s - HEARD_BEFORE_S) * SAMPLE_RATE)) // step * step
    audio = to_float(np.asarray(array[begin : round((time_s + AFTER_ALARM_S) * SAMPLE_RATE)]))
    return _piece(audio, detector, from_s=max(0.0, time_s - BEFORE_ALARM_S - begin / SAMPLE_RATE), counts_s=None)


def _clip(clip: ClipSource, detector: Detector | None, *, seed: int) -> Snippet:
    """A clip as it was played to the model, from shortly before it to its end; of a long one the last part."""
    trial = clip_trial(clip, noise=None, recordings=(), seed=seed)
    until_s = min(len(trial.audio) / SAMPLE_RATE, trial.hit_until_s + 0.1, trial.clip_until_s + _AFTER_CLIP_S)
    from_s = max(0.0, trial.clip_from_s - _BEFORE_CLIP_S, until_s - LONGEST_S)
    counts_s = (max(0.0, trial.hit_from_s - from_s), min(trial.hit_until_s, until_s) - from_s)
    return _piece(trial.audio[: round(until_s * SAMPLE_RATE)], detector, from_s=from_s, counts_s=counts_s)


def _piece(
    audio: Float32Array, detector: Detector | None, *, from_s: float, counts_s: tuple[float, float] | None
) -> Snippet:
    """The audio from `from_s` on, with the score of a model that has heard all of it."""
    trace = None
    if detector is not None:
        trace = trace_from(_followed(detector, audio), step_s=detector.step_s, from_s=from_s)
    return make_snippet(audio[round(from_s * SAMPLE_RATE) :], trace, counts_s=counts_s)


def _followed(detector: Detector, audio: Float32Array) -> Float64Array:
    """The scores of a fresh stream that decide. Shape: `[N] -> [T]`"""
    detector.reset()
    return np.array(detector.follow(audio))
