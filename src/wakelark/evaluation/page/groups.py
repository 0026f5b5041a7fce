"""For whom and where: misses by group of clips, false alarms by group of recordings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from wakelark.evaluation.page.numbers import count, percent, percent_range, plain, rate, rate_range
from wakelark.evaluation.page.parts import Column, Entry, Rows, foldable, interval_bar, per_model, section, table

_TITLES = {
    "engine": "Missed, by voice engine",
    "engine_noisy": "Missed in noise, by voice engine",
    "kind": "Missed, alone or inside a sentence",
    "snr": "Missed, by noise",
    "snr_db": "Missed, by noise",
    "distance": "Missed, by distance",
    "distance_m": "Missed, by distance",
    "rate": "Missed, by speaking rate",
    "speaking_rate": "Missed, by speaking rate",
    "sex": "Missed, by the voice's sex",
    "age": "Missed, by the voice's age",
    "accent": "Missed, by accent",
    "voice": "Missed, by voice",
    "speaker": "Missed, by speaker",
    "recording_kind": "False alarms, by kind of sound",
    "recording": "False alarms, by recording",
}
"""Groups that have a title of their own; another is shown under its key."""
_SHOWN = 8


def groups(entries: Sequence[Entry]) -> str:
    """The section with all groups of a report that tell anything."""
    lead = (
        "At each model's own threshold. The shaded bar is the 95 % interval: small groups have wide ones, and where "
        "bars overlap the groups may well be alike. The notch is the model's average."
    )
    body = per_model(entries, _all, without="Nothing was measured by group.")
    return section("groups", "For whom, and where?", lead, body)


def _all(entry: Entry) -> str:
    groups = {key: rows for key, rows in entry["groups"].items() if isinstance(rows, list)}
    groups |= entry["groups"].get("traits", {})
    return "".join(_group(entry, key, rows) for key, rows in groups.items() if rows)


def _group(entry: Entry, key: str, rows: Rows) -> str:
    misses = "miss_rate" in rows[0]
    if key == "kind" and len(rows) < 2:
        return ""
    columns = _miss_columns(entry, key, rows) if misses else _alarm_columns(entry, rows)
    title = escape(_TITLES.get(key, ("Missed, by " if misses else "False alarms, by ") + plain(key)))
    more = foldable(f"{len(rows) - _SHOWN} more", table(rows[_SHOWN:], columns, caption="", css="even"), is_open=False)
    return table(rows[:_SHOWN], columns, caption=title, css="even") + more


def _miss_columns(entry: Entry, key: str, rows: Rows) -> list[Column]:
    top = min(1.0, max([0.1, *(row["miss_rate_ci"][1] for row in rows)]))
    figures = entry["realised_noisy"] if key.endswith("_noisy") and entry["realised_noisy"] else entry["realised"]

    def bar(row: Mapping[str, Any]) -> str:
        if row["miss_rate"] is None:
            return ""
        return interval_bar(row["miss_rate"], row["miss_rate_ci"], top, goal=figures["miss_rate"])

    return [
        ("", lambda row: escape(plain(str(row["name"]))), "name"),
        ("clips", lambda row: count(row["positives"]), "n soft"),
        ("", bar, "bar"),
        ("missed", lambda row: percent(row["miss_rate"]) + _narrow(percent_range(row["miss_rate_ci"])), "n strong"),
        ("95 %", lambda row: percent_range(row["miss_rate_ci"]), "n soft wide"),
    ]


def _alarm_columns(entry: Entry, rows: Rows) -> list[Column]:
    top = max([1.0, *(row["fa_per_hour_ci"][1] for row in rows)])
    average = entry["realised"]["fa_per_hour"]

    def name(row: Mapping[str, Any]) -> str:
        tag = ' <span class="tag">synthetic</span>' if row["synthetic"] else ""
        return f"{escape(plain(row['name']))}{tag}"

    return [
        ("", name, "name"),
        ("hours", lambda row: f"{row['hours']:.1f}", "n soft"),
        ("", lambda row: interval_bar(row["fa_per_hour"], row["fa_per_hour_ci"], top, goal=average), "bar"),
        ("per hour", lambda row: rate(row["fa_per_hour"]) + _narrow(rate_range(row["fa_per_hour_ci"])), "n strong"),
        ("95 %", lambda row: rate_range(row["fa_per_hour_ci"]), "n soft wide"),
    ]


def _narrow(interval: str) -> str:
    """The interval below its value, on a screen too narrow for a column of its own."""
    return f' <span class="narrow">{interval}</span>' if interval else ""
