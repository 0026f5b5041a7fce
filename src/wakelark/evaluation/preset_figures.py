"""The named operating points of a model, as they came out on test audio."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from wakelark.evaluation.groups import ScoredClip
from wakelark.evaluation.intervals import wilson_interval
from wakelark.evaluation.operating_point import DetCurve
from wakelark.model_card import CardPreset


def preset_row(
    preset: CardPreset, positives: Sequence[ScoredClip], noisy: Sequence[ScoredClip], curve: DetCurve | None
) -> dict[str, Any]:
    """What development said of a preset, and what it does on test audio; None where nothing was measured.

    Args:
        preset: of the model's card.
        positives: scored clips with the phrase, clean.
        noisy: the same in noise.
        curve: of the clean clips against the recordings; None without recordings.
    """
    development = asdict(preset)
    point = None if curve is None else curve.at(preset.threshold)
    missed = _missed(positives, preset.threshold)
    return {
        "name": development.pop("name"),
        "threshold": development.pop("threshold"),
        "fa_per_hour_budget": development.pop("fa_per_hour"),
        "development": development,
        "miss_rate": missed / len(positives) if positives else None,
        "miss_rate_ci": list(wilson_interval(missed, len(positives))),
        "miss_rate_noisy": _missed(noisy, preset.threshold) / len(noisy) if noisy else None,
        "false_alarms": None if point is None else point.false_alarms,
        "fa_per_hour": None if point is None else point.fa_per_hour,
        "fa_per_hour_ci": None if point is None else list(point.fa_per_hour_ci),
    }


def _missed(clips: Sequence[ScoredClip], threshold: float) -> int:
    return sum(clip.score < threshold for clip in clips)
