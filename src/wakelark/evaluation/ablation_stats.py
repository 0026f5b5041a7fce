"""Statistics of paired runs: permutation test, Holm's correction, and when a part may be said to help."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wakelark.evaluation.intervals import Interval

EXACT_PAIRS = 15
"""Up to so many pairs all 2^n patterns of signs are counted."""
RANDOM_PATTERNS = 100_000
SIGNIFICANT = 0.05
CONTROL_SHARE = 0.5
"""A control that reproduces this share of the gain refutes the claim."""
FEWEST_PAIRS = 5
"""With fewer pairs the interval says nothing about other seeds."""
_TIE = 1e-12


def log_miss(miss_rate: ArrayLike, positives: int) -> NDArray[np.float64]:
    """log(miss + 1 / 2n): differences of it are ratios of miss rates, and stay finite when nothing is missed.

    Shape: `[*] -> [*]`

    >>> round(float(log_miss(0.0, 50)), 3), round(float(log_miss(0.1, 50) - log_miss(0.21, 50)), 3)
    (-4.605, -0.693)
    """
    return np.log(np.asarray(miss_rate, np.float64) + 0.5 / positives)


def sign_flip_p(differences: ArrayLike) -> float:
    """Two-sided p of paired differences: how often random signs give a sum at least as far from 0.

    Exact up to 15 pairs, else from 100,000 random patterns (and the observed one). The smallest p of n pairs is
    2 / 2^n.

    Shape: `[n]`

    >>> sign_flip_p([1.0, 2.0, 3.0]), sign_flip_p([1.0, 2.0, -3.0]), sign_flip_p([])
    (0.25, 1.0, 1.0)
    """
    values = np.asarray(differences, np.float64)
    if not values.size or not np.any(values):
        return 1.0
    observed = abs(values.sum()) * (1 - _TIE)
    if values.size <= EXACT_PAIRS:
        signs = np.array(list(itertools.product((1.0, -1.0), repeat=values.size)))
        return float(np.mean(np.abs(signs @ values) >= observed))
    rng = np.random.default_rng(values.size)
    as_far = sum(
        int(np.sum(np.abs(rng.choice((1.0, -1.0), (1000, values.size)) @ values) >= observed))
        for _ in range(RANDOM_PATTERNS // 1000)
    )
    return (as_far + 1) / (RANDOM_PATTERNS + 1)


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Holm's adjusted p of several hypotheses: the smallest times their number, the next times one less, never falling.

    >>> holm({"a": 0.01, "b": 0.04, "c": 0.03})
    {'a': 0.03, 'c': 0.06, 'b': 0.06}
    """
    adjusted: dict[str, float] = {}
    highest = 0.0
    for rank, name in enumerate(sorted(p_values, key=lambda name: p_values[name])):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[name]))
        adjusted[name] = round(highest, 12)
    return adjusted


def verdict(
    interval: Interval,
    *,
    pairs: int,
    gain: float,
    control_gains: Mapping[str, float],
    controls_missing: Sequence[str],
    p: float | None,
) -> str:
    """What may be said of a part, in words.

    Args:
        interval: of the difference (part minus without), below 0 when the part lowers the miss rate.
        pairs: how many there were.
        gain: the mean difference on the pairs that the controls ran on.
        control_gains: the mean difference of each control on the same pairs.
        controls_missing: controls that were not run; "helps" is said only when all were.
        p: adjusted p of the permutation test; None where none is asked for.

    >>> verdict((-0.9, -0.2), pairs=6, gain=-0.5, control_gains={"random": -0.1}, controls_missing=[], p=0.001)
    'helps'
    >>> verdict((-0.9, -0.2), pairs=6, gain=-0.5, control_gains={"random": -0.3}, controls_missing=[], p=0.001)
    'no claim: random reproduces 60 % of the gain'
    >>> verdict((-0.9, 0.1), pairs=6, gain=-0.5, control_gains={}, controls_missing=[], p=None)
    'no claim: the interval includes zero'
    """
    low, high = interval
    if pairs < FEWEST_PAIRS:
        return f"no claim: only {pairs} pair{'s' if pairs > 1 else ''}"
    if low > 0:
        return "hurts"
    if high >= 0:
        return "no claim: the interval includes zero"
    if p is not None and p > SIGNIFICANT:
        return f"no claim: p = {p:.3f}"
    shares = {name: control / gain for name, control in control_gains.items()} if gain < 0 else {}
    strongest = max(shares, key=lambda name: shares[name], default=None)
    if control_gains and gain >= 0:
        return "no claim: no gain where its controls were run"
    if strongest is not None and shares[strongest] >= CONTROL_SHARE:
        return f"no claim: {strongest} reproduces {100 * shares[strongest]:.0f} % of the gain"
    if not control_gains:
        return "lower miss rate; no control was run"
    return "lower miss rate; not all controls were run" if controls_missing else "helps"
