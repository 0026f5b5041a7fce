"""How the models were made: teacher and student, training curves, what it cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from wakelark.evaluation.page.charts import SERIES, line_chart
from wakelark.evaluation.page.numbers import clock, count, percent
from wakelark.evaluation.page.parts import Column, Rows, foldable, legend, section, table

_TERMS = ("loss", "supervised", "distillation")


def training(metrics: Rows, distillation: Mapping[str, Any], stages: Mapping[str, Mapping[str, float]]) -> str:
    """Teacher against student, loss and selection curves of every stage in the metrics, and what the stages took."""
    curves = "".join(f'<div class="curve">{card}</div>' for card in _curves(metrics))
    body = _teacher(distillation) + (f'<div class="curves-grid">{curves}</div>' if curves else "") + _cost(stages)
    lead = "A large teacher learns the phrase and teaches the tiny student. Lower is better in every curve."
    return section("training", "How it was trained", lead, body)


def _teacher(distillation: Mapping[str, Any]) -> str:
    """What was distilled, and how much teacher and student miss at the same false alarms."""
    told = ", ".join(
        f"{escape(str(key))} {escape(_plain(value))}"
        for key, value in distillation.items()
        if value not in ("", None) and not isinstance(value, Mapping)
    )
    quality = distillation.get("quality")
    compared = ""
    if isinstance(quality, Mapping):
        rows = [
            {"who": f"teacher ({', '.join(quality['teachers'])})", "missed": quality["teacher_miss_rate"]},
            {"who": "student", "missed": quality["student_miss_rate"]},
        ]
        columns: list[Column] = [
            ("", lambda row: escape(row["who"]), "name"),
            ("missed", lambda row: percent(row["missed"]), "n strong"),
        ]
        verdict = {True: "The teacher is better.", False: "The teacher is no better.", None: "Both miss nothing."}
        note = f"{verdict[quality['teacher_is_better']]} {count(quality['positives'])} clips; {quality['compared']}."
        compared = table(rows, columns, caption="Teacher and student in development")
        compared += f'<p class="soft">{escape(note)}</p>'
    return compared + (f'<p class="soft">Distillation: {told}.</p>' if told else "")


def _curves(metrics: Rows) -> list[str]:
    """One chart for each family of networks (several of a kind share it) and for each figure of a single one."""
    stages: dict[str, list[Mapping[str, Any]]] = {}
    for line in metrics:
        stages.setdefault(str(line.get("stage", "training")), []).append(line)
    families: dict[str, dict[str, list[tuple[float, float]]]] = {}
    single: list[str] = []
    for stage, lines in stages.items():
        family, _, member = stage.partition("/")
        if member:
            families.setdefault(family, {})[member] = _series(lines, "loss")
            continue
        single.append(_chart(f"{stage}: loss", {name: _series(lines, name) for name in _TERMS}, "loss"))
        figures = {name: _series(lines, name) for name in ("selection", "best")}
        single.append(_chart(f"{stage}: development miss rate", figures, "missed"))
    together = [_chart(f"{name}: loss", lines, "loss") for name, lines in families.items()]
    return [card for card in (*together, *single) if card]


def _chart(title: str, series: Mapping[str, Sequence[tuple[float, float]]], y_title: str) -> str:
    shown = {name: points for name, points in series.items() if len(points) > 1}
    shown = dict(list(shown.items())[: len(SERIES)])
    drawn = line_chart(shown, x_title="step", y_title=y_title)
    names = legend([(SERIES[number], name) for number, name in enumerate(shown)])
    return f"<h3>{escape(title)}</h3>{names}{drawn}" if drawn else ""


def _series(lines: Rows, name: str) -> list[tuple[float, float]]:
    return [
        (float(line["step"]), float(line[name]))
        for line in lines
        if isinstance(line.get(name), int | float) and isinstance(line.get("step"), int | float)
    ]


def _cost(stages: Mapping[str, Mapping[str, float]]) -> str:
    rows = [{"stage": name, **values} for name, values in stages.items()]
    columns: list[Column] = [
        ("stage", lambda row: escape(row["stage"]), "name"),
        ("time", lambda row: clock(row["wall_s"]), "n strong"),
        ("CPU time", lambda row: clock(row["cpu_s"]), "n"),
        ("peak memory", lambda row: f"{count(round(row['peak_mb']))}\u00a0MB", "n soft"),
    ]
    total = sum(row["wall_s"] for row in rows)
    return foldable(f"What it took: {clock(total)}", table(rows, columns, caption=""))


def _plain(value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"{value:.3g}" if isinstance(value, float) else str(value)
