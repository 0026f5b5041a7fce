"""Charts as inline SVG: no library, no script, colours from the page's CSS variables, so that they follow its theme."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any

from wakelark.evaluation.intervals import wilson_interval

WIDTH, HEIGHT = 560, 340
_LEFT, _RIGHT, _TOP, _BOTTOM = 66, 14, 14, 44
COLOURS = tuple(f"var(--{name})" for name in ("one", "two", "three", "four", "five", "six", "seven", "eight"))
"""As many as heads may be trained; the page's style defines them."""

Scale = Callable[[float], float]
Point = tuple[float, float]


def det_chart(models: Sequence[Mapping[str, Any]]) -> str:
    """Miss rate against false alarms per hour of every model, with Wilson bands and each model's own operating point.

    Args:
        models: the `models` of a report; those without negative audio are left out.
    """
    shown = [model for model in models if model["det"] is not None and model["realised"]["positives"]]
    if not shown:
        return ""
    lowest = min(0.1, *(0.5 / model["realised"]["hours"] for model in shown))
    highest = 20.0
    top = min(1.0, _nice_top(1.15 * max(_highest_shown(model) for model in shown)))
    x, y = _log_scale(lowest, highest), _linear_scale(0, top)
    ticks = [value for value in (0.01, 0.1, 0.5, 1, 2, 5, 10, 20) if value >= lowest]
    parts = [
        _axes([(x(value), f"{value:g}") for value in ticks], _share_ticks(top, y)),
        _axis_titles("false alarms per hour", "missed"),
    ]
    for number, model in enumerate(shown):
        parts.append(_det_line(model, COLOURS[number], x, y, lowest, highest, top))
    parts += [
        _operating_point(model, COLOURS[number], x, y, (lowest, highest), top) for number, model in enumerate(shown)
    ]
    label = "Miss rate against false alarms per hour: " + ", ".join(str(model["name"]) for model in shown)
    return _svg(parts, label)


def histogram_chart(model: Mapping[str, Any]) -> str:
    """Scores of positives, near misses and events of the recordings, each as a share of its own highest bar."""
    histogram = model["histogram"]
    edges = histogram["edges"]
    x, y = _linear_scale(edges[0], edges[-1], horizontal=True), _linear_scale(0, 1)
    ticks = [(x(odds), _probability(odds)) for odds in (-8, -4, -2, 0, 2, 4, 8)]
    parts = [_axes(ticks, []), _axis_titles("score", "")]
    for name, colour in (("events", COLOURS[3]), ("near_misses", COLOURS[2]), ("positives", COLOURS[0])):
        counts = histogram[name]
        if highest := max(counts):
            for count, left, right in zip(counts, edges[:-1], edges[1:], strict=True):
                # Square roots: a few loud events among thousands of silent ones must stay visible.
                parts.append(_bar(x(left), x(right), y(math.sqrt(count / highest)), y(0), colour))
    threshold = min(max(model["threshold"], 1e-9), 1 - 1e-9)
    at = x(min(max(math.log(threshold / (1 - threshold)), edges[0]), edges[-1]))
    parts.append(f'<line class="mark" x1="{at:.1f}" x2="{at:.1f}" y1="{_TOP}" y2="{HEIGHT - _BOTTOM}"/>')
    parts.append(f'<text class="tick over" x="{at + 5:.1f}" y="{_TOP + 10}">threshold {model["threshold"]:.3f}</text>')
    return _svg(parts, f"Scores of the {model['name']} model")


def line_chart(series: Mapping[str, Sequence[Point]], *, x_title: str, y_title: str) -> str:
    """Lines through points, at most one per colour; those with a single point are left out; nothing without any."""
    series = {name: line for name, line in series.items() if len(line) > 1}
    points = [point for line in series.values() for point in line]
    if not points:
        return ""
    top = _nice_top(max(value for _, value in points))
    first, last = min(at for at, _ in points), max(at for at, _ in points)
    x, y = (
        _linear_scale(first, max(last, first + 1), horizontal=True),
        _linear_scale(min(0, *(v for _, v in points)), top),
    )
    parts = [
        _axes(
            [(x(at), f"{at:g}") for at in _round_steps(last) if at >= first],
            [(y(top * k / 4), f"{top * k / 4:.3g}") for k in range(5)],
        ),
        _axis_titles(x_title, y_title),
    ]
    for number, line in enumerate(series.values()):
        path = " ".join(f"{x(at):.1f},{y(value):.1f}" for at, value in line)
        parts.append(f'<polyline class="line" style="stroke:{COLOURS[number]}" points="{path}"/>')
    return _svg(parts, f"{y_title} by {x_title}")


