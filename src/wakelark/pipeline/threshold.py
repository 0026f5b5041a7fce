"""Stage "threshold": operating points, chosen on development audio only, and the shift of the log-odds that makes 0.5
the normal one in every file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from wakelark.config import EvaluationConfig
from wakelark.evaluation.events import log_odds
from wakelark.evaluation.intervals import hours_needed
from wakelark.evaluation.operating_point import DetCurve
from wakelark.model_card import PRESETS, CardPreset

FREE_MISSES = 0.005
"""A threshold that costs at most this share of the development positives more counts as free."""

NORMAL_SCORE = 0.5
"""What a model file's normal threshold is."""

_FARTHEST_SHIFT = 40.0
_SHIFT_PRECISION = 1e-4


@dataclass(frozen=True, slots=True)
class PresetRule:
    """How a preset is chosen.

    Attributes:
        budget: its false alarms per hour, as a multiple of `evaluation.fa_per_hour`.
        margin: how much of the way, in log-odds, it goes from the lowest threshold that keeps the budget to the point
            at which misses begin.
    """

    budget: float
    margin: float


RULES: dict[str, PresetRule] = dict(
    zip(PRESETS, (PresetRule(0.2, 0.75), PresetRule(1.0, 0.5), PresetRule(4.0, 0.25)), strict=True)
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """A threshold and how it was found.

    Attributes:
        threshold: the chosen one, at most 1.
        budget_threshold: the lowest that keeps the budget on the development recordings.
        free_threshold: the highest that hardly misses more of the development positives than that.
    """

    threshold: float
    budget_threshold: float
    free_threshold: float


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatingPoint:
    """How a model decides: what export folds into its file, and the presets of its card.

    Attributes:
        shift: of the logits; see `fit_operating_point`.
        presets: of the shifted scores; the normal one is 0.5.
        normal: how that was found.
        curve: of the shifted scores on the development set.
    """

    shift: float
    presets: tuple[CardPreset, ...]
    normal: Choice
    curve: DetCurve


def choose_threshold(curve: DetCurve, evaluation: EvaluationConfig, name: str = "normal") -> Choice:
    """The threshold of a preset, with a margin where a margin is free.

    The lowest threshold that keeps the budget lies just above one single event of a few development hours: on other
    audio it is as likely broken as kept. Where the positives lie well above it, the threshold moves towards them, in
    log-odds, by the preset's share of the way to the point at which misses begin.
    """
    rule = RULES[name]
    lowest = curve.threshold_for_budget(rule.budget * evaluation.fa_per_hour)
    allowed_misses = curve.missed_at(lowest) + int(FREE_MISSES * len(curve.positives))
    free = float(curve.positives[allowed_misses]) if allowed_misses < len(curve.positives) else lowest
    free = max(lowest, free)
    between = _between(lowest, free, rule.margin) if free > lowest else lowest
    return Choice(threshold=min(between, 1.0), budget_threshold=lowest, free_threshold=free)


def choose_presets(curve: DetCurve, evaluation: EvaluationConfig) -> tuple[CardPreset, ...]:
    """All presets, strict first, each with what the development audio says of it and whether that is enough."""
    thresholds = [choose_threshold(curve, evaluation, name).threshold for name in PRESETS]
    return _presets(curve, evaluation, thresholds)


def fit_operating_point(curve_of: Callable[[float], DetCurve], evaluation: EvaluationConfig) -> OperatingPoint:
    """Shift the log-odds until the normal threshold is 0.5, and choose the presets there.

    The scores are smoothed after the shift, so the shift is searched for: the chosen threshold grows with it. Of the
    last two shifts, `_SHIFT_PRECISION` apart, the one whose threshold is not above 0.5 is taken: 0.5 keeps the budget.

    Args:
        curve_of: the development curve with so much added to the logits.
        evaluation: budget and decision rule.
    """

    def threshold_at(shift: float) -> float:
        return choose_threshold(curve_of(shift), evaluation).threshold

    guess = -_logit(threshold_at(0.0))
    low, high = guess - 1.0, guess + 1.0
    if threshold_at(low) > NORMAL_SCORE:
        low = -_FARTHEST_SHIFT
    if threshold_at(high) <= NORMAL_SCORE:
        high = _FARTHEST_SHIFT
    while high - low > _SHIFT_PRECISION:
        middle = (low + high) / 2
        low, high = (middle, high) if threshold_at(middle) <= NORMAL_SCORE else (low, middle)
    curve = curve_of(low)
    strict, _, sensitive = (choose_threshold(curve, evaluation, name).threshold for name in PRESETS)
    thresholds = [max(strict, NORMAL_SCORE), NORMAL_SCORE, min(sensitive, NORMAL_SCORE)]
    return OperatingPoint(
        shift=low, presets=_presets(curve, evaluation, thresholds),
        normal=choose_threshold(curve, evaluation), curve=curve,
    )  # fmt: skip


def _presets(curve: DetCurve, evaluation: EvaluationConfig, thresholds: list[float]) -> tuple[CardPreset, ...]:
    presets = []
    for name, threshold in zip(PRESETS, thresholds, strict=True):
        budget = RULES[name].budget * evaluation.fa_per_hour
        point = curve.at(threshold)
        needed = hours_needed(budget, point.false_alarms)
        presets.append(
            CardPreset(
                name=name,
                threshold=threshold,
                fa_per_hour=budget,
                miss_rate=point.miss_rate if point.positives else 1.0,
                false_alarms=point.false_alarms,
                supported=needed <= curve.hours,
                hours_needed=round(needed, 2),
            )
        )
    return tuple(presets)


def _logit(probability: float) -> float:
    return float(log_odds(np.array([probability]))[0])


def _between(first: float, second: float, share: float) -> float:
    """The probability at a share of the way from the first to the second, in log-odds."""
    return float(1 / (1 + np.exp(-((1 - share) * _logit(first) + share * _logit(second)))))
