"""The scores along one piece of audio, for latencies and pictures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from wakelark.evaluation.events import Float64Array
from wakelark.evaluation.stream import Trial


@dataclass(frozen=True, slots=True)
class Trace:
    """What a detector compared with its threshold along a piece of audio.

    Attributes:
        first_s: end of the first score's step, from the start of the piece.
        step_s: time between two scores.
        scores: one per step.
    """

    first_s: float
    step_s: float
    scores: tuple[float, ...]


def trace_of(smoothed: Float64Array, trial: Trial, *, step_s: float, first_s: float | None = None) -> Trace:
    """The part of a trial's smoothed scores that belongs to its clip.

    Shape: `smoothed` `[T]`; `first_s` as in `events.score_times`
    """
    offset_s = 0.0 if first_s is None else first_s - step_s
    first = max(0, int(np.ceil((trial.clip_from_s - offset_s) / step_s - 1e-9)) - 1)
    last = max(first, int(np.floor((trial.hit_until_s - offset_s) / step_s + 1e-9)))
    begins_s = offset_s + (first + 1) * step_s - trial.clip_from_s
    return Trace(begins_s, step_s, tuple(smoothed[first:last].tolist()))


def trace_from(scores: Float64Array, *, step_s: float, from_s: float) -> Trace:
    """The scores of the steps that end after `from_s`, with times from there. Shape: `[T]`

    >>> trace_from(np.array([0.1, 0.2, 0.3]), step_s=0.5, from_s=0.75)
    Trace(first_s=0.25, step_s=0.5, scores=(0.2, 0.3))
    """
    first = int(np.floor(from_s / step_s + 1e-9))
    return Trace((first + 1) * step_s - from_s, step_s, tuple(scores[first:].tolist()))
