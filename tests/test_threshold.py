"""The threshold keeps its budget, and moves up only where that is free."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wakelark.config import EvaluationConfig
from wakelark.evaluation.intervals import poisson_cdf
from wakelark.evaluation.operating_point import DetCurve
from wakelark.model_card import PRESETS
from wakelark.pipeline.threshold import FREE_MISSES, choose_presets, choose_threshold, fit_operating_point

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
    assert {preset.miss_rate for preset in choose_presets(DetCurve([], [0.6], hours=2.0), HALF)} == {1.0}


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
    presets = choose_presets(curve, HALF)
    assert tuple(preset.name for preset in presets) == PRESETS
    assert [preset.fa_per_hour for preset in presets] == [0.1, 0.5, 2.0]
    thresholds = [preset.threshold for preset in presets]
    assert thresholds == sorted(thresholds, reverse=True)
    for preset in presets:
        assert preset.false_alarms == curve.false_alarms_at(preset.threshold)
        assert preset.supported == (poisson_cdf(preset.false_alarms, preset.fa_per_hour * hours) <= 0.05)


def test_a_preset_says_which_hours_would_show_its_budget() -> None:
    """In 7 h 2 per hour is shown with seven alarms, 0.5 is not with one (9.5 h), 0.1 is not without any (30 h)."""
    events = [0.5, 0.1, 0.05, 0.04, 0.03, 0.02, 0.01]
    strict, normal, sensitive = choose_presets(DetCurve([0.45] * 50 + [0.6] * 50, events, hours=7.0), HALF)
    assert (strict.false_alarms, strict.supported, strict.hours_needed) == (0, False, 29.96)
    assert (normal.false_alarms, normal.supported, normal.hours_needed) == (1, False, 9.49)
    assert (sensitive.false_alarms, sensitive.supported) == (7, True)  # 13.1 / 7 h is at most 2


def curve_of_logits(positives: np.ndarray, events: np.ndarray, hours: float, shift: float) -> DetCurve:
    probabilities = [1 / (1 + np.exp(-(values + shift))) for values in (positives, events)]
    return DetCurve(*probabilities, hours=hours, floor=1e-5)


def test_without_smoothing_the_shift_is_the_normal_threshold() -> None:
    positives, events = np.array([4.0] * 20), np.array([3.0, 1.0, -2.0])
    point = fit_operating_point(partial(curve_of_logits, positives, events, 2.0), HALF)
    assert point.shift == pytest.approx(-(1.0 + 4.0) / 2, abs=2e-4)  # one event is allowed; half the way to 4
    assert point.presets[1].threshold == 0.5
    assert point.presets[1].false_alarms == 1
    assert point.normal.threshold == pytest.approx(0.5, abs=1e-4)


@settings(deadline=None)
@given(
    positives=st.lists(st.floats(-9, 9), min_size=1, max_size=30), events=st.lists(st.floats(-9, 9), max_size=30),
    hours=st.floats(0.5, 20),
)  # fmt: skip
def test_half_is_always_the_normal_threshold_and_keeps_the_budget(
    positives: list[float], events: list[float], hours: float
) -> None:
    point = fit_operating_point(partial(curve_of_logits, np.array(positives), np.array(events), hours), HALF)
    strict, normal, sensitive = point.presets
    assert normal.threshold == 0.5
    assert strict.threshold >= 0.5 >= sensitive.threshold
    assert normal.false_alarms <= point.curve.allowed_events(0.5)
