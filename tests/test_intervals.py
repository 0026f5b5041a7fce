"""Intervals against the published tables, and their laws."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wakelark.evaluation.intervals import (
    bootstrap_by_group,
    bootstrap_ratio,
    hours_needed,
    poisson_cdf,
    poisson_interval,
    wilson_interval,
)


@pytest.mark.parametrize(
    ("events", "hours", "low", "high"),
    [
        (0, 5.5, "0.00", "0.67"),
        (1, 5.5, "0.005", "1.01"),
        (2, 5.5, "0.04", "1.31"),
        (5, 5.5, "0.30", "2.12"),
        (0, 10, "0.00", "0.37"),
        (1, 10, "0.003", "0.56"),
        (2, 10, "0.02", "0.72"),
        (5, 10, "0.16", "1.17"),
        (0, 24, "0.00", "0.15"),
        (5, 24, "0.07", "0.49"),
        (0, 100, "0.000", "0.037"),
        (5, 100, "0.016", "0.117"),
    ],
)
def test_garwood_interval_equals_the_table(events: int, hours: float, low: str, high: str) -> None:
    for found, printed in zip(poisson_interval(events, hours), (low, high), strict=True):
        assert f"{found:.{len(printed) - 2}f}" == printed


def test_zero_events_have_the_closed_form() -> None:
    assert poisson_interval(0, 1.0)[1] == pytest.approx(-math.log(0.025), rel=1e-12)
    assert hours_needed(1.0) == pytest.approx(-math.log(0.05), rel=1e-12)


@given(st.integers(1, 400), st.floats(0.1, 200))
def test_garwood_bounds_solve_their_definition(events: int, hours: float) -> None:
    low, high = poisson_interval(events, hours)
    assert 1 - poisson_cdf(events - 1, low * hours) == pytest.approx(0.025, abs=1e-8)
    assert poisson_cdf(events, high * hours) == pytest.approx(0.025, abs=1e-8)
    assert low < events / hours < high


@pytest.mark.parametrize(("rate", "hours"), [(1, (3.0, 4.7, 6.3)), (0.5, (6.0, 9.5, 12.6)), (0.1, (30, 47, 63))])
def test_hours_needed_equals_the_table(rate: float, hours: tuple[float, ...]) -> None:
    for events, expected in enumerate(hours):
        assert hours_needed(rate, events) == pytest.approx(expected, abs=0.06 if rate > 0.1 else 0.6)


@pytest.mark.parametrize(
    ("trials", "low", "high"), [(100, 2.2, 11.2), (300, 3.1, 8.1), (1000, 3.8, 6.5), (2000, 4.1, 6.0), (4000, 4.4, 5.7)]
)
def test_wilson_interval_equals_the_table(trials: int, low: float, high: float) -> None:
    assert [100 * bound for bound in wilson_interval(trials // 20, trials)] == pytest.approx([low, high], abs=0.06)


@given(st.integers(0, 500), st.integers(0, 500))
def test_wilson_interval_holds_the_share_and_is_symmetric(count: int, others: int) -> None:
    trials = count + others
    low, high = wilson_interval(count, trials)
    assert 0 <= low <= high <= 1
    if trials:
        assert low <= count / trials <= high
        other_low, other_high = wilson_interval(others, trials)
        assert (1 - other_high, 1 - other_low) == pytest.approx((low, high))


def test_bootstrap_by_group_is_wider_when_failures_cluster() -> None:
    failed = np.zeros(200, bool)
    failed[:20] = True
    clustered = [f"speaker {number // 20}" for number in range(200)]
    scattered = [f"speaker {number % 10}" for number in range(200)]
    wide = bootstrap_by_group(failed, clustered, rng=np.random.default_rng(0))
    narrow = bootstrap_by_group(failed, scattered, rng=np.random.default_rng(0))
    assert narrow == (0.1, 0.1)  # every speaker fails on exactly 2 of 20
    assert wide[0] == 0.0
    assert wide[1] >= 0.2


def test_bootstrap_repeats_with_its_seed_and_matches_a_hand_count() -> None:
    first, second = (bootstrap_ratio([0, 2], [1, 1], rng=np.random.default_rng(3)) for _ in range(2))
    assert first == second == (0.0, 2.0)  # two groups: ratios 0, 1, 2 with probabilities 1/4, 1/2, 1/4


@pytest.mark.parametrize(("counts", "exposures"), [([], []), ([1], [0]), ([1, 2], [1])])
def test_bootstrap_refuses_what_has_no_ratio(counts: list[int], exposures: list[int]) -> None:
    with pytest.raises(ValueError, match="above 0"):
        bootstrap_ratio(counts, exposures, rng=np.random.default_rng(0))


def test_impossible_counts_are_refused() -> None:
    with pytest.raises(ValueError, match="hours above 0"):
        poisson_interval(1, 0.0)
    with pytest.raises(ValueError, match="between 0"):
        wilson_interval(3, 2)
