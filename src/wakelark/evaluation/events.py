"""From a stream of scores to events: the one place that says when a detector has fired.

Two rules. `find_events` is the rule of evaluation: peaks of the smoothed score, picked without a threshold, so that
the number of events can only grow when the threshold falls, and one sort answers for every threshold. `live_alarms` is
what a running detector does. For every threshold the live rule fires at most as often as there are events (a test
proves it), so reported false alarms per hour are never too low.

Times are the end of the step a score belongs to: the moment the score is known.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wakelark.errors import ModelError

Float64Array = NDArray[np.float64]
IntArray = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Events:
    """Peaks of a smoothed score, in the order of time.

    Shape: both `[events]`
    """

    times_s: Float64Array
    scores: Float64Array

    def __len__(self) -> int:
        return len(self.scores)

    def above(self, threshold: float) -> Events:
        """The events that fire at `threshold`."""
        chosen = self.scores >= threshold
        return Events(self.times_s[chosen], self.scores[chosen])


def smooth(scores: ArrayLike, steps: int) -> Float64Array:
    """Mean of each score and the `steps - 1` before it; the first scores are averaged over what there is.

    Shape: `[T] -> [T]`

    Raises:
        ModelError: a score is not a finite number (it would silently count as "no alarm").

    >>> smooth([0.0, 1.0, 1.0, 0.0], 2).tolist()
    [0.0, 0.5, 1.0, 0.5]
    """
    values = np.asarray(scores, np.float64)
    if not np.isfinite(values).all():
        raise ModelError("the model gave a score that is not a finite number: the file is broken; export it again")
    # Oldest first, one addition per step: the same order as in the running detector, hence the same bits.
    total = np.zeros_like(values)
    for lag in range(min(steps, len(values)) - 1, -1, -1):
        total[lag:] += values[: len(values) - lag]
    return total / np.minimum(np.arange(1, len(values) + 1), steps)


def score_times(scores: int, *, step_s: float, first_s: float | None = None) -> Float64Array:
    """When each of so many scores is known; `first_s` None: the first at the end of the first step.

    Shape: `-> [scores]`

    >>> score_times(3, step_s=0.5).tolist(), score_times(2, step_s=0.5, first_s=0.75).tolist()
    ([0.5, 1.0, 1.5], [0.75, 1.25])
    """
    times_s = np.arange(1, scores + 1, dtype=np.float64) * step_s
    return times_s if first_s is None else times_s + (first_s - step_s)


def find_events(
    smoothed: ArrayLike, *, step_s: float, refractory_s: float, floor: float, first_s: float | None = None
) -> Events:
    """Peaks by greedy non-maximum suppression: the loudest first, each silencing what is nearer than `refractory_s`.

    Only local maxima of at least `floor` are candidates; of equal ones the earlier wins, and the first step of a
    plateau stands for it.

    Shape: `smoothed` `[T]`; `first_s` as in `score_times`

    >>> find_events([0.1, 0.9, 0.2, 0.8, 0.1], step_s=1.0, refractory_s=1.5, floor=0.0).times_s.tolist()
    [2.0, 4.0]
    >>> find_events([0.1, 0.9, 0.2, 0.8, 0.1], step_s=1.0, refractory_s=2.5, floor=0.0).times_s.tolist()
    [2.0]
    """
    values = np.asarray(smoothed, np.float64)
    candidates = _local_maxima(values)
    candidates = candidates[values[candidates] >= floor]
    order = candidates[np.argsort(-values[candidates], kind="stable")]
    reach = refractory_steps(step_s=step_s, refractory_s=refractory_s) - 1
    silenced = bytearray(len(values))
    chosen: list[int] = []
    for step in order.tolist():
        if silenced[step]:
            continue
        chosen.append(step)
        first, last = max(0, step - reach), min(len(values), step + reach + 1)
        silenced[first:last] = b"\1" * (last - first)
    index = np.array(sorted(chosen), np.int64)
    return Events(score_times(len(values), step_s=step_s, first_s=first_s)[index], values[index])


def live_alarms(smoothed: ArrayLike, *, threshold: float, step_s: float, refractory_s: float) -> IntArray:
    """Steps at which a running detector fires: on the rising edge, again once the score was below for `refractory_s`.

    Shape: `[T] -> [alarms]`

    >>> live_alarms([0, 1, 0, 1, 0, 0, 1], threshold=0.5, step_s=1.0, refractory_s=2.0).tolist()
    [1, 6]
    """
    loud = np.flatnonzero(np.asarray(smoothed, np.float64) >= threshold)
    if loud.size == 0:
        return loud
    quiet_steps_before = np.diff(loud) - 1
    rearmed = quiet_steps_before >= refractory_steps(step_s=step_s, refractory_s=refractory_s)
    return np.concatenate([loud[:1], loud[1:][rearmed]])


def refractory_steps(*, step_s: float, refractory_s: float) -> int:
    """The smallest number of steps that lasts `refractory_s`, at least one.

    >>> refractory_steps(step_s=0.04, refractory_s=1.5), refractory_steps(step_s=0.1, refractory_s=0.3)
    (38, 3)
    """
    return max(1, math.ceil(refractory_s / step_s - 1e-9))


def smoothing_steps(*, step_s: float, smoothing_s: float) -> int:
    """How many steps make about `smoothing_s`, at least one.

    >>> smoothing_steps(step_s=0.04, smoothing_s=0.12), smoothing_steps(step_s=0.08, smoothing_s=0.12)
    (3, 2)
    """
    return max(1, math.floor(smoothing_s / step_s + 0.5))


def log_odds(probability: Float64Array) -> Float64Array:
    """log(p / (1 - p)), kept finite at 0 and 1. Shape: `[*] -> [*]`"""
    clipped = np.clip(probability, 1e-9, 1 - 1e-9)
    return np.log(clipped / (1 - clipped))


def _local_maxima(values: Float64Array) -> IntArray:
    """Steps above what comes before and not below what comes after; a plateau counts once, by its first step."""
    if values.size == 0:
        return np.zeros(0, np.int64)
    starts = np.flatnonzero(np.concatenate([[True], np.diff(values) != 0]))
    levels = np.concatenate([[-np.inf], values[starts], [-np.inf]])
    return starts[(levels[1:-1] > levels[:-2]) & (levels[1:-1] > levels[2:])]
