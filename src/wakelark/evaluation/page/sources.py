"""What the models were made from: clips, recordings, licences, and what the run wants its user to know."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from wakelark.evaluation.page.numbers import NOTHING, count, plain
from wakelark.evaluation.page.parts import Column, Rows, foldable, section, table

_ROLES = {"train": "training", "dev": "selection and threshold", "test": "this report"}


def warnings(lines: Sequence[str]) -> str:
    """What the run wants the user to know."""
    items = "".join(f"<li>{escape(line)}</li>" for line in lines)
    return f'<aside class="note-box"><h2>Please note</h2><ul>{items}</ul></aside>' if lines else ""


def sources(report: Mapping[str, Any]) -> str:
    """Clips, hours, sources with their licences, ready-made weights."""
    parts = (
        _hours(report["hours"]),
        _provenance(report["provenance"]),
        _ready_made(report["pretrained"]),
        _counts(report["corpus"]),
    )
    lead = "Everything the models learned from and were tested on, and under which terms it may be used."
    return section("data", "What it was made from", lead, "".join(parts))


def _hours(hours: Mapping[str, Mapping[str, float]]) -> str:
    rows: list[dict[str, Any]] = [{"role": role, "kinds": kinds} for role, kinds in hours.items()]
    columns: list[Column] = [
        ("hours used for", lambda row: escape(_ROLES[row["role"]]), "name"),
        *(_hours_of(kind) for kind in sorted({kind for kinds in hours.values() for kind in kinds})),
        ("together", lambda row: f"{sum(row['kinds'].values()):.1f}", "n strong"),
    ]
    return table(rows, columns, caption="Recordings without the phrase")


def _hours_of(kind: str) -> Column:
    return (plain(kind), lambda row: f"{row['kinds'][kind]:.1f}" if kind in row["kinds"] else NOTHING, "n")


def _provenance(rows: Rows) -> str:
    columns: list[Column] = [
        ("source", lambda row: escape(row["source"]), "name"),
        ("licence", lambda row: escape(row["licence"]), ""),
        ("clips", lambda row: count(row["clips"]), "n"),
        ("hours", lambda row: f"{row['hours']:.1f}", "n"),
        ("used for", lambda row: escape(", ".join(row["splits"])), "soft"),
    ]
    licences = sorted({row["licence"] for row in rows})
    told = escape(", ".join(licences[:6])) + (f" and {len(licences) - 6} more" if len(licences) > 6 else "")
    title = f"{count(len(rows))} sources and their licences <small>{told}</small>"
    return foldable(title, table(rows, columns, caption=""), is_open=False)


def _ready_made(rows: Rows) -> str:
    columns: list[Column] = [
        ("weights", lambda row: escape(row["name"]), "name"),
        ("licence", lambda row: escape(row["licence"]), ""),
        ("note", lambda row: escape(row["note"]), "soft"),
    ]
    return foldable("Ready-made weights inside the models", table(rows, columns, caption=""), is_open=False)


def _counts(rows: Rows) -> str:
    columns: list[Column] = [
        ("split", lambda row: escape(row["split"]), "name"),
        ("kind", lambda row: escape(plain(row["kind"])), ""),
        ("engine", lambda row: escape(row["engine"]), "soft"),
        ("clips", lambda row: count(row["clips"]), "n strong"),
        ("voices", lambda row: count(row["voices"]), "n"),
        ("hours", lambda row: f"{row['hours']:.2f}", "n"),
    ]
    title = f"{count(sum(row['clips'] for row in rows))} clips by split, kind and engine"
    return foldable(title, table(rows, columns, caption=""), is_open=False)
