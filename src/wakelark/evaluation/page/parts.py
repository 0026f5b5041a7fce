"""What every section of the page is made of: headings, tables, bars with intervals, blocks that belong to one model."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any

Entry = Mapping[str, Any]
"""An element of the report's `models`, or its `judged`."""
Rows = Sequence[Mapping[str, Any]]
Column = tuple[str, Callable[[Mapping[str, Any]], str], str]
"""Heading, cell (HTML) of a row, CSS class of both."""

_NAMES = {"accurate": "Accurate", "tiny": "Tiny", "judged": "Tiny + judge"}


def entries_of(report: Mapping[str, Any]) -> list[Entry]:
    """All detectors of a report: its models, and the two of them as one detector where that was measured."""
    judged = report.get("judged")
    return [*report["models"], *([judged] if judged else [])]


def name_of(entry: Entry) -> str:
    """What the page calls a model. Plain text."""
    return _NAMES.get(entry["name"], str(entry["name"]))


def code_spans(text: str) -> str:
    """HTML of a plain text, with `commands` as code.

    >>> code_spans("run `wakelark say` & listen")
    'run <code>wakelark say</code> &amp; listen'
    """
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))


def section(anchor: str, title: str, lead: str, body: str) -> str:
    """A heading, a line that explains it (HTML), and what it is about (HTML); nothing without that."""
    if not body:
        return ""
    told = f"<p>{lead}</p>" if lead else ""
    return (
        f'<section id="{anchor}" aria-labelledby="{anchor}-title"><div class="head">'
        f'<h2 id="{anchor}-title">{title}</h2>{told}</div><div class="body">{body}</div></section>'
    )


def per_model(entries: Sequence[Entry], render: Callable[[Entry], str], *, without: str) -> str:
    """A block for each model, of which the page's switch shows one, at first the first; nothing when no model has
    anything to show.

    Args:
        entries: the models.
        render: the block of one (HTML), "" for nothing.
        without: stands where a model has nothing (HTML).
    """
    blocks = [render(entry) for entry in entries]
    if not any(blocks):
        return ""
    nothing = f'<p class="none">{without}</p>'
    return "".join(
        f'<div class="of" data-model="{number}"{" hidden" if number else ""}>'
        f'<p class="whose">{escape(name_of(entry))}</p>{block or nothing}</div>'
        for number, (entry, block) in enumerate(zip(entries, blocks, strict=True))
    )


def foldable(title: str, body: str, *, is_open: bool) -> str:
    """A part that can be folded away; both texts are HTML. Nothing without a body."""
    return f"<details{' open' if is_open else ''}><summary>{title}</summary>{body}</details>" if body else ""


def table(rows: Rows, columns: Sequence[Column], *, caption: str, css: str = "") -> str:
    """A table; nothing without rows.

    Args:
        rows: what it lists.
        columns: see `Column`; the first is the heading of its row.
        caption: HTML, "" for none.
        css: class of the table.
    """
    if not rows:
        return ""
    told = f"<caption>{caption}</caption>" if caption else ""
    head = "".join(f'<th scope="col" class="{css}">{escape(title)}</th>' for title, _, css in columns)
    body = "".join(f"<tr>{_cells(row, columns)}</tr>" for row in rows)
    listed = f"{told}<thead><tr>{head}</tr></thead><tbody>{body}</tbody>"
    return f'<div class="scroll"><table class="{css}">{listed}</table></div>'


def _cells(row: Mapping[str, Any], columns: Sequence[Column]) -> str:
    (_, first, css), *others = columns
    cells = "".join(
        f'<td class="{other_css}" data-label="{escape(title)}">{cell(row)}</td>' for title, cell, other_css in others
    )
    return f'<th scope="row" class="{css}">{first(row)}</th>{cells}'


def interval_bar(value: float, interval: Sequence[float], top: float, *, goal: float | None) -> str:
    """A thin bar from 0 to `top` with the interval shaded, the value marked, and a notch where the goal lies."""

    def at(amount: float) -> float:
        return 200 * min(1.0, amount / top)

    low, high = interval
    notch = "" if goal is None else f'<rect class="goal" x="{min(198.5, at(goal)):.1f}" width="1.5" height="12"/>'
    return (
        '<svg class="interval" viewBox="0 0 200 12" preserveAspectRatio="none" aria-hidden="true">'
        '<rect class="rail" width="200" height="2" y="5"/>'
        f'<rect class="range" x="{at(low):.1f}" width="{max(2.0, at(high) - at(low)):.1f}" height="6" y="3"/>{notch}'
        f'<rect class="value" x="{min(197.0, max(0.0, at(value) - 1.5)):.1f}" width="3" height="12"/></svg>'
    )


def legend(entries: Sequence[tuple[str, str]]) -> str:
    """(CSS class of the mark, what it stands for) of a chart, in a line."""
    items = "".join(f'<span><i class="{css}"></i>{escape(text)}</span>' for css, text in entries)
    return f'<p class="legend">{items}</p>'
