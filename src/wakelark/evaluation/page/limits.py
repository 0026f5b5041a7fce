"""What the report cannot tell: what too few hours cannot prove, and what nobody tried."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from wakelark.evaluation.page.numbers import percent, plain
from wakelark.evaluation.page.parts import Column, Entry, Rows, section, table
from wakelark.evaluation.verdict import duration

_METHOD = (
    "Recordings without the phrase are played to the model from beginning to end. Scores are averaged over a few "
    "steps; peaks nearer than 1.5 s to a louder one belong to it; every peak at or above the threshold is one false "
    "alarm. A running detector merges alarms that follow each other closely, so it fires at most as often. A clip with "
    "the phrase is surrounded by near-silence and counts as heard when the threshold is reached within one second of "
    "the end of the phrase (from 0.1 s before); of recordings whose phrase nobody has timed, from their beginning to "
    "one second after their end. Intervals: Wilson for misses, Garwood (exact Poisson) for alarms."
)


def limits(entries: Sequence[Entry], matched: Rows) -> str:
    """The section; nothing without models."""
    if not entries:
        return ""
    first = entries[0]
    unknown = "".join(f"<li>{escape(line)}</li>" for line in _unknown(first))
    hours = first["realised"]["hours"]
    body = _ladder(hours, matched) + (f"<h3>Not tried</h3><ul>{unknown}</ul>" if unknown else "")
    lead = "No figure says more than the audio behind it. Claims that are not supported are guesses."
    return section("limits", "What this report cannot tell", lead, body)


def method() -> str:
    """How it was measured, in short."""
    return section("method", "How this was measured", "", f"<p>{_METHOD}</p>")


def _ladder(hours: float, matched: Rows) -> str:
    """For each number of false alarms, whether the hours heard can support it as a claim."""
    if not hours:
        return "<p>No recordings without the phrase were heard: nothing is known about false alarms.</p>"
    columns: list[Column] = [
        ("at most, per hour", lambda row: f"{row['fa_per_hour_budget']:g}", "name"),
        ("hours needed", lambda row: f"{row['hours_needed']:.1f}", "n"),
        ("", lambda row: _progress(hours / row["hours_needed"]), "bar wide"),
        ("", lambda row: _supported(row), ""),
    ]
    told = (
        f"<p>{duration(hours).capitalize()} of test recordings without the phrase were heard. To claim a rate with "
        "95\u00a0% confidence takes so many hours without a single alarm, and more with each alarm:</p>"
    )
    return told + table(matched, columns, caption="")


def _supported(row: Mapping[str, Any]) -> str:
    if not row["supported"]:
        return '<span class="tag">too few hours</span>'
    claim = row["claim"]
    told = "" if claim["miss_rate"] is None else f", missing {percent(claim['miss_rate'])}"
    return f'<span class="tag good">can be claimed</span> from a threshold of {claim["threshold"]:.3f}{told}'


def _progress(share: float) -> str:
    wide = 200 * min(1.0, share)
    return (
        '<svg class="interval" viewBox="0 0 200 12" preserveAspectRatio="none" aria-hidden="true">'
        '<rect class="rail" width="200" height="2" y="5"/>'
        f'<rect class="done" width="{wide:.1f}" height="6" y="3"/></svg>'
    )


def _unknown(entry: Entry) -> list[str]:
    """What nobody tried, as far as the report's groups say what was."""
    found, groups = [], entry["groups"]
    engines = {row["name"] for row in groups["engine"]}
    if "recording" not in engines:
        found.append(
            "How it hears real people: all test clips were synthetic voices. Children, strong accents and hoarse "
            "voices may be missed more often. Measure with your own: wakelark evaluate MODEL --positives DIR."
        )
    if not any(key.startswith("distance") for key in groups):
        found.append("How far away one may stand, and how an echoing room changes that.")
    kinds = [plain(row["name"]) for row in groups["recording_kind"]]
    if kinds:
        found.append(
            f"False alarms on other sound than was heard: the recordings are {', '.join(kinds)}. Your television, "
            "your kitchen and your guests are not in them."
        )
    if entry["synthetic_negatives"]:
        found.append("False alarms in a real room: the audio without the phrase was synthetic speech.")
    found.append("Other microphones and their own noise, unless they are in the recordings above.")
    return found
