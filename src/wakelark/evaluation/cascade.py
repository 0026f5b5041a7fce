"""Two models as one detector, offline: a small one that wakes a judge, and the verdict of both.

With both smoothed scores over the same audio, the verdict at every step of the small model follows for any threshold
at which that wakes the judge: 0 while the judge sleeps, else a weighted mean of the log-odds of both models' peaks of
late. For a fixed waking threshold the verdict is a score like any other: one threshold decides, and counts can only
grow when it falls. `runtime.judge` computes the same live, without listening all the time (a test compares).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wakelark.evaluation.events import Float64Array, IntArray, log_odds
from wakelark.model_card import MAX_LOG_ODDS


@dataclass(frozen=True, slots=True, kw_only=True)
class CascadeRule:
    """How two models make one verdict.

    Attributes:
        wake_threshold: smoothed score of the small model that wakes the judge.
        patience_steps: so many steps of the small model the judge stays awake after the last that wakes it; the small
            model's peak is taken over them.
        lookback_steps: over so many steps of the judge its peak is taken.
        judge_weight: share of the judge in the mean.
        logit_shift: is added to the mean.
    """

    wake_threshold: float
    patience_steps: int
    lookback_steps: int
    judge_weight: float
    logit_shift: float

    def awake(self, waking: Float64Array) -> NDArray[np.bool_]:
        """Where the judge is awake. Shape: `[T] -> [T]`"""
        return self._peak(waking) >= self.wake_threshold

    def verdicts(self, waking: Float64Array, judge: Float64Array, known: IntArray) -> Float64Array:
        """The verdict at every step of the small model.

        Args:
            waking: the small model's smoothed scores.
            judge: the judge's.
            known: how many of the judge's have ended at each step.

        Shape: `[T], [U], [T] -> [T]`
        """
        heard = np.zeros(len(waking))
        if len(judge):
            peak = running_peak(judge, self.lookback_steps)[np.clip(known, 1, len(judge)) - 1]
            heard = np.where(known > 0, peak, 0.0)
        odds = self.judge_weight * _odds(heard) + (1 - self.judge_weight) * _odds(self._peak(waking))
        return np.where(self.awake(waking), 1 / (1 + np.exp(-(odds + self.logit_shift))), 0.0)

    def _peak(self, waking: Float64Array) -> Float64Array:
        return running_peak(waking, self.patience_steps + 1)


def _odds(scores: Float64Array) -> Float64Array:
    return np.clip(log_odds(scores), -MAX_LOG_ODDS, MAX_LOG_ODDS)


def running_peak(values: Float64Array, steps: int) -> Float64Array:
    """The largest of each value and the `steps - 1` before it.

    Shape: `[T] -> [T]`

    >>> running_peak(np.array([1.0, 3.0, 2.0, 0.0, 0.0]), 3).tolist()
    [1.0, 3.0, 3.0, 3.0, 2.0]
    """
    peak = values.copy()
    for lag in range(1, min(steps, len(values))):
        np.maximum(peak[lag:], values[:-lag], out=peak[lag:])
    return peak


def wakings(awake: NDArray[np.bool_]) -> int:
    """How often the judge wakes up. Shape: `[T]`

    >>> wakings(np.array([False, True, True, False, True]))
    2
    """
    return int(np.count_nonzero(awake[1:] & ~awake[:-1])) + int(awake[:1].any())
