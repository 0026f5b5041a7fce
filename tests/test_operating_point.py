"""Operating points by hand-counted examples, ties and edge cases."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wakelark.errors import DataError
from wakelark.evaluation.intervals import hours_needed
from wakelark.evaluation.operating_point import LOWEST_THRESHOLD, DetCurve, operating_rows, selection_figure

scores = st.lists(st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.75, 1.0]) | st.floats(0, 1), max_size=30)


def test_threshold_lies_just_above_the_first_event_that_is_too_many() -> None:
    curve = DetCurve([0.95, 0.8, 0.6, 0.1], [0.9, 0.7, 0.5, 0.3], hours=4.0)
    for budget, event in ((0.1, 0.9), (0.25, 0.7), (0.5, 0.5), (0.75, 0.3)):
        assert curve.threshold_for_budget(budget) == np.nextafter(event, 1)
    assert curve.matched_miss_rate(0.1) == 0.75
    assert curve.matched_miss_rate(0.5) == 0.25
    point = curve.at(0.7)  # at the threshold fires
    assert (point.missed, point.false_alarms, point.miss_rate, point.fa_per_hour) == (2, 2, 0.5, 0.5)


def test_equal_events_fire_all_or_none() -> None:
    curve = DetCurve([0.9], [0.8, 0.6, 0.6, 0.6], hours=1.0)
    threshold = curve.threshold_for_budget(2.0)
    assert threshold == np.nextafter(0.6, 1)
    assert curve.false_alarms_at(threshold) == 1


def test_saturated_events_leave_nothing_that_fires() -> None:
    curve = DetCurve([1.0, 1.0], [1.0, 1.0], hours=1.0)
    assert curve.threshold_for_budget(1.0) > 1
    assert curve.matched_miss_rate(1.0) == 1.0


def test_without_events_the_lowest_known_threshold_is_taken() -> None:
    assert DetCurve([0.5], [], hours=1.0).threshold_for_budget(0.5) == LOWEST_THRESHOLD
    assert DetCurve([0.5], [], hours=1.0, floor=0.2).threshold_for_budget(0.5) == 0.2
    assert DetCurve([0.5], [0.3], hours=1.0, floor=0.2).threshold_for_budget(1.0) == 0.2
    # Silent models detect nothing, whatever the budget.
    assert DetCurve([0.0], [0.0], hours=1.0).matched_miss_rate(4.0) == 1.0


def test_budget_in_whole_events_survives_floating_point() -> None:
    assert DetCurve([], [], hours=100).allowed_events(0.29) == 29  # 0.29 * 100 = 28.999999999999996
    assert DetCurve([], [], hours=1.9).allowed_events(0.5) == 0


def test_no_negative_audio_is_an_error_with_a_remedy() -> None:
    with pytest.raises(DataError, match="wakelark fetch"):
        DetCurve([0.9], [], hours=0.0)


def test_no_positives_have_no_miss_rate() -> None:
    point = DetCurve([], [0.5], hours=1.0).at(0.4)
    assert math.isnan(point.miss_rate)
    assert point.miss_rate_ci == (0.0, 1.0)


def test_selection_figure_is_the_mean_over_four_budgets() -> None:
    # One hour: 0, 1, 2 and 4 events allowed, so thresholds just above 0.9, 0.8, 0.7, 0.5.
    curve = DetCurve([0.95, 0.85, 0.75, 0.55], [0.9, 0.8, 0.7, 0.6, 0.5], hours=1.0)
    assert selection_figure(curve) == pytest.approx((0.75 + 0.5 + 0.25 + 0.0) / 4)


def test_a_claim_takes_hours_and_a_stricter_threshold() -> None:
    """10 h: 0.2 takes 15 h; 0.5 is shown with one alarm (9.5 h; two take 12.6), 1.0 with four (9.2 h; five: 10.5)."""
    events = [0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3]
    curve = DetCurve([0.95, 0.85, 0.45], events, hours=10.0)
    assert curve.claim(0.2) is None
    for budget, allowed in ((0.5, 1), (1.0, 4)):
        claim = curve.claim(budget)
        assert claim is not None
        assert claim.false_alarms == allowed
        assert claim.threshold == np.nextafter(events[allowed], 1)
        assert claim.threshold >= curve.threshold_for_budget(budget)
    rows = {row["fa_per_hour_budget"]: row for row in operating_rows(curve)}
    assert list(rows) == [0.1, 0.2, 0.5, 1.0, 2.0]
    assert [row["supported"] for row in rows.values()] == [False, False, True, True, True]
    assert rows[0.1]["hours_needed"] == pytest.approx(29.96, abs=0.01)
    assert rows[0.5]["claim"] == {
        "threshold": np.nextafter(0.8, 1),
        "false_alarms": 1,
        "miss_rate": pytest.approx(1 / 3),
    }
    assert rows[0.2]["claim"] is None


@given(scores, st.floats(0.1, 60), st.floats(0.05, 4))
def test_a_claim_is_as_low_as_the_upper_bound_allows(events: list[float], hours: float, budget: float) -> None:
    curve = DetCurve([0.5], events, hours=hours)
    claim = curve.claim(budget)
    assert (claim is not None) == (hours_needed(budget) <= hours * (1 + 1e-9))
    if claim is not None:
        assert hours_needed(budget, claim.false_alarms) <= hours * (1 + 1e-9)
        if claim.threshold > curve.lowest:
            more = curve.false_alarms_at(np.nextafter(claim.threshold, 0))
            assert hours_needed(budget, more) > hours * (1 - 1e-9)


@given(scores, scores, st.floats(0.1, 20), st.floats(0, 30))
def test_budget_is_kept_and_is_not_wasted(
    positives: list[float], events: list[float], hours: float, budget: float
) -> None:
    curve = DetCurve(positives, events, hours=hours)
    threshold = curve.threshold_for_budget(budget)
    assert curve.false_alarms_at(threshold) <= curve.allowed_events(budget) or threshold == LOWEST_THRESHOLD
    lower = np.nextafter(threshold, 0)
    if threshold > LOWEST_THRESHOLD:
        assert curve.false_alarms_at(lower) > curve.allowed_events(budget)


@given(scores, scores, st.floats(0, 1))
def test_counts_equal_plain_counting(positives: list[float], events: list[float], threshold: float) -> None:
    point = DetCurve(positives, events, hours=2.0).at(threshold)
    assert point.missed == sum(score < threshold for score in positives)
    assert point.false_alarms == sum(score >= threshold for score in events)


@given(scores, scores)
def test_curve_trades_misses_for_alarms(positives: list[float], events: list[float]) -> None:
    thresholds, alarms, missed = DetCurve(positives, events, hours=2.0).points()
    assert (np.diff(thresholds) < 0).all()
    assert (np.diff(alarms) >= 0).all()
    assert (np.diff(missed) <= 0).all()
    assert alarms[0] == 0
