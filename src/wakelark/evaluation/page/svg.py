"""What the charts are drawn with: inline SVG whose colours come from the page's style, so they follow its theme."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from html import escape

WIDTH, HEIGHT = 480, 290
LEFT, RIGHT, TOP, BOTTOM = 50, 10, 14, 48

Scale = Callable[[float], float]
Point = tuple[float, float]
Tick = tuple[float, str]


def chart(parts: Sequence[str], label: str, *, css: str, height: float) -> str:
    """An SVG that fills the width it is given; `label` is what a screen reader says of it."""
    start = f'<svg class="chart {css}" viewBox="0 0 {WIDTH} {height:g}" role="img" aria-label="{escape(label)}">'
    return start + "".join(parts) + "</svg>"


def axes(x_ticks: Sequence[Tick], y_ticks: Sequence[Tick]) -> str:
    """The base line, lines across at the ticks of y, and the texts of both."""
    bottom = HEIGHT - BOTTOM
    parts = [f'<line class="axis" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{bottom}" y2="{bottom}"/>']
    for at, text in y_ticks:
        if abs(at - bottom) > 1:
            parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at:.1f}" y2="{at:.1f}"/>')
        parts.append(f'<text class="tick end" x="{LEFT - 7}" y="{at + 3.5:.1f}">{text}</text>')
    for at, text in x_ticks:
        parts.append(f'<line class="axis" x1="{at:.1f}" x2="{at:.1f}" y1="{bottom}" y2="{bottom + 4}"/>')
        parts.append(f'<text class="tick middle" x="{at:.1f}" y="{bottom + 17}">{text}</text>')
    return "".join(parts)


def axis_titles(x_title: str, y_title: str) -> str:
    """x's below the axis, y's at the top of it."""
    middle = (LEFT + WIDTH - RIGHT) / 2
    across = f'<text class="title middle" x="{middle:.0f}" y="{HEIGHT - 5}">{escape(x_title)}</text>'
    return across + (f'<text class="title" x="{LEFT}" y="{TOP - 4}">{escape(y_title)}</text>' if y_title else "")


def line(points: Iterable[Point], css: str) -> str:
    """A line through points of the drawing."""
    return f'<polyline class="{css}" points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in points)}"/>'


def linear_scale(low: float, high: float, *, horizontal: bool) -> Scale:
    """From values to places in the drawing."""
    start, end = (LEFT, WIDTH - RIGHT) if horizontal else (HEIGHT - BOTTOM, TOP + 6)
    return lambda value: start + (value - low) / (high - low) * (end - start)


def log_scale(low: float, high: float) -> Scale:
    """A horizontal scale on which equal ratios are equally far apart."""
    inner = linear_scale(math.log(low), math.log(high), horizontal=True)
    return lambda value: inner(math.log(value))


def nice_top(value: float) -> float:
    """The next of 1, 2, 2.5, 5, 10 (times a power of ten) at or above `value`.

    >>> nice_top(0.23), nice_top(7), nice_top(0)
    (0.25, 10.0, 1.0)
    """
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(round(step * power, 12) for step in (1, 2, 2.5, 5, 10) if step * power >= value * (1 - 1e-9))


def round_steps(last: float) -> list[float]:
    """About five round values from 0 to `last`."""
    step = nice_top(last / 5) if last > 0 else 1.0
    return [step * number for number in range(int(last / step + 1e-9) + 1)]
