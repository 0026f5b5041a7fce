"""Which model to use: all of them side by side, what the second stage gives, and the same false alarms for all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from wakelark.evaluation.page.numbers import NO_BREAK, NOTHING, count, percent, rate, size
from wakelark.evaluation.page.parts import Column, Entry, Rows, name_of, section, table

_FOR = {
    "accurate": "a computer or a Raspberry Pi",
    "tiny": "the smallest devices and the least computing",
    "judged": "a computer that should compute little while nobody speaks",
}


def compare(entries: Sequence[Entry], judged: Entry | None) -> str:
    """The section; nothing without models."""
    if not entries:
        return ""
    lead = "All models heard the same clips and the same recordings."
    return section(
        "models", "Which model to use?", lead, _side_by_side(entries) + _gain(entries, judged) + _matched(entries)
    )


def _side_by_side(entries: Sequence[Entry]) -> str:
    columns: list[Column] = [
        ("", lambda row: f"{escape(name_of(row))}<small>{escape(row['file'])}</small>", "name"),
        ("good for", lambda row: escape(_FOR.get(row["name"], NOTHING)), "soft for"),
        ("size", lambda row: size(row["size_bytes"]), "n"),
        ("missed", lambda row: percent(row["realised"]["miss_rate"]), "n strong"),
    ]
    if any(entry["realised_noisy"] for entry in entries):
        columns.append(("in noise", lambda row: percent((row["realised_noisy"] or {}).get("miss_rate")), "n strong"))
    columns += [
        ("alarms per hour", lambda row: rate(row["realised"]["fa_per_hour"]), "n strong"),
        ("a score every", lambda row: f"{1000 * row['step_s']:.0f}{NO_BREAK}ms", "n soft"),
        ("numbers inside", lambda row: count(row["parameters"]), "n soft"),
    ]
    return table(entries, columns, caption="")


def _gain(entries: Sequence[Entry], judged: Entry | None) -> str:
    """What it gives to let the accurate model check what wakes the tiny one."""
    tiny = next((entry for entry in entries if entry["name"] == "tiny"), None)
    if judged is None or tiny is None:
        return ""
    before, after = tiny["realised"], judged["realised"]
    told = [
        f"On its own the tiny model misses {percent(before['miss_rate'])} and wakes by mistake "
        f"{rate(before['fa_per_hour'])} times an hour. With the accurate model checking what wakes it, it misses "
        f"{percent(after['miss_rate'])} and wakes {rate(after['fa_per_hour'])} times."
    ]
    if judged["wakes_per_hour"] is not None:
        told.append(
            f"The accurate model was asked {judged['wakes_per_hour']:.1f} times an hour and listened to "
            f"{percent(judged['heard_share'])} of the time."
        )
    return f"<h3>What the second stage gives</h3><p>{' '.join(told)}</p>{_cost(judged['cost'])}"


def _cost(cost: Mapping[str, float]) -> str:
    rows = [
        {"what": "tiny, listening all the time", "cpu": cost["tiny_cpu_s_per_hour"]},
        {"what": "accurate, listening when asked", "cpu": cost["judge_cpu_s_per_hour"]},
        {"what": "both together", "cpu": cost["tiny_cpu_s_per_hour"] + cost["judge_cpu_s_per_hour"]},
        {"what": "accurate, listening all the time", "cpu": cost["judge_alone_cpu_s_per_hour"]},
    ]
    columns: list[Column] = [
        ("", lambda row: str(row["what"]), "name"),
        ("CPU per hour of audio", lambda row: f"{row['cpu']:.1f}{NO_BREAK}s", "n strong"),
    ]
    return table(rows, columns, caption="What it costs, on the machine that trained")


def _matched(entries: Sequence[Entry]) -> str:
    """Misses of all models at the same number of false alarms."""
    budgets = sorted({row["fa_per_hour_budget"] for entry in entries for row in entry["matched"]})
    rows = [
        {"budget": budget}
        | {
            str(number): next((row for row in entry["matched"] if row["fa_per_hour_budget"] == budget), None)
            for number, entry in enumerate(entries)
        }
        for budget in budgets
    ]
    columns: list[Column] = [("allowed per hour", lambda row: f"{row['budget']:g}", "name")]
    columns += [_misses_of(str(number), entry) for number, entry in enumerate(entries)]
    noisy = any(entry["realised_noisy"] for entry in entries)
    note = (
        "For comparing models only: here each threshold is chosen on the test recordings themselves, so that it allows "
        f"exactly so many false alarms. {'In brackets: in noise.' if noisy else ''}"
    )
    found = table(rows, columns, caption="Missed at the same number of false alarms")
    return f'{found}<p class="soft">{note}</p>' if found else ""


def _misses_of(key: str, entry: Entry) -> Column:
    def cell(row: Mapping[str, Any]) -> str:
        if row[key] is None:
            return NOTHING
        noisy = row[key]["miss_rate_noisy"]
        behind = f' <span class="soft">({percent(noisy)})</span>' if noisy is not None else ""
        return f"<b>{percent(row[key]['miss_rate'])}</b>{behind}"

    return (name_of(entry), cell, "n")


def rows_of(entries: Sequence[Entry]) -> Rows:
    """The operating points of the first model that has any."""
    return next((entry["matched"] for entry in entries if entry["matched"]), [])
