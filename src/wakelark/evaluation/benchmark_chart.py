"""The curves of a benchmark as an SVG file that stands alone: with its colours, for light and dark, and its legend."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from wakelark.evaluation.charts import COLOURS, HEIGHT, WIDTH, det_chart

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
.head { font-size: 15px; font-weight: 600; } .axis { stroke: var(--soft); } .grid { stroke: var(--line); }
.line { fill: none; stroke-width: 2.2; stroke-linejoin: round; } .noisy { stroke-dasharray: 5 4; stroke-width: 1.6; }
.band { opacity: .13; } .whisker { stroke-width: 1.6; } .dot { stroke: var(--card); stroke-width: 2; }
.dot.outside { fill: var(--card); }
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
        f'<g transform="translate(0 {top})">{det_chart(models)}</g>',
        "</svg>",
    ]
    return "\n".join(parts) + "\n"
