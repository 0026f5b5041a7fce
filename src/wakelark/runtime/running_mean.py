"""The mean of the newest scores: the smoothing of every detector that runs live."""

from __future__ import annotations

from collections import deque


def mean(values: deque[float]) -> float:
    """Oldest first, plain additions: the same bits as `evaluation.events.smooth`, so thresholds mean the same."""
    total = 0.0
    for value in values:
        total += value
    return total / len(values)


class RunningMean:
    """The mean of each score and those before it; the first scores are averaged over what there is.

    Args:
        steps: over how many scores the mean is taken.
    """

    def __init__(self, steps: int) -> None:
        self._recent: deque[float] = deque(maxlen=steps)

    def reset(self) -> None:
        """Forget all scores."""
        self._recent.clear()

    def follow(self, scores: list[float]) -> list[float]:
        """The means after each of some new scores. Shape: `[T] -> [T]`"""
        means: list[float] = []
        for score in scores:
            self._recent.append(score)
            means.append(mean(self._recent))
        return means
