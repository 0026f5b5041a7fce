"""Which model to use: all of them side by side, what the second stage gives, and the same false alarms for all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from wakelark.evaluation.page.numbers import NO_BREAK, NOTHING, count, percent, rate, size
from wakelark.evaluation.page.parts import Column, Entry, Rows, interval_bar, name_of, section, table

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
    """The figures that matter as bars, then what each model is."""
    columns: list[Column] = [
        ("", lambda row: f"{escape(name_of(row))}<small>{escape(row['file'])}</small>", "name"),
        ("good for", lambda row: escape(_FOR.get(row["name"], NOTHING)), "soft for"),
        ("size", lambda row: size(row["size_bytes"]), "n strong"),
        ("numbers inside", lambda row: count(row["parameters"]), "n"),
        ("a score every", lambda row: f"{1000 * row['step_s']:.0f}{NO_BREAK}ms", "n"),
    ]
    bars = (
        _bars(entries, "realised", "miss_rate", "Missed in a quiet room"),
        _bars(entries, "realised_noisy", "miss_rate", "Missed in noise"),
        _bars(entries, "realised", "fa_per_hour", "False alarms per hour"),
    )
    return f'<div class="trio">{"".join(bars)}</div>{table(entries, columns, caption="", css="stack")}'


def _bars(entries: Sequence[Entry], part: str, key: str, title: str) -> str:
    """One figure of all models, with its interval."""
    measured = [entry for entry in entries if entry[part] and entry[part][key] is not None]
    if not measured:
        return ""
    top = max(entry[part][f"{key}_ci"][1] for entry in measured) or 1.0
    columns: list[Column] = [
        ("model", lambda row: escape(name_of(row)), "name"),
        ("", lambda row: interval_bar(row[part][key], row[part][f"{key}_ci"], top, goal=None), "bar"),
        ("", lambda row: percent(row[part][key]) if key == "miss_rate" else rate(row[part][key]), "n strong"),
    ]
    return table(measured, columns, caption=title)


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
    few = {row["fa_per_hour_budget"] for row in rows_of(entries) if not row["supported"]}
    columns: list[Column] = [
        ("allowed per hour", lambda row: f"{row['budget']:g} per hour{' *' if row['budget'] in few else ''}", "name")
    ]
    columns += [_misses_of(str(number), entry) for number, entry in enumerate(entries)]
    noisy = any(entry["realised_noisy"] for entry in entries)
    note = (
        "For comparing models only: here each threshold is chosen on the test recordings themselves, so that it allows "
        f"exactly so many false alarms. {'In brackets: in noise.' if noisy else ''}"
        f"{' * Too few hours were heard to claim this; rows that allow no alarm at all are alike.' if few else ''}"
    )
    found = table(rows, columns, caption="Missed at the same number of false alarms", css="stack")
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
