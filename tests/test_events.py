"""The event rule: hand-worked streams, and the laws that make the reported numbers trustworthy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from wakelark.errors import ModelError
from wakelark.evaluation.events import find_events, live_alarms, refractory_steps, smooth, smoothing_steps

STEP_S, REFRACTORY_S = 0.04, 1.5
few_levels = st.sampled_from([0.0, 0.1, 0.2, 0.5, 0.9, 1.0])  # ties and plateaus on purpose
streams = arrays(np.float64, st.integers(0, 400), elements=few_levels)


def naive_events(values: np.ndarray, *, step_s: float, refractory_s: float) -> list[int]:
    """Greedy suppression written down as the definition says."""
    left = [
        step
        for step in range(len(values))
        if (step == 0 or values[step - 1] < values[step])
        and next((later < values[step] for later in values[step:] if later != values[step]), True)
    ]
    chosen = []
    while left:
        best = max(left, key=lambda step: (values[step], -step))
        chosen.append(best)
        left = [step for step in left if abs(step - best) * step_s >= refractory_s - 1e-9]
    return sorted(chosen)


def test_smoothing_is_causal_and_starts_with_what_there_is() -> None:
    assert smooth([3.0, 0.0, 0.0, 6.0], 3).tolist() == [3.0, 1.5, 1.0, 2.0]
    assert smooth([1.0, 2.0], 5).tolist() == [1.0, 1.5]
    assert smooth([], 3).tolist() == []
    assert smooth([0.3, 0.7], 1).tolist() == [0.3, 0.7]


@pytest.mark.parametrize("broken", [np.nan, np.inf])
def test_a_broken_score_is_an_error_and_no_silence(broken: float) -> None:
    with pytest.raises(ModelError, match="not a finite number"):
        smooth([0.1, broken], 2)


def test_a_single_peak_is_one_event_at_the_end_of_its_step() -> None:
    scores = np.zeros(100)
    scores[50:53] = [0.4, 0.9, 0.4]
    events = find_events(scores, step_s=STEP_S, refractory_s=REFRACTORY_S, floor=0.01)
    assert events.times_s.tolist() == pytest.approx([52 * STEP_S])
    assert events.scores.tolist() == [0.9]


def test_the_floor_only_removes_events_below_it() -> None:
    scores = np.random.default_rng(0).random(5000)
    every = find_events(scores, step_s=STEP_S, refractory_s=REFRACTORY_S, floor=0.0)
    loud = find_events(scores, step_s=STEP_S, refractory_s=REFRACTORY_S, floor=0.97)
    assert loud.times_s.tolist() == every.above(0.97).times_s.tolist()
    assert 0 < len(loud) < len(every)


@given(streams)
def test_fast_suppression_equals_the_definition(values: np.ndarray) -> None:
    events = find_events(values, step_s=STEP_S, refractory_s=REFRACTORY_S, floor=0.0)
    expected = naive_events(values, step_s=STEP_S, refractory_s=REFRACTORY_S)
    assert np.rint(events.times_s / STEP_S).astype(int).tolist() == [step + 1 for step in expected]


@given(streams)
def test_counts_are_monotone_in_the_threshold(values: np.ndarray) -> None:
    events = find_events(values, step_s=STEP_S, refractory_s=REFRACTORY_S, floor=0.0)
    counts = [len(events.above(threshold)) for threshold in np.linspace(0, 1.1, 12)]
    assert counts == sorted(counts, reverse=True)


@given(streams, st.sampled_from([0.05, 0.15, 0.5, 0.95, 1.0]))
def test_a_running_detector_never_fires_more_often_than_events_are_counted(
    values: np.ndarray, threshold: float
) -> None:
    events = find_events(values, step_s=STEP_S, refractory_s=REFRACTORY_S, floor=0.0).above(threshold)
    alarms = live_alarms(values, threshold=threshold, step_s=STEP_S, refractory_s=REFRACTORY_S)
    assert len(alarms) <= len(events)
    assert bool(len(alarms)) == bool(len(events))


def test_both_rules_agree_on_ordinary_streams_and_differ_as_documented() -> None:
    apart = np.zeros(500)
    apart[[100, 200, 300]] = 0.9
    count = {"step_s": STEP_S, "refractory_s": REFRACTORY_S}
    assert len(find_events(apart, floor=0.5, **count)) == len(live_alarms(apart, threshold=0.5, **count)) == 3
    # A score that keeps coming back within 1.5 s is one alarm live; suppression counts a peak every 1.5 s.
    chatter = np.zeros(500)
    chatter[100:400:20] = 0.9
    assert len(live_alarms(chatter, threshold=0.5, **count)) == 1
    assert len(find_events(chatter, floor=0.5, **count)) == 8


def test_live_rule_rearms_after_exactly_the_refractory_time() -> None:
    quiet = refractory_steps(step_s=STEP_S, refractory_s=REFRACTORY_S)
    for gap, alarms in ((quiet - 1, 1), (quiet, 2)):
        values = np.concatenate([[0, 1], np.zeros(gap), [1, 0]])
        assert len(live_alarms(values, threshold=0.5, step_s=STEP_S, refractory_s=REFRACTORY_S)) == alarms


def test_steps_of_the_two_models() -> None:
    assert [smoothing_steps(step_s=step, smoothing_s=0.12) for step in (0.04, 0.08, 0.5)] == [3, 2, 1]
    assert [refractory_steps(step_s=step, refractory_s=1.5) for step in (0.03, 0.08, 2.0)] == [50, 19, 1]


def test_hours_of_scores_take_little_time() -> None:
    scores = np.random.default_rng(1).random(10 * 90_000)  # ten hours of 40 ms steps
    events = find_events(smooth(scores, 3), step_s=STEP_S, refractory_s=REFRACTORY_S, floor=0.0)
    assert np.diff(events.times_s).min() >= REFRACTORY_S - 1e-6
