"""The report's headline: what the numbers mean, in plain words, never claiming more than was measured."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from wakelark.evaluation.intervals import hours_needed

GRADES = ("good", "usable", "weak", "unproven", "unmeasured")
"""`good`: misses at most 5 % and keeps its budget of false alarms; `usable`: at most 15 % and within twice the budget;
`weak`: worse; `unproven`: too little test audio to say (`FEWEST_CLIPS`, `FEWEST_HOURS`, or only synthetic negatives);
`unmeasured`: there was nothing to measure with."""

FEWEST_CLIPS = 50
FEWEST_HOURS = 1.0


def verdict(phrase: str, models: Sequence[dict[str, Any]], judged: dict[str, Any] | None = None) -> dict[str, Any]:
    """`{"grade", "headline", "details": [...]}` from the `models` and `judged` of a report; the first model gives the
    grade."""
    if not models:
        return {"grade": "unmeasured", "headline": "Nothing was measured.", "details": []}
    grades = [grade(model) for model in models]
    proven = models[0]["realised"]["hours"] >= _hours_needed(models[0])
    headline = {
        "good": f"Ready to use: it hears “{phrase}” reliably and rarely wakes by mistake."
        if proven
        else f"Looks good: it hears “{phrase}” reliably; too few hours were heard to be sure of the false alarms.",
        "usable": f"Usable: it hears “{phrase}” most of the time.",
        "weak": f"Not good enough yet: it misses “{phrase}” or wakes by mistake too often.",
        "unproven": f"It listens for “{phrase}”, but there was too little test audio to say how well.",
        "unmeasured": f"It listens for “{phrase}”, but how well could not be measured.",
    }[grades[0]]
    return {
        "grade": grades[0],
        "headline": headline,
        "details": [_sentence(model) for model in (*models, *([judged] if judged else []))] + _caveats(models),
    }


def grade(model: dict[str, Any]) -> str:
    """One of `GRADES`."""
    realised = model["realised"]
    if realised["miss_rate"] is None or realised["fa_per_hour"] is None:
        return "unmeasured"
    if realised["positives"] < FEWEST_CLIPS or realised["hours"] < FEWEST_HOURS or model["synthetic_negatives"]:
        return "unproven"
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
        woke = {0: "never woke by mistake", 1: "woke by mistake once"}.get(alarms, f"woke by mistake {alarms} times")
        parts.append(
            f"{woke} in {duration(realised['hours'])} "
            f"({realised['fa_per_hour']:.2f} per hour; 95\u00a0% sure: {low:.2f} to {high:.2f})"
        )
    return f"The {model['name']} model ({model['file']}) " + ("; ".join(parts) or "was not measured") + "."


def _caveats(models: Sequence[dict[str, Any]]) -> list[str]:
    first = models[0]
    caveats = []
    hours, needed, alarms = first["realised"]["hours"], _hours_needed(first), first["realised"]["false_alarms"]
    if 0 < hours < needed:
        heard = {0: "without a single one", 1: "with the one that was heard"}.get(alarms, f"with the {alarms} heard")
        caveats.append(
            f"{duration(hours)} of test recordings cannot prove {first['fa_per_hour_budget']:g} false alarms per hour: "
            f"that takes at least {needed:.1f} hours {heard}."
        )
    if first["synthetic_negatives"]:
        caveats.append("The audio without the phrase was synthetic: real rooms will give other false-alarm rates.")
    engines = {row["name"] for row in first["groups"]["engine"]}
    if engines and "recording" not in engines:
        caveats.append(
            "All test clips were synthetic voices, other ones than in training. Real people may be missed more often, "
            "or less: measure with own recordings, wakelark evaluate MODEL --positives DIR."
        )
    return caveats


def _hours_needed(model: dict[str, Any]) -> float:
    """Hours that would prove the budget with as many alarms as were heard."""
    return hours_needed(model["fa_per_hour_budget"], model["realised"]["false_alarms"] or 0)


def duration(hours: float) -> str:
    """Hours as people say them.

    >>> duration(3.48), duration(0.25), duration(0.003)
    ('3.5 hours', '15 minutes', '11 seconds')
    """
    if hours >= 1:
        return f"{hours:.1f} hours"
    return f"{60 * hours:.0f} minutes" if hours >= 1 / 30 else f"{3600 * hours:.0f} seconds"


def _percent(share: float) -> str:
    return f"{100 * share:.1f}\u00a0%"
