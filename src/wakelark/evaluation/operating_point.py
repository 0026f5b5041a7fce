"""Operating points: thresholds for a false-alarm budget, and the misses they cost.

A detector fires where the smoothed score is at or above the threshold.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wakelark.errors import DataError
from wakelark.evaluation.intervals import Interval, hours_needed, most_events, poisson_interval, wilson_interval

BUDGETS = (0.1, 0.2, 0.5, 1.0, 2.0)
"""False alarms per hour at which operating points are given."""

SELECTION_BUDGETS = (0.5, 1.0, 2.0, 4.0)
"""Budgets whose mean miss rate selects models: with few development hours, 0.5 per hour alone is one single event."""

LOWEST_THRESHOLD = 1e-6
"""A score below one in a million never counts as a detection, however generous the budget."""


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """What a detector does at one threshold: counts, rates and their 95 % intervals (Wilson and Garwood)."""

    threshold: float
    positives: int
    missed: int
    hours: float
    false_alarms: int

    @property
    def miss_rate(self) -> float:
        return self.missed / self.positives if self.positives else math.nan

    @property
    def miss_rate_ci(self) -> Interval:
        return wilson_interval(self.missed, self.positives)

    @property
    def fa_per_hour(self) -> float:
        return self.false_alarms / self.hours

    @property
    def fa_per_hour_ci(self) -> Interval:
        return poisson_interval(self.false_alarms, self.hours)


class DetCurve:
    """Misses against false alarms for every threshold, from scores of the positives and events of the negatives.

    Shape: `positive_scores` `[positives]`, `event_scores` `[events]`, in any order

    Args:
        positive_scores: the highest smoothed score in the hit window of each positive clip.
        event_scores: scores of all events at or above `floor` in the negative audio.
        hours: how much negative audio was heard, above 0.
        floor: the events below this score are not known (0: all are known); no threshold goes below it.

    Raises:
        DataError: there is no negative audio: no false-alarm rate can be stated, no threshold chosen.

    >>> curve = DetCurve([0.9, 0.8, 0.3], [0.7, 0.5, 0.2], hours=2.0)
    >>> curve.miss_rate_at(curve.threshold_for_budget(0.5))  # one alarm allowed: just above 0.5
    0.3333333333333333
    """

    def __init__(
        self, positive_scores: ArrayLike, event_scores: ArrayLike, *, hours: float, floor: float = 0.0
    ) -> None:
        if not hours > 0:
            raise DataError(
                "no audio without the phrase: false alarms per hour cannot be measured; "
                "run `wakelark fetch` or give a folder with --negatives"
            )
        self.positives = np.sort(np.asarray(positive_scores, np.float64))
        self.events = np.sort(np.asarray(event_scores, np.float64))[::-1]
        self.hours = hours
        self.lowest = max(floor, LOWEST_THRESHOLD)

    def false_alarms_at(self, threshold: float) -> int:
        """Events at or above `threshold`."""
        return int(np.searchsorted(-self.events, -threshold, side="right"))

    def missed_at(self, threshold: float) -> int:
        """Positives whose score stays below `threshold`."""
        return int(np.searchsorted(self.positives, threshold, side="left"))

    def miss_rate_at(self, threshold: float) -> float:
        """Share of the positives that `threshold` misses; NaN without positives."""
        return self.missed_at(threshold) / len(self.positives) if len(self.positives) else math.nan

    def at(self, threshold: float) -> OperatingPoint:
        """Counts, rates and intervals at `threshold`."""
        return OperatingPoint(
            threshold=threshold,
            positives=len(self.positives),
            missed=self.missed_at(threshold),
            hours=self.hours,
            false_alarms=self.false_alarms_at(threshold),
        )

    def allowed_events(self, fa_per_hour: float) -> int:
        """Whole events that fit the budget in these hours."""
        return math.floor(fa_per_hour * self.hours + 1e-9)

    def threshold_for_budget(self, fa_per_hour: float) -> float:
        """The lowest threshold that keeps the budget: just above the loudest event that is one too many.

        Of equally loud events all or none fire, so ties may leave part of the budget unused. When the budget covers
        every known event, or there is none, the threshold is the lowest at which events are known (`floor`, or
        `LOWEST_THRESHOLD`). It is above 1, and all is missed, when too many events have the highest possible score.
        """
        return self.threshold_allowing(self.allowed_events(fa_per_hour))

    def threshold_allowing(self, events: int) -> float:
        """The lowest threshold at which at most so many of the known events fire; see `threshold_for_budget`."""
        if events >= len(self.events):
            return self.lowest
        return max(self.lowest, float(np.nextafter(self.events[events], np.inf)))

    def claim(self, fa_per_hour: float) -> OperatingPoint | None:
        """The lowest threshold at which this audio shows at most this many false alarms per hour, with 95 % confidence.

        None when it is too short: not even silence would show it (`hours_needed`). Going down from the strictest
        threshold until the upper bound is no longer kept is a test in a fixed order, so the confidence holds although
        the threshold was found on the same audio.
        """
        events = most_events(fa_per_hour, self.hours)
        return None if events is None else self.at(self.threshold_allowing(events))

    def matched_miss_rate(self, fa_per_hour: float) -> float:
        """Miss rate at the threshold that keeps the budget on this very audio: for comparing models."""
        return self.miss_rate_at(self.threshold_for_budget(fa_per_hour))

    def operating_points(self) -> list[tuple[float, OperatingPoint]]:
        """(budget, operating point) for each of `BUDGETS`."""
        return [(budget, self.at(self.threshold_for_budget(budget))) for budget in BUDGETS]

    def points(self) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """The whole curve at every score where it changes: falling thresholds, false alarms per hour, miss rates.

        Shape: three `[points]`
        """
        scores = np.unique(np.concatenate([self.positives, self.events, [self.lowest]]))
        thresholds = np.concatenate([scores[scores >= self.lowest], [np.nextafter(scores[-1], np.inf)]])[::-1]
        alarms = np.searchsorted(-self.events, -thresholds, side="right") / self.hours
        missed = np.searchsorted(self.positives, thresholds, side="left") / max(1, len(self.positives))
        return thresholds, alarms, missed


def operating_rows(curve: DetCurve) -> list[dict[str, object]]:
    """The operating points as plain data: matched, and whether the hours heard can support the budget as a claim.

    `fa_per_hour_budget, threshold, false_alarms, miss_rate, miss_rate_ci`, then `supported`, `hours_needed` (without a
    single alarm) and `claim`: `threshold, false_alarms, miss_rate` of `DetCurve.claim`, or None.
    """
    rows: list[dict[str, object]] = []
    for budget, point in curve.operating_points():
        claim = curve.claim(budget)
        rows.append(
            {
                "fa_per_hour_budget": budget,
                **_counts(point),
                "miss_rate_ci": list(point.miss_rate_ci),
                "supported": claim is not None,
                "hours_needed": hours_needed(budget),
                "claim": None if claim is None else _counts(claim),
            }
        )
    return rows


def _counts(point: OperatingPoint) -> dict[str, object]:
    return {
        "threshold": point.threshold,
        "false_alarms": point.false_alarms,
        "miss_rate": point.miss_rate if point.positives else None,
    }


def selection_figure(curve: DetCurve) -> float:
    """The figure models are selected by, lower is better: mean miss rate over the budgets 0.5 to 4 alarms per hour."""
    return float(np.mean([curve.matched_miss_rate(budget) for budget in SELECTION_BUDGETS]))
