"""The curves of a benchmark as an SVG file that stands alone: with its colours, for light and dark, and its legend."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from wakelark.evaluation.page.det import DetFrame, band, det_axes, det_frame, placed, whiskers, with_curve
from wakelark.evaluation.page.svg import HEIGHT, WIDTH, line

COLOURS = tuple(f"var(--{name})" for name in ("one", "two", "three", "four", "five", "six", "seven", "eight"))

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
text { fill: var(--soft); font: 10px system-ui, sans-serif; } .title, .head { fill: var(--ink); }
.head { font-size: 14px; font-weight: 600; } .middle { text-anchor: middle; } .end { text-anchor: end; }
.axis { stroke: var(--soft); } .grid { stroke: var(--line); }
.line { fill: none; stroke: var(--accent); stroke-width: 2; stroke-linejoin: round; }
.noisy { stroke-dasharray: 5 4; stroke-width: 1.5; } .band { fill: var(--accent); opacity: .13; }
.whisker { fill: none; stroke: var(--accent); stroke-width: 1.4; }
.dot { fill: var(--accent); stroke: var(--card); stroke-width: 2; }
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
    """The axes, and every model that has a curve in its colour."""
    shown = with_curve(models)
    if not shown:
        return ""
    frames = [det_frame(shown, one) for one in shown]
    frame = DetFrame(min(one.lowest for one in frames), max(one.top for one in frames))
    drawn = [
        f'<g style="--accent:{colour}">{_curve(frame, model)}</g>'
        for model, colour in zip(models, COLOURS, strict=False) if model in shown
    ]  # fmt: skip
    return det_axes(frame) + "".join(drawn)


def _curve(frame: DetFrame, model: Mapping[str, Any]) -> str:
    realised = model["realised"]
    x, y = frame.at(realised["fa_per_hour"], realised["miss_rate"])
    noisy = line(placed(frame, model["det_noisy"]), "line noisy") if model["det_noisy"] else ""
    dot = f'<circle class="dot" cx="{x:.1f}" cy="{y:.1f}" r="4.5"/>'
    return band(frame, model) + line(placed(frame, model["det"]), "line") + noisy + whiskers(frame, realised) + dot
