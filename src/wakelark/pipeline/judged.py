"""The operating point of the tiny model with the accurate one as its judge, chosen on development audio only.

The tiny model wakes the judge at a threshold that a detector of its own could not afford: all that a false waking costs
is the judge's time. So this threshold is the lowest that keeps `evaluation.judge_wakes_per_hour`, and what fires is
decided by the verdict of both, whose thresholds are chosen as any model's.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from wakelark.config import EvaluationConfig
from wakelark.evaluation.cascade import CascadeRule, wakings
from wakelark.evaluation.events import Float64Array, IntArray, log_odds
from wakelark.evaluation.operating_point import DetCurve
from wakelark.model_card import CardJudged, ModelCard, lookback_steps, patience_steps
from wakelark.pipeline.development import Heard
from wakelark.pipeline.threshold import OperatingPoint, fit_operating_point


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedPoint:
    """How the tiny model works with the judge.

    Attributes:
        wake_threshold: of the tiny model's smoothed score.
        wakes_per_hour: how often it was reached in the development recordings.
        verdict: its shift, presets and curve, as those of a model.
        evaluation: how far the judge looks back, and how long it stays awake.
    """

    wake_threshold: float
    wakes_per_hour: float
    verdict: OperatingPoint
    evaluation: EvaluationConfig

    def card(self, judge_digest: str) -> CardJudged:
        """For the tiny model's card."""
        return CardJudged(
            judge=judge_digest, wake_threshold=self.wake_threshold, wakes_per_hour=round(self.wakes_per_hour, 3),
            lookback_s=self.evaluation.judge_lookback_s, patience_s=self.evaluation.judge_patience_s,
            judge_weight=self.evaluation.judge_weight, logit_shift=self.verdict.shift, presets=self.verdict.presets,
        )  # fmt: skip


def fit_judged(
    tiny: Heard, judge: Heard, evaluation: EvaluationConfig, *, tiny_card: ModelCard, judge_card: ModelCard
) -> JudgedPoint:
    """Choose what wakes the judge, and at which verdicts to fire.

    Args:
        tiny: what wakes the judge.
        judge: over the same development set.
        evaluation: budgets, how far the judge looks back, and how long it stays awake.
        tiny_card, judge_card: how much their files shift the log-odds, and where the tiny model fires alone.
    """
    curve = tiny.curve(tiny_card.logit_shift)
    rule = CascadeRule(
        wake_threshold=min(
            # With little development audio, this would lie above where the tiny model fires alone.
            curve.threshold_for_budget(evaluation.judge_wakes_per_hour),
            tiny_card.preset("sensitive").threshold,
        ),
        patience_steps=patience_steps(evaluation.judge_patience_s, step_s=tiny.step_s),
        lookback_steps=lookback_steps(evaluation.judge_lookback_s, step_s=judge.step_s),
        judge_weight=evaluation.judge_weight,
        logit_shift=0.0,
    )

    def hear(waking: Float64Array, heard: Float64Array) -> tuple[Float64Array, int]:
        return rule.verdicts(waking, heard, _known(tiny, judge, len(waking))), wakings(rule.awake(waking))

    wakes, judges = tiny_card.logit_shift, judge_card.logit_shift
    # The voice gate holds for what wakes the judge; once awake, it hears everything.
    pairs = zip(tiny.trial_scores(wakes, gated=True), judge.trial_scores(judges, gated=False), strict=True)
    trials = [hear(*pair)[0] for pair in pairs]
    pairs = zip(tiny.negative_scores(wakes, gated=True), judge.negative_scores(judges, gated=False), strict=True)
    negatives = [hear(*pair) for pair in pairs]

    def curve_of(shift: float) -> DetCurve:
        return tiny.curve_of(
            [_shifted(verdicts, shift) for verdicts in trials], [_shifted(verdicts, shift) for verdicts, _ in negatives]
        )

    return JudgedPoint(
        wake_threshold=rule.wake_threshold,
        wakes_per_hour=sum(woken for _, woken in negatives) / curve.hours,
        verdict=fit_operating_point(curve_of, evaluation), evaluation=evaluation,
    )  # fmt: skip


def _shifted(verdicts: Float64Array, shift: float) -> Float64Array:
    """Shape: `[T] -> [T]`; 0, where the judge sleeps, stays 0."""
    return np.where(verdicts > 0, 1 / (1 + np.exp(-(log_odds(verdicts) + shift))), 0.0)


def _known(tiny: Heard, judge: Heard, steps: int) -> IntArray:
    """How many of the judge's scores have ended when each of the tiny model's has. Shape: `-> [steps]`"""
    ends_s = tiny.first_s + np.arange(steps) * tiny.step_s
    known = np.floor((ends_s - judge.first_s) / judge.step_s + 1e-6).astype(np.int64) + 1
    return np.maximum(known, 0)
