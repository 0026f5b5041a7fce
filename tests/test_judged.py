"""The operating point of two models: by hand, on networks whose logits are written down."""

from __future__ import annotations

import numpy as np
import pytest

from wakelark.config import EvaluationConfig
from wakelark.pipeline.development import DevelopmentSet, PositiveTrial
from wakelark.pipeline.judged import JudgedPoint, fit_judged
from wakelark.pipeline.threshold import OperatingPoint, fit_operating_point
from wakelark.training.stream_features import StreamFeatures

from .tiny_model import tiny_card
from .tiny_network import STEP_S, WrittenNetwork, written

RULE = EvaluationConfig(
    smoothing_s=STEP_S, refractory_s=1.5, judge_wakes_per_hour=3.0, judge_lookback_s=STEP_S, judge_patience_s=0.0
)
HOUR = round(3600 / STEP_S)


def both(tiny: list[float], judge: list[float]) -> StreamFeatures:
    """Features at whose steps the tiny model says the first, and the judge the second logits."""
    found = written(tiny)
    found.logmel[:, 1] = judge
    return found


def hour(events: dict[int, tuple[float, float]]) -> StreamFeatures:
    """An hour in which both are silent but for some steps."""
    tiny, judge = [-9.0] * HOUR, [-9.0] * HOUR
    for step, (first, second) in events.items():
        tiny[step], judge[step] = first, second
    return both(tiny, judge)


def fit(trials: list[tuple[float, float]], events: dict[int, tuple[float, float]], rule: EvaluationConfig = RULE):
    development = DevelopmentSet(
        [PositiveTrial(both([first] * 3, [second] * 3), 0, 9, 0, False) for first, second in trials], [hour(events)],
        rule,
    )  # fmt: skip
    tiny, judge = (development.hear(WrittenNetwork(band=band)) for band in (0, 1))
    points = [fit_operating_point(heard.curve, rule) for heard in (tiny, judge)]
    cards = [tiny_card(presets=point.presets, logit_shift=point.shift) for point in points]
    return points, fit_judged(tiny, judge, rule, tiny_card=cards[0], judge_card=cards[1])


PHRASE = [(4.0, 4.0)] * 10
EVENTS = {100: (5.0, -5.0), 200: (3.0, -5.0), 300: (1.0, -5.0), 400: (-1.0, -5.0), 500: (-9.0, 6.0), 600: (-2.0, -6.0)}
"""What fools the tiny model leaves the judge cold, and the other way round."""


def test_together_they_hear_what_each_alone_must_miss() -> None:
    (tiny, judge), point = fit(PHRASE, EVENTS)
    assert tiny.curve.matched_miss_rate(0.5) == 1.0  # no alarm fits in one hour: above 5
    assert judge.curve.matched_miss_rate(0.5) == 1.0  # above 6
    assert point.verdict.curve.matched_miss_rate(0.5) == 0.0
    assert [preset.miss_rate for preset in point.verdict.presets] == [0.0, 0.0, 0.0]
    assert point.verdict.presets[1].false_alarms == 0


def test_the_judge_is_woken_as_often_as_allowed() -> None:
    points, point = fit(PHRASE, EVENTS)
    assert point.wakes_per_hour == pytest.approx(3.0)
    woken = 1 / (1 + np.exp(-(1.0 + points[0].shift)))  # by the three loudest, not by the fourth, at -1
    asleep = 1 / (1 + np.exp(-(-1.0 + points[0].shift)))
    assert asleep < point.wake_threshold <= woken


def test_the_judge_is_woken_at_least_where_the_tiny_model_would_fire() -> None:
    rule = RULE.model_copy(update={"judge_wakes_per_hour": 0.01})
    points, point = fit(PHRASE, EVENTS, rule)
    assert point.wake_threshold == points[0].presets[2].threshold


def test_the_verdict_has_no_event_where_the_tiny_model_sleeps() -> None:
    _, point = fit(PHRASE, EVENTS)
    assert len(point.verdict.curve.events) == 3


def test_the_weight_says_who_decides() -> None:
    """At one event the tiny model is sure and the judge doubts: the judge alone would keep it out."""
    trials, events = [(3.0, 3.0)] * 10, {100: (5.0, 1.0), 200: (2.0, 2.5)}
    for weight, missed in ((1.0, 0.0), (0.0, 1.0)):
        rule = RULE.model_copy(update={"judge_weight": weight})
        assert fit(trials, events, rule)[1].verdict.curve.matched_miss_rate(0.5) == missed


def test_a_card_holds_what_was_chosen() -> None:
    points: tuple[list[OperatingPoint], JudgedPoint] = fit(PHRASE, EVENTS)
    card = points[1].card("0123456789abcdef")
    assert (card.judge, card.wakes_per_hour, card.judge_weight) == ("0123456789abcdef", 3.0, 0.5)
    assert (card.lookback_s, card.patience_s) == (STEP_S, 0.0)
    assert card.presets[1].threshold == 0.5
    assert card.presets == points[1].verdict.presets
