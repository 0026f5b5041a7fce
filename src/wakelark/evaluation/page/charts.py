"""The other charts: scores as three rows of bars, and curves of the training."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from wakelark.evaluation.page.parts import Entry, name_of
from wakelark.evaluation.page.svg import (
    HEIGHT,
    WIDTH,
    Point,
    Tick,
    axes,
    axis_titles,
    chart,
    line,
    linear_scale,
    nice_top,
    round_steps,
)

SERIES = ("line", *(f"line {name}" for name in ["second", "third", "fourth", "fifth", "sixth", "seventh", "eighth"]))
"""CSS classes of several lines in one chart, told apart without colour; as many as heads may be trained."""

_ROWS = (
    ("positives", "clips with the phrase"),
    ("near_misses", "words that sound like it"),
    ("events", "other sounds"),
)
_ROW_HEIGHT, _ROW_GAP, _FIRST_ROW = 46, 28, 34
_SIDE = 6
_SCORES_HEIGHT = _FIRST_ROW + 3 * (_ROW_HEIGHT + _ROW_GAP) + 36


def score_place(entry: Entry, threshold: float) -> float:
    """Where a threshold lies across `score_chart`."""
    edges = entry["histogram"]["edges"]
    clipped = min(max(threshold, 1e-9), 1 - 1e-9)
    odds = min(max(math.log(clipped / (1 - clipped)), edges[0]), edges[-1])
    return _SIDE + (odds - edges[0]) / (edges[-1] - edges[0]) * (WIDTH - 2 * _SIDE)


def score_chart(entry: Entry) -> str:
    """Scores of clips with the phrase, of near misses and of everything else, one row each, and the threshold.

    Across lie the log odds of the score. A row's bars are square roots of counts, relative to its own highest: a few
    loud events among thousands of silent ones must stay visible.
    """
    at = score_place(entry, entry["threshold"])
    end = _SCORES_HEIGHT - 38
    parts = [_bars(entry, number, key, text) for number, (key, text) in enumerate(_ROWS)]
    for tick in (0.001, 0.02, 0.1, 0.5, 0.9, 0.98, 0.999):
        x = score_place(entry, tick)
        parts.append(f'<line class="axis" x1="{x:.1f}" x2="{x:.1f}" y1="{end}" y2="{end + 4}"/>')
        parts.append(f'<text class="tick middle" x="{x:.1f}" y="{end + 17}">{tick:g}</text>')
    parts.append(f'<text class="title middle" x="{WIDTH / 2}" y="{_SCORES_HEIGHT - 4}">score</text>')
    parts.append(
        f'<g class="here" transform="translate({at:.1f} 0)"><line y1="16" y2="{end}"/>'
        '<text class="note end" x="-7" y="22">stays silent</text><text class="note" x="7" y="22">wakes</text></g>'
    )
    return chart(parts, f"Scores of the {name_of(entry)} model", css="scores", height=_SCORES_HEIGHT)


def line_chart(series: Mapping[str, Sequence[Point]], *, x_title: str, y_title: str) -> str:
    """Lines through points, at most one per style; those with a single point are left out; nothing without any."""
    shown = {name: points for name, points in series.items() if len(points) > 1}
    points = [point for line_points in shown.values() for point in line_points]
    if not points:
        return ""
    top = nice_top(max(value for _, value in points))
    first, last = min(at for at, _ in points), max(at for at, _ in points)
    x = linear_scale(first, max(last, first + 1), horizontal=True)
    y = linear_scale(min(0, *(value for _, value in points)), top, horizontal=False)
    x_ticks: list[Tick] = [(x(at), f"{at:g}") for at in round_steps(last) if at >= first]
    parts = [axes(x_ticks, [(y(value), f"{value:.3g}") for value in round_steps(top)]), axis_titles(x_title, y_title)]
    for number, line_points in enumerate(shown.values()):
        parts.append(line(((x(at), y(value)) for at, value in line_points), SERIES[number]))
    return chart(parts, f"{y_title} by {x_title}", css="curves", height=HEIGHT)


def _bars(entry: Entry, number: int, key: str, text: str) -> str:
    counts, edges = entry["histogram"][key], entry["histogram"]["edges"]
    base = _FIRST_ROW + number * (_ROW_HEIGHT + _ROW_GAP) + _ROW_HEIGHT
    wide = (WIDTH - 2 * _SIDE) / (len(edges) - 1)
    highest = max(counts)
    bars = "".join(
        f'<rect class="{key.replace("_", "-")}" x="{_SIDE + place * wide + 0.6:.1f}" width="{wide - 1.2:.1f}" '
        f'y="{base - _ROW_HEIGHT * math.sqrt(count / highest):.1f}" '
        f'height="{_ROW_HEIGHT * math.sqrt(count / highest):.1f}"/>'
        for place, count in enumerate(counts)
        if count
    )
    total = f"{sum(counts):,} {text}" if highest else f"no {text}"
    return (
        f'<line class="axis" x1="{_SIDE}" x2="{WIDTH - _SIDE}" y1="{base}" y2="{base}"/>{bars}'
        f'<text class="row" x="{_SIDE}" y="{base + 16}">{total}</text>'
    )
