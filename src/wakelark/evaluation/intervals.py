"""Confidence intervals of what is counted: false alarms per hour, miss rates, and both by groups.

Written out because the exact Poisson interval is all that scipy would be needed for.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

Interval = tuple[float, float]

CONFIDENCE = 0.95
"""Of every interval wakelark prints, two-sided."""


def poisson_interval(events: int, hours: float, confidence: float = CONFIDENCE) -> Interval:
    """Garwood's exact interval of a rate, in events per hour, after `events` events in `hours` hours.

    Args:
        events: how many were counted, 0 or more.
        hours: how long was listened, above 0.
        confidence: two-sided coverage, at least.

    >>> [round(bound, 2) for bound in poisson_interval(0, 10)], [round(bound, 2) for bound in poisson_interval(5, 10)]
    ([0.0, 0.37], [0.16, 1.17])
    """
    if events < 0 or hours <= 0:
        raise ValueError(f"{events} events in {hours} hours: events must be at least 0 and hours above 0")
    tail = (1 - confidence) / 2
    low = 0.0 if events == 0 else _solve_mean(events - 1, 1 - tail)
    return low / hours, _solve_mean(events, tail) / hours


def hours_needed(fa_per_hour: float, events: int = 0, confidence: float = CONFIDENCE) -> float:
    """Hours of audio that must be heard with at most `events` alarms to claim "at most `fa_per_hour`", one-sided.

    >>> round(hours_needed(0.5), 1), round(hours_needed(0.5, events=2), 1)
    (6.0, 12.6)
    """
    return _solve_mean(events, 1 - confidence) / fa_per_hour


def most_events(fa_per_hour: float, hours: float, confidence: float = CONFIDENCE) -> int | None:
    """So many alarms in `hours` hours still show "at most `fa_per_hour`", one-sided; None: not even none does.

    The largest k with `hours_needed(fa_per_hour, k) <= hours`: Garwood's upper bound of k events is at most the rate.

    >>> most_events(0.5, 5.9), most_events(0.5, 6.0), most_events(0.5, 13.0)
    (None, 0, 2)
    """
    mean = fa_per_hour * hours
    events = -1
    while poisson_cdf(events + 1, mean) <= 1 - confidence:
        events += 1
    return None if events < 0 else events


def poisson_cdf(events: int, mean: float) -> float:
    """P(X <= events) of a Poisson variable with this mean."""
    if mean == 0:
        return 1.0
    log_mean = math.log(mean)
    return min(1.0, math.fsum(math.exp(k * log_mean - mean - math.lgamma(k + 1)) for k in range(events + 1)))


def _solve_mean(events: int, probability: float) -> float:
    """The mean at which P(X <= events) equals `probability`; the probability falls as the mean grows."""
    high = events + 10.0
    while poisson_cdf(events, high) > probability:
        high *= 2
    return _bisect(lambda mean: poisson_cdf(events, mean) - probability, 0.0, high)


def _bisect(falling: Callable[[float], float], low: float, high: float) -> float:
    for _ in range(200):
        middle = (low + high) / 2
        if middle in (low, high):
            break
        low, high = (middle, high) if falling(middle) > 0 else (low, middle)
    return (low + high) / 2


def wilson_interval(count: int, trials: int, confidence: float = CONFIDENCE) -> Interval:
    """Wilson's interval of a share, `count` of `trials`; (0, 1) when nothing was tried.

    >>> [round(100 * bound, 1) for bound in wilson_interval(15, 300)]
    [3.1, 8.1]
    """
    if not 0 <= count <= trials:
        raise ValueError(f"{count} of {trials}: the count must lie between 0 and the number of trials")
    if trials == 0:
        return 0.0, 1.0
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share = count / trials
    middle = (share + z * z / (2 * trials)) / (1 + z * z / trials)
    half = z * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials)) / (1 + z * z / trials)
    # The ends touch 0 and 1 exactly; rounding must not leave 1e-17 or 1.0000000000000002 behind.
    return (0.0 if count == 0 else max(0.0, middle - half)), (1.0 if count == trials else min(1.0, middle + half))


def bootstrap_ratio(
    counts: ArrayLike,
    exposures: ArrayLike,
    *,
    rng: np.random.Generator,
    resamples: int = 2000,
    confidence: float = CONFIDENCE,
) -> Interval:
    """Percentile interval of sum(counts) / sum(exposures) when whole groups are drawn with replacement.

    For misses over positives by speaker, or alarms over hours by recording: what belongs together is drawn together.

    Shape: `counts` and `exposures` `[groups]`

    Args:
        counts: misses or alarms of each group.
        exposures: positives or hours of each group, each above 0.
        rng: where the draws come from.
        resamples: how many draws.
        confidence: two-sided coverage.
    """
    count = np.asarray(counts, np.float64)
    exposure = np.asarray(exposures, np.float64)
    if count.shape != exposure.shape or count.ndim != 1 or count.size == 0 or (exposure <= 0).any():
        raise ValueError("bootstrap_ratio needs one count and one exposure above 0 for each of at least one group")
    ratios = np.empty(resamples)
    for number in range(resamples):
        drawn = rng.integers(0, count.size, count.size)
        ratios[number] = count[drawn].sum() / exposure[drawn].sum()
    low, high = np.quantile(ratios, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def bootstrap_by_group(
    failed: NDArray[np.bool_], groups: list[str], *, rng: np.random.Generator, resamples: int = 2000
) -> Interval:
    """Interval of the share of failures when whole groups (speakers, voices) are drawn with replacement.

    Shape: `failed` `[trials]`, one group name per trial
    """
    _, index = np.unique(np.asarray(groups, dtype=str), return_inverse=True)
    counts = np.bincount(index, weights=failed.astype(np.float64))
    return bootstrap_ratio(counts, np.bincount(index), rng=rng, resamples=resamples)
