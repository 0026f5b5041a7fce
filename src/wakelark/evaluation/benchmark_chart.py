"""The curves of a benchmark as an SVG file that stands alone: with its colours, for light and dark, and its legend."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from wakelark.evaluation.page.det import MOST_PER_HOUR, det_axes, det_frame, det_lines, whiskers, with_curve
from wakelark.evaluation.page.svg import HEIGHT, WIDTH

COLOURS = tuple(f"var(--{name})" for name in ("one", "two", "three", "four", "five", "six", "seven", "eight"))
"""Told apart on paper and on a screen; the file's style defines them."""

MOST_MODELS = len(COLOURS)
_MARGIN, _LINE = 14, 20
_STYLE = """
svg { --paper: #ffffff; --card: #ffffff; --ink: #23211d; --soft: #6d675d; --line: #e4dfd5;
  --one: #1f6f78; --two: #c2622d; --three: #b08a1e; --four: #8d8778;
  --five: #6a4fa3; --six: #4f8a3c; --seven: #b0487f; --eight: #3d6fb5; }
@media (prefers-color-scheme: dark) { svg {
  --paper: #16171a; --card: #16171a; --ink: #eae6de; --soft: #a19b8f; --line: #34363b;
  --one: #57b8c1; --two: #ee9560; --three: #dcb64a; --four: #a19b8f;
  --five: #a98ee0; --six: #8fcb78; --seven: #e58bb8; --eight: #86b1ec; } }
text { fill: var(--soft); font: 12px system-ui, sans-serif; } .title, .head { fill: var(--ink); }
.tick, .title { font-size: 10px; } .middle { text-anchor: middle; } .end { text-anchor: end; }
.head { font-size: 15px; font-weight: 600; } .axis { stroke: var(--soft); } .grid { stroke: var(--line); }
.line { fill: none; stroke-width: 2.2; stroke-linejoin: round; } .noisy { stroke-dasharray: 5 4; stroke-width: 1.6; }
.band { fill: var(--mine); stroke: none; opacity: .13; } .whisker { fill: none; stroke-width: 1.6; }
.dot { fill: var(--mine); stroke: var(--card); stroke-width: 2; }
.dot.outside { fill: var(--card); stroke: var(--mine); }
"""


def benchmark_chart(models: Sequence[Mapping[str, Any]], *, title: str, snr_db: float | None) -> str:
    """Miss rate against false alarms per hour of all models, as the text of an SVG file.

    Args:
        models: the `models` of a benchmark, at most `MOST_MODELS`.
        title: the heading.
        snr_db: of the dashed curves; None without.
    """
    names = [str(model["name"]) for model in models]
    note = "dots: at its own threshold, with 95 % intervals"
    if snr_db is not None:
        note = f"solid: clean; dashed: {snr_db:g} dB noise; {note}"
    top = _MARGIN + 3 * _LINE + _LINE * len(names)
    legend = [
        f'<rect x="{_MARGIN}" y="{_MARGIN + _LINE * (number + 1) + 3}" width="11" height="11" rx="3" '
        f'style="fill:{COLOURS[number]}"/>'
        f'<text x="{_MARGIN + 18}" y="{_MARGIN + _LINE * (number + 1) + 13}">{escape(name)}</text>'
        for number, name in enumerate(names)
    ]
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{top + HEIGHT}" '
        f'viewBox="0 0 {WIDTH} {top + HEIGHT}" role="img" aria-label="{escape(title)}">',
        f"<style>{_STYLE}</style>",
        f'<rect width="{WIDTH}" height="{top + HEIGHT}" style="fill:var(--paper)"/>',
        f'<text class="head" x="{_MARGIN}" y="{_MARGIN + 8}">{escape(title)}</text>',
        *legend,
        f'<text x="{_MARGIN}" y="{top - _LINE}">{escape(note)}</text>',
        f'<g transform="translate(0 {top})">{_curves(models)}</g>',
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _curves(models: Sequence[Mapping[str, Any]]) -> str:
    """All curves on the same axes; above them a dot per model at its own threshold, hollow at the edge for more."""
    shown = [(model, COLOURS[number]) for number, model in enumerate(models) if with_curve([model])]
    if not shown:
        return ""
    frame = det_frame(models, [model for model, _ in shown])
    drawn, dots = [det_axes(frame)], []
    for model, colour in shown:
        drawn.append(f'<g style="stroke:{colour};--mine:{colour}">{det_lines(frame, model)}</g>')
        realised = model["realised"]
        x, y = frame.at(realised["fa_per_hour"], realised["miss_rate"])
        css = "dot" if realised["fa_per_hour"] <= MOST_PER_HOUR else "dot outside"
        dots.append(
            f'<g style="stroke:{colour};--mine:{colour}">{whiskers(frame, realised)}'
            f'<circle class="{css}" cx="{x:.1f}" cy="{y:.1f}" r="5"/></g>'
        )
    return "".join([*drawn, *dots])