def interval_bar(value: float, interval: Sequence[float], top: float) -> str:
    """A thin bar from 0 to `top` with the interval shaded and the value marked."""

    def at(share: float) -> float:
        return 200 * min(1.0, share / top)

    low, high = interval
    return (
        '<svg class="interval" viewBox="0 0 200 10" preserveAspectRatio="none" aria-hidden="true">'
        '<rect class="rail" width="200" height="4" y="3" rx="2"/>'
        f'<rect class="range" x="{at(low):.1f}" width="{max(2.0, at(high) - at(low)):.1f}" height="4" y="3" rx="2"/>'
        f'<rect class="value" x="{min(196.0, max(0.0, at(value) - 2)):.1f}" width="4" height="10" rx="2"/></svg>'
    )


def legend(entries: Sequence[tuple[str, int]]) -> str:
    """Names with the colours of the charts (by number)."""
    items = "".join(
        f'<span><i style="background:{COLOURS[number]}"></i>{escape(name)}</span>' for name, number in entries
    )
    return f'<p class="legend">{items}</p>'


def _det_line(
    model: Mapping[str, Any], colour: str, x: Scale, y: Scale, lowest: float, highest: float, top: float
) -> str:
    positives = model["realised"]["positives"]
    steps = _steps(model["det"], lowest, highest)
    bands = [wilson_interval(round(missed * positives), positives) for _, missed in steps]
    upper = [f"{x(rate):.1f},{y(min(top, band[1])):.1f}" for (rate, _), band in zip(steps, bands, strict=True)]
    lower = [f"{x(rate):.1f},{y(min(top, band[0])):.1f}" for (rate, _), band in zip(steps, bands, strict=True)]
    drawn = [f'<polygon class="band" style="fill:{colour}" points="{" ".join(upper + lower[::-1])}"/>']
    for det, css in ((model["det"], "line"), (model["det_noisy"], "line noisy")):
        if det:
            line = " ".join(f"{x(rate):.1f},{y(min(top, missed)):.1f}" for rate, missed in _steps(det, lowest, highest))
            drawn.append(f'<polyline class="{css}" style="stroke:{colour}" points="{line}"/>')
    return "".join(drawn)


def _steps(det: Mapping[str, Any], lowest: float, highest: float) -> list[Point]:
    """The curve as a staircase between `lowest` and `highest` alarms per hour."""
    rows = [
        (max(rate, lowest), missed)
        for rate, missed in zip(det["fa_per_hour"], det["miss_rate"], strict=True)
        if rate <= highest
    ]
    rows.append((highest, rows[-1][1]))
    # The best of what is allowed so far: allowing more alarms never costs hits.
    steps = [rows[0]]
    for rate, missed in rows[1:]:
        steps += [(rate, steps[-1][1]), (rate, min(missed, steps[-1][1]))]
    return steps


def _operating_point(
    model: Mapping[str, Any], colour: str, x: Scale, y: Scale, ends: tuple[float, float], top: float
) -> str:
    """A dot at the realised figures, with the Garwood interval across and the Wilson interval up and down."""
    realised = model["realised"]

    def across(rate: float) -> float:
        return x(min(max(rate, ends[0]), ends[1]))

    low, high = realised["fa_per_hour_ci"]
    best, worst = realised["miss_rate_ci"]
    at_x, at_y = across(realised["fa_per_hour"]), y(min(top, realised["miss_rate"]))
    inside = realised["fa_per_hour"] <= ends[1]
    # A hollow dot at the edge stands for more alarms than the chart shows.
    dot, paint = ("dot", "fill") if inside else ("dot outside", "stroke")
    down, up = y(min(top, best)), y(min(top, worst))
    return (
        f'<g style="stroke:{colour}">'
        f'<line class="whisker" x1="{across(low):.1f}" x2="{across(high):.1f}" y1="{at_y:.1f}" y2="{at_y:.1f}"/>'
        f'<line class="whisker" x1="{at_x:.1f}" x2="{at_x:.1f}" y1="{down:.1f}" y2="{up:.1f}"/>'
        f'</g><circle class="{dot}" style="{paint}:{colour}" cx="{at_x:.1f}" cy="{at_y:.1f}" r="5"/>'
    )


