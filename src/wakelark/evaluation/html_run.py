"""Sections of `report.html` about the run: warnings, cost, data, method. Each is a function from plain data to HTML."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from wakelark.evaluation.html_parts import Column, Rows, clock, section, table

_ROLES = {"train": "training", "dev": "selection and threshold", "test": "this report"}


def warnings(lines: Sequence[str]) -> str:
    """What the run wants the user to know."""
    items = "".join(f"<li>{escape(line)}</li>" for line in lines)
    return f'<section class="card warn"><h3>Please note</h3><ul>{items}</ul></section>' if lines else ""


def cost(stages: Mapping[str, Mapping[str, float]], hours: Mapping[str, Mapping[str, float]]) -> str:
    """What the run took, and how much audio it had."""
    rows = [{"stage": name, **values} for name, values in stages.items()]
    columns: list[Column] = [
        ("stage", lambda row: escape(row["stage"]), ""),
        ("wall time", lambda row: clock(row["wall_s"]), "n strong"),
        ("CPU time", lambda row: clock(row["cpu_s"]), "n"),
        ("peak memory", lambda row: f"{row['peak_mb']:.0f} MB", "n soft"),
    ]
    audio = [
        {"role": role, "kind": kind, "hours": value} for role, kinds in hours.items() for kind, value in kinds.items()
    ]
    audio_columns: list[Column] = [
        ("used for", lambda row: escape(_ROLES[row["role"]]), ""),
        ("kind", lambda row: escape(row["kind"]), "soft"),
        ("hours", lambda row: f"{row['hours']:.2f}", "n strong"),
    ]
    cards = [
        f'<div class="card"><h3>{title}</h3>{table}</div>'
        for title, table in (
            ("Stages", table(rows, columns)),
            ("Recordings without the phrase", table(audio, audio_columns)),
        )
        if table
    ]
    return section("What it took", "", f'<div class="cards">{"".join(cards)}</div>') if cards else ""


def data(corpus: Rows, provenance: Rows, pretrained: Rows) -> str:
    """Counts, sources and licences."""
    counts: list[Column] = [
        ("split", lambda row: escape(row["split"]), ""),
        ("kind", lambda row: escape(row["kind"].replace("_", " ")), ""),
        ("engine", lambda row: escape(row["engine"]), "soft"),
        ("clips", lambda row: f"{row['clips']:,}", "n strong"),
        ("voices", lambda row: str(row["voices"]), "n"),
        ("hours", lambda row: f"{row['hours']:.2f}", "n"),
    ]
    sources: list[Column] = [
        ("source", lambda row: escape(row["source"]), "file"),
        ("licence", lambda row: escape(row["licence"]), ""),
        ("clips", lambda row: f"{row['clips']:,}", "n"),
        ("hours", lambda row: f"{row['hours']:.2f}", "n"),
        ("splits", lambda row: escape(", ".join(row["splits"])), "soft"),
    ]
    ready: list[Column] = [
        ("ready-made weights", lambda row: escape(row["name"]), "file"),
        ("licence", lambda row: escape(row["licence"]), ""),
        ("note", lambda row: escape(row["note"]), "soft"),
    ]
    body = "".join(
        f"<details><summary>{title}</summary>{table}</details>"
        for title, table in (
            ("Clips by split, kind and engine", table(corpus, counts)),
            ("Sources and licences", table(provenance, sources)),
            ("Ready-made weights inside the models", table(pretrained, ready)),
        )
        if table
    )
    return section("Data", "", f'<div class="card">{body}</div>') if body else ""


def method() -> str:
    """How it was measured, in short."""
    text = (
        "Recordings without the phrase are played to the model from beginning to end. Scores are averaged over a few "
        "steps; peaks nearer than 1.5 s to a louder one belong to it; every peak at or above the threshold is one "
        "false alarm. A running detector merges alarms that follow each other closely, so it fires at most as often. "
        "A clip with the phrase is surrounded by near-silence and counts as heard when the threshold is reached while "
        "it is spoken or within one second after. Intervals: Wilson for misses, Garwood (exact Poisson) for alarms."
    )
    return section("How this was measured", "", f'<p class="lead">{text}</p>')
