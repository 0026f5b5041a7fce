"""Stage "threshold": the operating point, chosen on development audio only."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from wakelark.config import EvaluationConfig
from wakelark.evaluation.events import log_odds
from wakelark.evaluation.operating_point import BUDGETS, DetCurve
from wakelark.model_card import CardOperatingPoint

FREE_MISSES = 0.005
"""A threshold that costs at most this share of the development positives more counts as free."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The threshold of a model and how it was found.

    Attributes:
        threshold: for the card.
        budget_threshold: the lowest that keeps the budget on the development recordings.
        free_threshold: the highest that hardly misses more of the development positives than that.
        points: thresholds for other budgets, from the same recordings.
    """

    threshold: float
    budget_threshold: float
    free_threshold: float
    points: tuple[CardOperatingPoint, ...]


def choose_threshold(curve: DetCurve, evaluation: EvaluationConfig) -> Choice:
    """The threshold for `evaluation.fa_per_hour`, with a margin where a margin is free.

    The lowest threshold that keeps the budget lies just above one single event of a few development hours: on other
    audio it is as likely broken as kept. Where the positives lie well above it, the threshold moves towards them, half
    the way in log-odds to the point at which misses begin.
    """
    lowest = curve.threshold_for_budget(evaluation.fa_per_hour)
    allowed_misses = curve.missed_at(lowest) + int(FREE_MISSES * len(curve.positives))
    free = float(curve.positives[allowed_misses]) if allowed_misses < len(curve.positives) else lowest
    free = max(lowest, free)
    middle = _half_way(lowest, free) if free > lowest else lowest
    points = tuple(
        CardOperatingPoint(
            fa_per_hour_budget=budget, threshold=min(point.threshold, 1.0),
            miss_rate=point.miss_rate if curve.positives.size else 1.0,
        )
        for budget, point in curve.operating_points(BUDGETS)
    )  # fmt: skip
    return Choice(threshold=min(middle, 1.0), budget_threshold=lowest, free_threshold=free, points=points)


def _half_way(first: float, second: float) -> float:
    """The probability half the way in log-odds."""
    return float(1 / (1 + np.exp(-np.mean(log_odds(np.array([first, second]))))))