def _highest_shown(model: Mapping[str, Any]) -> float:
    """What the chart must reach up to: the misses at the fewest alarms, and at the own threshold with its interval."""
    lines = [model["det"], model["det_noisy"]] if model["det_noisy"] else [model["det"]]
    return max(model["realised"]["miss_rate_ci"][1], *(line["miss_rate"][0] for line in lines))


def _svg(parts: Sequence[str], label: str) -> str:
    size = f'width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}"'
    start = f'<svg class="chart" {size} role="img" aria-label="{escape(label)}">'
    return start + "".join(parts) + "</svg>"


def _axes(x_ticks: Sequence[tuple[float, str]], y_ticks: Sequence[tuple[float, str]]) -> str:
    bottom = HEIGHT - _BOTTOM
    parts = [f'<line class="axis" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{bottom}" y2="{bottom}"/>']
    for at, text in y_ticks:
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{at:.1f}" y2="{at:.1f}"/>')
        parts.append(f'<text class="tick" x="{_LEFT - 7}" y="{at + 4:.1f}" text-anchor="end">{text}</text>')
    for at, text in x_ticks:
        parts.append(f'<line class="grid" x1="{at:.1f}" x2="{at:.1f}" y1="{_TOP}" y2="{bottom}"/>')
        parts.append(f'<text class="tick" x="{at:.1f}" y="{bottom + 17}" text-anchor="middle">{text}</text>')
    return "".join(parts)


def _axis_titles(x_title: str, y_title: str) -> str:
    middle = (_LEFT + WIDTH - _RIGHT) / 2
    across = f'<text class="title" x="{middle:.0f}" y="{HEIGHT - 6}" text-anchor="middle">{escape(x_title)}</text>'
    up = f'<text class="title" transform="translate(13 {HEIGHT / 2 - 14:.0f}) rotate(-90)" text-anchor="middle">'
    return across + (f"{up}{escape(y_title)}</text>" if y_title else "")


def _bar(left: float, right: float, top: float, bottom: float, colour: str) -> str:
    if bottom - top < 0.5:
        return ""
    return (
        f'<rect class="bar" style="fill:{colour}" x="{left + 0.5:.1f}" width="{right - left - 1:.1f}" '
        f'y="{top:.1f}" height="{bottom - top:.1f}" rx="1.5"/>'
    )


def _linear_scale(low: float, high: float, *, horizontal: bool = False) -> Scale:
    start, end = (_LEFT, WIDTH - _RIGHT) if horizontal else (HEIGHT - _BOTTOM, _TOP)
    return lambda value: start + (value - low) / (high - low) * (end - start)


def _log_scale(low: float, high: float) -> Scale:
    inner = _linear_scale(math.log(low), math.log(high), horizontal=True)
    return lambda value: inner(math.log(value))


def _share_ticks(top: float, y: Scale) -> list[tuple[float, str]]:
    return [(y(top * k / 5), f"{100 * top * k / 5:g} %") for k in range(6)]


def _nice_top(value: float) -> float:
    """The next of 1, 2, 5, 10, ... (times a power of ten) at or above `value`."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(round(step * power, 12) for step in (1, 2, 2.5, 5, 10) if step * power >= value * (1 - 1e-9))


def _round_steps(last: float) -> list[float]:
    step = _nice_top(last / 5) if last > 0 else 1.0
    return [step * number for number in range(int(last / step + 1e-9) + 1)]


def _probability(odds: float) -> str:
    return f"{1 / (1 + math.exp(-odds)):.2g}" if odds <= 2 else f"{1 / (1 + math.exp(-odds)):.4g}"
