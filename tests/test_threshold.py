"""The threshold keeps its budget, and moves up only where that is free."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wakelark.config import EvaluationConfig
from wakelark.evaluation.operating_point import BUDGETS, DetCurve
from wakelark.pipeline.threshold import FREE_MISSES, choose_threshold

HALF = EvaluationConfig(fa_per_hour=0.5)
scores = st.floats(0.001, 1.0)


def log_odds(probability: float) -> float:
    return math.log(probability / (1 - probability))


def test_half_the_way_in_log_odds_to_where_misses_begin() -> None:
    curve = DetCurve([0.95] * 20, [0.5, 0.4, 0.1], hours=2.0)  # one event is allowed
    choice = choose_threshold(curve, HALF)
    assert choice.budget_threshold == np.nextafter(0.4, 1)  # so it lies just above the second
    assert choice.free_threshold == 0.95
    assert log_odds(choice.threshold) == pytest.approx((log_odds(0.4) + log_odds(0.95)) / 2)
    assert (curve.missed_at(choice.threshold), curve.false_alarms_at(choice.threshold)) == (0, 0)


def test_nothing_moves_where_positives_lie_right_above() -> None:
    curve = DetCurve([0.2, 0.3, np.nextafter(0.4, 1)], [0.5, 0.4], hours=2.0)
    choice = choose_threshold(curve, HALF)
    assert choice.threshold == choice.budget_threshold == choice.free_threshold


def test_one_miss_in_two_hundred_counts_as_free() -> None:
    positives = [0.5] + [0.9] * 199
    assert choose_threshold(DetCurve(positives, [0.4], hours=1.0), HALF).free_threshold == 0.9
    assert choose_threshold(DetCurve(positives[:-1], [0.4], hours=1.0), HALF).free_threshold == 0.5


def test_all_missed_is_no_crash() -> None:
    choice = choose_threshold(DetCurve([0.1, 0.2], [1.0, 1.0], hours=1.0), HALF)
    assert choice.threshold == 1.0  # nothing above can be set


def test_without_positives_the_budget_alone_decides() -> None:
    choice = choose_threshold(DetCurve([], [0.6, 0.3], hours=2.0), HALF)
    assert choice.threshold == np.nextafter(0.3, 1)
    assert {point.miss_rate for point in choice.points} == {1.0}


@given(positives=st.lists(scores, max_size=30), events=st.lists(scores, max_size=30), hours=st.floats(0.5, 20))
def test_budget_and_misses_hold(positives: list[float], events: list[float], hours: float) -> None:
    curve = DetCurve(positives, events, hours=hours, floor=1e-5)
    choice = choose_threshold(curve, HALF)
    assert choice.threshold <= 1.0
    if choice.budget_threshold <= 1.0:
        assert curve.false_alarms_at(choice.threshold) <= curve.allowed_events(0.5)
        assert choice.budget_threshold <= choice.threshold * (1 + 1e-9)
        # The log-odds and back are rounded: a score right at the threshold may fall on either side.
        below = choice.threshold * (1 - 1e-9)
        assert curve.missed_at(below) <= curve.missed_at(choice.budget_threshold) + FREE_MISSES * len(positives)
    assert [point.fa_per_hour_budget for point in choice.points] == list(BUDGETS)
    thresholds = [point.threshold for point in choice.points]
    assert thresholds == sorted(thresholds, reverse=True)
