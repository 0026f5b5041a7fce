"""How the models were made: teacher and student, every stage's curves and what its loss was made of, what it cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from wakelark.evaluation.page.charts import SERIES, line_chart
from wakelark.evaluation.page.numbers import clock, count, percent
from wakelark.evaluation.page.parts import Column, Rows, foldable, legend, section, table

_SHARE = "share_"
_MOST = len(SERIES)
Series = Sequence[tuple[float, float]]


def training(metrics: Rows, distillation: Mapping[str, Any], stages: Mapping[str, Mapping[str, float]]) -> str:
    """Teacher against student; loss, its terms, their shares and the selection curve of every stage in the metrics; and
    what the stages took.

    Stages are folded but for the last one, which trains the student. Of a stage that trains several networks
    ("student/0", "student/1"), the terms are means over them.
    """
    named: dict[str, dict[str, list[Mapping[str, Any]]]] = {}
    for line in metrics:
        stage, _, member = str(line.get("stage", "training")).partition("/")
        named.setdefault(stage, {}).setdefault(member or stage, []).append(line)
    parts = [(stage, _stage(stage, dict(sorted(members.items())))) for stage, members in named.items()]
    drawn = [(stage, curves) for stage, curves in parts if curves]
    curves = "".join(
        foldable(escape(stage), f'<div class="curves-grid">{drawings}</div>', is_open=number == len(drawn))
        for number, (stage, drawings) in enumerate(drawn, 1)
    )
    lead = "A large teacher learns the phrase and teaches the tiny student. Lower is better, but for shares."
    return section("training", "How it was trained", lead, _teacher(distillation) + curves + _cost(stages))


def _stage(stage: str, members: Mapping[str, Rows]) -> str:
    """The charts of one stage."""
    few = dict(list(members.items())[:_MOST])
    cut = f" (first {_MOST} of {len(members)})" if len(few) < len(members) else ""
    charts = [
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
        charts.append(_curves(f"{stage}: terms of the loss, before their weights{mean}", values, "loss"))
        charts.append(_curves(f"{stage}: shares of the terms in the loss{mean}", shares, "share"))
    return "".join(charts)


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


def _curves(title: str, series: Mapping[str, Series], y_title: str) -> str:
    shown = {name: points for name, points in series.items() if len(points) > 1}
    drawn = line_chart(shown, x_title="step", y_title=y_title)
    names = legend([(SERIES[number], name) for number, name in enumerate(shown)])
    return f'<div class="curve"><h3>{escape(title)}</h3>{names}{drawn}</div>' if drawn else ""


def _series(lines: Rows, name: str) -> Series:
    return [
        (float(line["step"]), float(line[name]))
        for line in lines
        if isinstance(line.get(name), int | float) and isinstance(line.get("step"), int | float)
    ]


def _teacher(distillation: Mapping[str, Any]) -> str:
    """What was distilled, and how much teacher and student miss at the same false alarms."""
    told = ", ".join(
        f"{escape(str(key))} {escape(_plain(value))}"
        for key, value in distillation.items()
        if value not in ("", None) and not isinstance(value, Mapping)
    )
    note = f'<p class="soft">Distillation: {told}.</p>' if told else ""
    quality = distillation.get("quality")
    if quality is None:
        return note
    rows = [
        {"who": f"teacher ({', '.join(quality['teachers'])})", "missed": quality["teacher_miss_rate"]},
        {"who": "student", "missed": quality["student_miss_rate"]},
    ]
    columns: list[Column] = [
        ("", lambda row: escape(row["who"]), "name"),
        ("missed", lambda row: percent(row["missed"]), "n strong"),
    ]
    verdict = {True: "The teacher is better.", False: "The teacher is no better.", None: "Both miss nothing."}
    compared = f"{verdict[quality['teacher_is_better']]} {count(quality['positives'])} clips; {quality['compared']}."
    listed = table(rows, columns, caption="Teacher and student in development")
    return f'{listed}<p class="soft">{escape(compared)}</p>{note}'


def _cost(stages: Mapping[str, Mapping[str, float]]) -> str:
    rows = [{"stage": name, **values} for name, values in stages.items()]
    columns: list[Column] = [
        ("stage", lambda row: escape(row["stage"]), "name"),
        ("time", lambda row: clock(row["wall_s"]), "n strong"),
        ("CPU time", lambda row: clock(row["cpu_s"]), "n"),
        ("peak memory", lambda row: f"{count(round(row['peak_mb']))}\u00a0MB", "n soft"),
    ]
    total = sum(row["wall_s"] for row in rows)
    return foldable(f"What it took: {clock(total)}", table(rows, columns, caption=""), is_open=False)


def _plain(value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"{value:.3g}" if isinstance(value, float) else str(value)
