"""The report's headline: what the numbers mean, in plain words, never claiming more than was measured."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

GRADES = ("good", "usable", "weak", "unmeasured")
"""`good`: misses at most 5 % and keeps its budget of false alarms; `usable`: at most 15 % and within twice the budget;
`weak`: worse; `unmeasured`: there was nothing to measure with."""


def verdict(phrase: str, models: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """`{"grade", "headline", "details": [...]}` from the `models` part of a report; the first model gives the grade."""
    if not models:
        return {"grade": "unmeasured", "headline": "Nothing was measured.", "details": []}
    grades = [grade(model) for model in models]
    headline = {
        "good": f"Ready to use: it hears “{phrase}” reliably and rarely wakes by mistake.",
        "usable": f"Usable: it hears “{phrase}” most of the time.",
        "weak": f"Not good enough yet: it misses “{phrase}” or wakes by mistake too often.",
        "unmeasured": f"It listens for “{phrase}”, but how well could not be measured.",
    }[grades[0]]
    return {
        "grade": grades[0],
        "headline": headline,
        "details": [_sentence(model) for model in models] + _caveats(models),
    }


def grade(model: dict[str, Any]) -> str:
    """One of `GRADES`."""
    realised = model["realised"]
    if realised["miss_rate"] is None or realised["fa_per_hour"] is None:
        return "unmeasured"
    budget = model["fa_per_hour_budget"]
    if realised["miss_rate"] <= 0.05 and realised["fa_per_hour"] <= budget:
        return "good"
    return "usable" if realised["miss_rate"] <= 0.15 and realised["fa_per_hour"] <= 2 * budget else "weak"


def _sentence(model: dict[str, Any]) -> str:
    realised = model["realised"]
    parts = []
    if realised["miss_rate"] is not None:
        low, high = realised["miss_rate_ci"]
        parts.append(
            f"heard {realised['positives'] - realised['missed']} of {realised['positives']} test clips "
            f"(misses {_percent(realised['miss_rate'])}; 95\u00a0% sure: {_percent(low)} to {_percent(high)})"
        )
    noisy = model["realised_noisy"]
    if noisy is not None and noisy["miss_rate"] is not None:
        parts.append(f"in noise at {model['snr_db']:g} dB it misses {_percent(noisy['miss_rate'])}")
    if realised["fa_per_hour"] is not None:
        low, high = realised["fa_per_hour_ci"]
        alarms = realised["false_alarms"]
        times = {0: "not once", 1: "once"}.get(alarms, f"{alarms} times")
        parts.append(
            f"woke by mistake {times} in {realised['hours']:.1f} hours "
            f"({realised['fa_per_hour']:.2f} per hour; 95\u00a0% sure: {low:.2f} to {high:.2f})"
        )
    return f"The {model['name']} model ({model['file']}) " + ("; ".join(parts) or "was not measured") + "."


def _caveats(models: Sequence[dict[str, Any]]) -> list[str]:
    first = models[0]
    caveats = []
    hours, needed = first["realised"]["hours"], first["hours_needed"]
    if 0 < hours < needed:
        caveats.append(
            f"{hours:.1f} hours of test recordings cannot prove {first['fa_per_hour_budget']:g} false alarms per hour: "
            f"that takes at least {needed:.1f} hours without a single one."
        )
    if first["synthetic_negatives"]:
        caveats.append("The audio without the phrase was synthetic: real rooms will give other false-alarm rates.")
    engines = {row["name"] for row in first["groups"]["engine"]}
    if engines and "recording" not in engines:
        caveats.append(
            "All test clips were synthetic voices that training never heard. Real people will be missed more often; "
            "measure with own recordings: wakelark evaluate MODEL --positives DIR."
        )
    return caveats


def _percent(share: float) -> str:
    return f"{100 * share:.1f}\u00a0%"
