"""What every section of `report.html` is made of: headings, tables, players, numbers as people read them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any

Rows = Sequence[Mapping[str, Any]]
Column = tuple[str, Callable[[Mapping[str, Any]], str], str]
"""Heading, cell (HTML) of a row, CSS class of both."""


def section(title: str, lead: str, body: str) -> str:
    """A heading, a line that explains it (HTML), and what it is about (HTML)."""
    told = f'<p class="lead">{lead}</p>' if lead else ""
    return f"<section><h2>{title}</h2>{told}{body}</section>"


def foldable(title: str, body: str, *, is_open: bool) -> str:
    """A part that can be folded away; both arguments are HTML."""
    return f"<details{' open' if is_open else ''}><summary>{title}</summary>{body}</details>"


def table(rows: Rows, columns: Sequence[Column]) -> str:
    """A table; empty without rows."""
    if not rows:
        return ""
    head = "".join(f'<th class="{css}">{escape(title)}</th>' for title, _, css in columns)
    body = "".join(
        "<tr>" + "".join(f'<td class="{css}">{cell(row)}</td>' for _, cell, css in columns) + "</tr>" for row in rows
    )
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def player(row: Mapping[str, Any], sounds: Mapping[str, str]) -> str:
    """A player for the row's sound, when there is one."""
    uri = sounds.get(row["sound"])
    return f'<audio controls preload="none" src="{escape(uri)}"></audio>' if uri else ""


def percent(share: float | None) -> str:
    """A share as a percentage, a dash for None."""
    return "–" if share is None else f"{100 * share:.1f}\u00a0%"


def percent_range(interval: Sequence[float]) -> str:
    """An interval of shares as percentages."""
    return f"{100 * interval[0]:.1f} to {100 * interval[1]:.1f}\u00a0%"


def clock(seconds: float) -> str:
    """Seconds as minutes and seconds."""
    minutes, rest = divmod(seconds, 60)
    return f"{int(minutes)} min {rest:.0f} s" if minutes >= 1 else f"{rest:.1f} s"
