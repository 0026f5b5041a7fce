"""The section of `report.html` about the training: every stage's curves, what its loss was made of, how good the
teacher was."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from wakelark.evaluation.charts import COLOURS, legend, line_chart
from wakelark.evaluation.html_parts import Column, Rows, foldable, percent, section, table

_SHARE = "share_"
_MOST = len(COLOURS)
Series = Sequence[tuple[float, float]]


def training(metrics: Rows, distillation: Mapping[str, Any]) -> str:
    """Loss, its terms, their shares and the selection curve of every stage in the metrics, and what was distilled.

    Stages are folded but for the last one, which trains the student. Of a stage that trains several networks
    ("student/0", "student/1"), the terms are means over them.
    """
    stages: dict[str, dict[str, list[Mapping[str, Any]]]] = {}
    for line in metrics:
        stage, _, member = str(line.get("stage", "training")).partition("/")
        stages.setdefault(stage, {}).setdefault(member or stage, []).append(line)
    parts = [(stage, _stage(stage, members)) for stage, members in stages.items()]
    drawn = [(stage, cards) for stage, cards in parts if cards]
    curves = "".join(
        foldable(escape(stage), f'<div class="cards">{cards}</div>', is_open=number == len(drawn))
        for number, (stage, cards) in enumerate(drawn, 1)
    )
    teacher = _teacher(distillation.get("quality"))
    if not curves and not distillation:
        return ""
    told = ", ".join(
        f"{escape(str(key))} {escape(_plain(value))}"
        for key, value in distillation.items()
        if value not in ("", None) and not isinstance(value, Mapping)
    )
    lead = f"Distillation: {told}." if told else ""
    return section("Training", lead, f'<div class="cards">{teacher}</div>{curves}')


def _stage(stage: str, members: Mapping[str, Rows]) -> str:
    """The cards of one stage."""
    few = dict(list(members.items())[:_MOST])
    cut = f" (first {_MOST} of {len(members)})" if len(few) < len(members) else ""
    cards = [
        _curves(f"{stage}: loss{cut}", {name: _series(lines, "loss") for name, lines in few.items()}, "loss"),
        _curves(
            f"{stage}: development miss rate{cut}",
            {name: _series(lines, "selection") for name, lines in few.items()}, "missed",
        ),
    ]  # fmt: skip
    terms = _terms(members)
    if len(terms) > 1:  # a single one is the loss itself
        mean = f" (mean of {len(members)})" if len(members) > 1 else ""
        values = {name: _mean(members, name) for name in terms}
        shares = {name: _mean(members, _SHARE + name) for name in terms}
        cards.append(_curves(f"{stage}: terms of the loss, before their weights{mean}", values, "loss"))
        cards.append(_curves(f"{stage}: shares of the terms in the loss{mean}", shares, "share"))
    return "".join(cards)


def _terms(members: Mapping[str, Rows]) -> list[str]:
    """Names of the terms that have a share in the loss anywhere, in the order of the metrics."""
    lines = [line for rows in members.values() for line in rows]
    names = dict.fromkeys(key.removeprefix(_SHARE) for line in lines for key in line if key.startswith(_SHARE))
    return [name for name in names if any(line.get(_SHARE + name) for line in lines)][:_MOST]


def _mean(members: Mapping[str, Rows], name: str) -> Series:
    """A curve averaged over the networks of a stage, at the steps where any of them has it."""
    at: dict[float, list[float]] = {}
    for lines in members.values():
        for step, value in _series(lines, name):
            at.setdefault(step, []).append(value)
    return [(step, sum(values) / len(values)) for step, values in sorted(at.items())]


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


def _curves(title: str, series: Mapping[str, Series], y_title: str) -> str:
    shown = {name: points for name, points in series.items() if len(points) > 1}
    chart = line_chart(shown, x_title="step", y_title=y_title)
    names = legend([(name, number) for number, name in enumerate(shown)])
    return f'<div class="card"><h3>{escape(title)}</h3>{names}{chart}</div>' if chart else ""


def _series(lines: Rows, name: str) -> Series:
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
