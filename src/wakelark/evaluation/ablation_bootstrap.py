"""The hierarchical bootstrap of paired runs: positive clips, ten-minute blocks of the negatives, and pairs are drawn.

All runs of a phrase are scored on the same clips and recordings, so one draw of clips and blocks serves every run: what
the material contributes to a difference between two of them cancels as far as it does in truth.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wakelark.evaluation.events import Float64Array, IntArray
from wakelark.evaluation.intervals import CONFIDENCE, Interval

BLOCK_S = 600.0


@dataclass(frozen=True, slots=True, eq=False)
class Blocks:
    """Ten-minute blocks of the negative recordings.

    Attributes:
        first: `[recordings]`, number of each recording's first block.
        hours: `[K]`, of each block; the last one of a recording may be shorter.
    """

    first: IntArray
    hours: Float64Array

    @staticmethod
    def of(seconds: Sequence[float]) -> Blocks:
        """The blocks of recordings of these lengths.

        >>> Blocks.of([1500.0, 60.0]).hours.round(3).tolist()
        [0.167, 0.167, 0.083, 0.017]
        """
        counts = [max(1, int(np.ceil(length_s / BLOCK_S))) for length_s in seconds]
        lengths = [
            min(BLOCK_S, length_s - number * BLOCK_S) / 3600
            for length_s, count in zip(seconds, counts, strict=True)
            for number in range(count)
        ]
        return Blocks(np.cumsum([0, *counts])[:-1].astype(np.int64), np.array(lengths))

    def index(self, recording: IntArray, time_s: Float64Array) -> IntArray:
        """The block of each event. Shape: `[E], [E] -> [E]`"""
        last = np.append(self.first[1:], self.hours.size)[recording] - 1
        within = np.maximum(np.ceil(time_s / BLOCK_S).astype(np.int64) - 1, 0)
        return np.minimum(self.first[recording] + within, last)


@dataclass(frozen=True, slots=True, eq=False)
class Draws:
    """How often each clip and each block is drawn; row 0 is the sample itself, every one once.

    Shape: `clips` `[R, P]`, `blocks` `[R, K]`
    """

    clips: NDArray[np.int64]
    blocks: NDArray[np.int64]


def draw(*, clips: int, blocks: int, resamples: int, rng: np.random.Generator) -> Draws:
    """Draw clips and blocks with replacement, `resamples` times."""
    return Draws(_counts(clips, resamples, rng), _counts(blocks, resamples, rng))


def resampled_misses(
    clip_scores: Float64Array,
    event_scores: Float64Array,
    event_blocks: IntArray,
    *,
    hours: Float64Array,
    draws: Draws,
    budgets: Sequence[float],
    floor: float,
) -> Float64Array:
    """Matched miss rates of one run in every draw; the rule is `DetCurve.matched_miss_rate`.

    Shape: `[P], [E], [E], hours [K] -> [R, len(budgets)]`
    """
    order = np.argsort(-event_scores, kind="stable")
    loudest = event_scores[order]
    alarms = np.cumsum(draws.blocks[:, event_blocks[order]], axis=1)
    clip_order = np.argsort(clip_scores, kind="stable")
    quietest = clip_scores[clip_order]
    drawn = draws.clips[:, clip_order]
    missed = np.concatenate([np.zeros((len(drawn), 1), np.int64), np.cumsum(drawn, axis=1)], axis=1)
    rates = np.empty((len(drawn), len(budgets)))
    for column, budget in enumerate(budgets):
        allowed = np.floor(budget * (draws.blocks @ hours) + 1e-9)
        # Alarms only grow along a row: as many columns are within the budget as hold no more than is allowed.
        within = (alarms <= allowed[:, None]).sum(axis=1)
        above = np.append(np.nextafter(loudest, np.inf), floor)[within]
        index = np.searchsorted(quietest, np.maximum(above, floor), side="left")
        rates[:, column] = missed[np.arange(len(drawn)), index] / missed[:, -1]
    return rates


def difference_interval(
    differences: Sequence[Float64Array], *, rng: np.random.Generator, confidence: float = CONFIDENCE
) -> Interval:
    """Percentile interval of the mean difference; within each phrase the pairs are drawn, too, phrases are fixed.

    A mean of n pairs drawn from n has (n - 1) / n of the variance it should have: deviations from the phrase's mean are
    scaled by sqrt(n / (n - 1)) first.

    Args:
        differences: per phrase `[R, pairs]`: one arm minus the other in every draw; row 0 (the sample) is left out.
        rng: draws the pairs.
        confidence: two-sided coverage.
    """
    means = []
    for values in differences:
        replicates, pairs = values[1:], values.shape[1]
        centre = replicates.mean(axis=1, keepdims=True)
        spread = np.sqrt(pairs / (pairs - 1)) if pairs > 1 else 1.0  # one pair has no deviation
        chosen = rng.integers(0, pairs, (len(replicates), pairs))
        means.append(np.take_along_axis(centre + spread * (replicates - centre), chosen, axis=1).mean(axis=1))
    mean = np.mean(means, axis=0)
    low, high = np.quantile(mean, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def _counts(size: int, resamples: int, rng: np.random.Generator) -> NDArray[np.int64]:
    drawn = rng.multinomial(size, np.full(size, 1 / size), resamples)
    return np.concatenate([np.ones((1, size), np.int64), drawn.astype(np.int64)])
