"""Sections of `report.html` about the run: training, cost, data, method. Each is a function from plain data to HTML."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from wakelark.evaluation.charts import legend, line_chart
from wakelark.evaluation.html_parts import Column, Rows, clock, percent, section, table

_ROLES = {"train": "training", "dev": "selection and threshold", "test": "this report"}


def warnings(lines: Sequence[str]) -> str:
    """What the run wants the user to know."""
    items = "".join(f"<li>{escape(line)}</li>" for line in lines)
    return f'<section class="card warn"><h3>Please note</h3><ul>{items}</ul></section>' if lines else ""


def training(metrics: Rows, distillation: Mapping[str, Any]) -> str:
    """Loss and selection curves of every stage in the metrics, and what was distilled."""
    stages: dict[str, list[Mapping[str, Any]]] = {}
    for line in metrics:
        stages.setdefault(str(line.get("stage", "training")), []).append(line)
    families: dict[str, dict[str, Sequence[tuple[float, float]]]] = {}
    cards = []
    for stage, lines in stages.items():
        family, _, member = stage.partition("/")
        if member:  # several small networks of one kind share a chart
            families.setdefault(family, {})[member] = _series(lines, "loss")
            continue
        losses = {name: _series(lines, name) for name in ("loss", "supervised", "distillation")}
        cards.append(_curves(f"{stage}: loss", losses, "loss"))
        figures = {name: _series(lines, name) for name in ("selection", "best")}
        cards.append(_curves(f"{stage}: development miss rate", figures, "missed"))
    cards = [*(_curves(f"{name}: loss", lines, "loss") for name, lines in families.items()), *cards]
    cards = [card for card in (_teacher(distillation.get("quality")), *cards) if card]
    if not cards and not distillation:
        return ""
    told = ", ".join(
        f"{escape(str(key))} {escape(_plain(value))}"
        for key, value in distillation.items()
        if value not in ("", None) and not isinstance(value, Mapping)
    )
    lead = f"Distillation: {told}." if told else ""
    return section("Training", lead, f'<div class="cards">{"".join(cards)}</div>')


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


def _teacher(quality: Mapping[str, Any] | None) -> str:
    """How much the teacher and the student miss at the same false alarms."""
    if quality is None:
        return ""
    rows = [
        {"who": f"teacher ({', '.join(quality['teachers'])})", "missed": quality["teacher_miss_rate"]},
        {"who": "student", "missed": quality["student_miss_rate"]},
    ]
    columns: list[Column] = [
        ("", lambda row: escape(row["who"]), ""),
        ("missed", lambda row: percent(row["missed"]), "n strong"),
    ]
    told = {True: "The teacher is better.", False: "The teacher is no better.", None: "Both miss nothing."}
    lead = f"{told[quality['teacher_is_better']]} {quality['positives']} clips; {quality['compared']}."
    return (
        f'<div class="card"><h3>Teacher and student in development</h3>{table(rows, columns)}'
        f'<p class="soft">{escape(lead)}</p></div>'
    )


def _curves(title: str, series: Mapping[str, Sequence[tuple[float, float]]], y_title: str) -> str:
    shown = {name: points for name, points in list(series.items())[:4] if len(points) > 1}
    chart = line_chart(shown, x_title="step", y_title=y_title)
    names = legend([(name, number) for number, name in enumerate(shown)])
    return f'<div class="card"><h3>{escape(title)}</h3>{names}{chart}</div>' if chart else ""


def _series(lines: Rows, name: str) -> list[tuple[float, float]]:
    return [
        (float(line["step"]), float(line[name]))
        for line in lines
        if isinstance(line.get(name), int | float) and isinstance(line.get("step"), int | float)
    ]


def _plain(value: object) -> str:
    return (
        {True: "on", False: "off"}[value]
        if isinstance(value, bool)
        else f"{value:.3g}"
        if isinstance(value, float)
        else str(value)
    )
