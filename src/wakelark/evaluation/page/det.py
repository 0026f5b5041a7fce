"""Misses against false alarms: the curve of one model with its confidence band, the others pale behind it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from wakelark.evaluation.intervals import wilson_interval
from wakelark.evaluation.page.parts import Entry, name_of
from wakelark.evaluation.page.svg import (
    BOTTOM,
    HEIGHT,
    LEFT,
    RIGHT,
    WIDTH,
    Point,
    axes,
    axis_titles,
    chart,
    line,
    linear_scale,
    log_scale,
    nice_top,
)

MOST_PER_HOUR = 20.0
"""Nobody keeps a detector that wakes more often; the curves end there."""
_TICKS = (0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20)
_LABELS_APART = 26.0


@dataclass(frozen=True, slots=True)
class DetFrame:
    """The scales of a chart.

    Attributes:
        lowest: alarms per hour at the left edge, which also stands for none.
        top: miss rate at the upper edge.
    """

    lowest: float
    top: float

    def at(self, fa_per_hour: float, miss_rate: float) -> Point:
        """A place in the drawing; what lies outside is put on the edge."""
        across = log_scale(self.lowest, MOST_PER_HOUR)
        up = linear_scale(0, self.top, horizontal=False)
        return across(min(max(fa_per_hour, self.lowest), MOST_PER_HOUR)), up(min(max(miss_rate, 0.0), self.top))


def with_curve(entries: Sequence[Entry]) -> list[Entry]:
    """The models that have a curve: those that heard the phrase and something else."""
    return [entry for entry in entries if entry["det"] is not None and entry["realised"]["positives"]]


def det_frame(entries: Sequence[Entry], chosen: Sequence[Entry]) -> DetFrame:
    """Scales that hold the curves of all models, and of `chosen`, which must have one each, that in noise too."""
    shown = with_curve(entries)
    lowest = min(0.1, *(0.4 / entry["realised"]["hours"] for entry in shown))
    highest = [entry["realised"]["miss_rate_ci"][1] for entry in chosen]
    highest += [entry["det"]["miss_rate"][0] for entry in shown]
    highest += [entry["det_noisy"]["miss_rate"][0] for entry in chosen if entry["det_noisy"]]
    return DetFrame(lowest, min(1.0, nice_top(1.05 * max(highest))))


def det_chart(entries: Sequence[Entry], chosen: Entry, frame: DetFrame) -> str:
    """The chart of `chosen`; the mark "here" is where the dial stands, at first the model's own threshold."""
    bottom = HEIGHT - BOTTOM
    parts = [det_axes(frame)]
    parts += [line(_placed(frame, entry["det"]), "line other") for entry in with_curve(entries) if entry is not chosen]
    parts += [det_band(frame, chosen), det_lines(frame, chosen)]
    realised = chosen["realised"]
    x, y = frame.at(realised["fa_per_hour"], realised["miss_rate"])
    parts += [whiskers(frame, realised), _presets(frame, chosen)]
    parts.append(
        f'<g class="here" transform="translate({x:.1f} {y:.1f})"><line y1="0" y2="{bottom - y:.1f}"/>'
        f'<circle r="6"/></g>'
    )
    label = f"Miss rate against false alarms per hour of the {name_of(chosen)} model, with a 95 per cent band"
    return chart(parts, label, css="det", height=HEIGHT)


def det_axes(frame: DetFrame) -> str:
    """Axes, ticks and titles."""
    ticks = [(frame.at(value, 0)[0], f"{value:g}") for value in _TICKS if value >= frame.lowest * 1.6]
    shares = [(frame.at(1, frame.top * k / 5)[1], f"{100 * frame.top * k / 5:g}\u00a0%") for k in range(6)]
    return axes([(LEFT, "none"), *ticks], shares) + axis_titles("false alarms per hour", "missed")


def det_lines(frame: DetFrame, entry: Entry) -> str:
    """The curve of a model, and that in noise."""
    noisy = line(_placed(frame, entry["det_noisy"]), "line noisy") if entry["det_noisy"] else ""
    return line(_placed(frame, entry["det"]), "line") + noisy


def det_band(frame: DetFrame, entry: Entry) -> str:
    """Wilson's interval of the misses along the clean curve."""
    positives = entry["realised"]["positives"]
    steps = _steps(entry["det"], frame.lowest)
    bands = [wilson_interval(round(missed * positives), positives) for _, missed in steps]
    upper = [frame.at(rate, high) for (rate, _), (_, high) in zip(steps, bands, strict=True)]
    lower = [frame.at(rate, low) for (rate, _), (low, _) in zip(steps, bands, strict=True)]
    corners = " ".join(f"{x:.1f},{y:.1f}" for x, y in upper + lower[::-1])
    return f'<polygon class="band" points="{corners}"/>'


def _placed(frame: DetFrame, det: Mapping[str, Any]) -> list[Point]:
    return [frame.at(rate, missed) for rate, missed in _steps(det, frame.lowest)]


def _steps(det: Mapping[str, Any], lowest: float) -> list[Point]:
    """The curve as a staircase from `lowest` to `MOST_PER_HOUR` alarms per hour."""
    rows = [
        (max(rate, lowest), missed)
        for rate, missed in zip(det["fa_per_hour"], det["miss_rate"], strict=True)
        if rate <= MOST_PER_HOUR
    ]
    if not rows:
        return []
    rows.append((MOST_PER_HOUR, rows[-1][1]))
    # The best of what is allowed so far: allowing more alarms never costs hits.
    steps = [rows[0]]
    for rate, missed in rows[1:]:
        steps += [(rate, steps[-1][1]), (rate, min(missed, steps[-1][1]))]
    return steps


def whiskers(frame: DetFrame, realised: Mapping[str, Any]) -> str:
    """Garwood's interval across and Wilson's up and down, at the model's own threshold."""
    rate, missed = realised["fa_per_hour"], realised["miss_rate"]
    low, high = (frame.at(bound, missed) for bound in realised["fa_per_hour_ci"])
    best, worst = (frame.at(rate, bound) for bound in realised["miss_rate_ci"])
    return line([low, high], "whisker") + line([best, worst], "whisker")


def _presets(frame: DetFrame, entry: Entry) -> str:
    """A dot for each preset, with its name where there is room."""
    parts, last = [], -1000.0
    for preset in entry.get("presets") or []:
        if preset["fa_per_hour"] is None or preset["miss_rate"] is None:
            continue
        x, y = frame.at(preset["fa_per_hour"], preset["miss_rate"])
        parts.append(f'<circle class="preset" cx="{x:.1f}" cy="{y:.1f}" r="3.5"/>')
        if x - last >= _LABELS_APART:
            css = "note end" if x > WIDTH - RIGHT - 50 else "note"
            parts.append(f'<text class="{css}" x="{x + 6:.1f}" y="{y - 9:.1f}">{escape(preset["name"])}</text>')
            last = x
    return "".join(parts)
