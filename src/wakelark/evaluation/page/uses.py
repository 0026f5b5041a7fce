"""What a model is good for, in answers that somebody who is no engineer can act on, each with its reason.

The answers follow from a model's entry in `report.json`; where too little was measured the answer is "unknown".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from wakelark.evaluation.page.numbers import rate
from wakelark.evaluation.verdict import FEWEST_CLIPS, FEWEST_HOURS, duration

Answer = Literal["yes", "partly", "no", "unknown"]

GOOD_MISS_RATE, USABLE_MISS_RATE = 0.05, 0.15
GOOD_PER_1000, USABLE_PER_1000 = 50.0, 200.0
FEWEST_PEOPLE_CLIPS = 20


@dataclass(frozen=True, slots=True)
class Use:
    """A question about a model.

    Attributes:
        what: what the model should do, as a phrase.
        answer: whether it does that well enough.
        why: the figures behind the answer, as a sentence.
    """

    what: str
    answer: Answer
    why: str


def uses(model: Mapping[str, Any]) -> list[Use]:
    """The answers for one entry of a report's `models`."""
    noisy = model["realised_noisy"]
    found = [_misses("Hears you in a quiet room", model["realised"], "")]
    if noisy:
        found.append(_misses("Hears you over music or a fan", noisy, f", with noise {model['snr_db']:g} dB below it"))
    found.append(_left_on(model))
    if model["near_misses"]:
        found.append(_look_alikes(model["near_misses"]))
    found.append(_people(model))
    return found


def _misses(what: str, figures: Mapping[str, Any], how: str) -> Use:
    share, clips = figures["miss_rate"], figures["positives"]
    if share is None:
        return Use(what, "unknown", "No test clips with the phrase.")
    low, high = (100 * bound for bound in figures["miss_rate_ci"])
    why = f"Of 100 calls it misses about {100 * share:.0f} ({low:.0f} to {high:.0f}){how}."
    if clips < FEWEST_CLIPS:
        return Use(what, "unknown", f"{why} But only {clips} clips were heard.")
    return Use(what, _graded(share, figures["miss_rate_ci"], GOOD_MISS_RATE, USABLE_MISS_RATE), why)


def _left_on(model: Mapping[str, Any]) -> Use:
    what, figures, budget = "Stays silent while others talk all day", model["realised"], model["fa_per_hour_budget"]
    alarms_per_hour = figures["fa_per_hour"]
    if alarms_per_hour is None:
        return Use(what, "unknown", "No recordings without the phrase were heard.")
    low, high = figures["fa_per_hour_ci"]
    times = {0: "It never woke by mistake", 1: "It woke by mistake once"}.get(
        figures["false_alarms"], f"It woke by mistake {figures['false_alarms']} times"
    )
    why = f"{times} in {duration(figures['hours'])}; the true rate lies between {rate(low)} and {rate(high)} an hour."
    if model["synthetic_negatives"]:
        return Use(what, "unknown", f"{why} But all of that was synthetic speech.")
    if figures["hours"] < FEWEST_HOURS:
        return Use(what, "unknown", f"{why} That is too little to tell.")
    if alarms_per_hour > 2 * budget:
        return Use(what, "no", f"{why} Wanted is at most {budget:g}.")
    if high <= budget:
        return Use(what, "yes", why)
    return Use(what, "partly", f"{why} At most {budget:g} is wanted and not proven.")


def _look_alikes(near: Mapping[str, Any]) -> Use:
    what = "Stays silent at words that sound alike"
    if not near["clips"]:
        return Use(what, "unknown", "None were tried.")
    low, high = near["per_1000_ci"]
    why = f"{near['fired']} of {near['clips']} clips of such words wake it: {low:.0f} to {high:.0f} of 1,000."
    if near["clips"] < FEWEST_CLIPS:
        return Use(what, "unknown", why)
    return Use(what, _graded(near["per_1000"], near["per_1000_ci"], GOOD_PER_1000, USABLE_PER_1000), why)


def _people(model: Mapping[str, Any]) -> Use:
    what = "Hears real people, not only synthetic voices"
    people = [row for row in model["groups"]["engine"] if row["name"] == "recording"]
    if not people or people[0]["positives"] < FEWEST_PEOPLE_CLIPS:
        return Use(what, "unknown", "Tested with synthetic voices only; people may be missed more often, or less.")
    row = people[0]
    low, high = (100 * bound for bound in row["miss_rate_ci"])
    why = f"{row['missed']} of {row['positives']} recordings of people were missed: {low:.0f} to {high:.0f} of 100."
    return Use(what, _graded(row["miss_rate"], row["miss_rate_ci"], GOOD_MISS_RATE, USABLE_MISS_RATE), why)


def _graded(value: float, interval: Sequence[float], good: float, usable: float) -> Answer:
    """Yes and no must stand for the whole interval: yes when not even its upper end is above `usable`, no when not even
    its lower end is within."""
    low, high = interval
    if value <= good and high <= usable:
        return "yes"
    return "no" if low > usable else "partly"
