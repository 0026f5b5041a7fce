"""The curves of a benchmark as an SVG file that stands alone: with its colours, for light and dark, and its legend."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from wakelark.evaluation.page.det import (
    MOST_PER_HOUR,
    det_axes,
    det_band,
    det_frame,
    det_lines,
    whiskers,
    with_curve,
)
from wakelark.evaluation.page.svg import HEIGHT, WIDTH

COLOURS = tuple(f"var(--{name})" for name in ("one", "two", "three", "four", "five", "six", "seven", "eight"))
"""Told apart on paper and on a screen; the file's style defines them."""

MOST_MODELS = len(COLOURS)
_MOST_BANDS = 2
"""More bands over each other tell nothing; the table has all intervals."""
_MARGIN, _LINE = 14, 20
_STYLE = """
svg { --paper: #fcfcfe; --card: #fcfcfe; --ink: #12151d; --soft: #596173; --line: #e2e5ee;
  --one: #4252cc; --two: #14854f; --three: #c2622d; --four: #596173;
  --five: #b0487f; --six: #1f7f95; --seven: #8a6a00; --eight: #7a4fb5; }
@media (prefers-color-scheme: dark) { svg {
  --paper: #101218; --card: #101218; --ink: #e9ebf3; --soft: #9aa2b5; --line: #2b3040;
  --one: #93a0ff; --two: #5fd09a; --three: #ee9560; --four: #9aa2b5;
  --five: #e58bb8; --six: #66c3d8; --seven: #dcb64a; --eight: #b895ec; } }
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
    notes = ["dots: at its own threshold, with 95 % intervals"]
    if snr_db is not None:
        notes.insert(0, f"solid: clean; dashed: noise at {snr_db:g} dB")
    first_note = _MARGIN + _LINE * (len(names) + 1) + 13
    top = first_note + _LINE * len(notes)
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
        *(
            f'<text x="{_MARGIN}" y="{first_note + _LINE * number}">{escape(note)}</text>'
            for number, note in enumerate(notes)
        ),
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
        band = det_band(frame, model) if len(shown) <= _MOST_BANDS else ""
        drawn.append(f'<g style="stroke:{colour};--mine:{colour}">{band}{det_lines(frame, model)}</g>')
        realised = model["realised"]
        x, y = frame.at(realised["fa_per_hour"], realised["miss_rate"])
        css = "dot" if realised["fa_per_hour"] <= MOST_PER_HOUR else "dot outside"
        dots.append(
            f'<g style="stroke:{colour};--mine:{colour}">{whiskers(frame, realised)}'
            f'<circle class="{css}" cx="{x:.1f}" cy="{y:.1f}" r="5"/></g>'
        )
    return "".join([*drawn, *dots])
