"""`report.html`: the report as one page that needs nothing else: no network, no library, no other file.

Every text that comes from outside (phrases, file names, licences) goes through `escape`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files
from typing import Any

from wakelark.evaluation import html_measured as measured
from wakelark.evaluation import html_run as run
from wakelark.evaluation.html_training import training

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; media-src data:; img-src data:"
_BIRD = (
    '<svg viewBox="0 0 34 18" aria-hidden="true"><path d="M1 9h4l2-5 3 11 3-14 3 13 3-9 2 4h11" fill="none" '
    'stroke="var(--one)" stroke-width="1.8" stroke-linecap="round" stroke-linejoin="round"/></svg>'
)


def report_page(report: Mapping[str, Any], *, metrics: Sequence[Mapping[str, Any]], sounds: Mapping[str, str]) -> str:
    """The page.

    Args:
        report: what `build_report` made, or the parsed `report.json`.
        metrics: the parsed lines of `metrics.jsonl`.
        sounds: data URIs by the `sound` names in the report; rows without one show no player.
    """
    models = report["models"]
    body = [
        _header(report),
        run.warnings(report["warnings"]),
        measured.model_cards(models),
        measured.trade_off(models),
        measured.matched(models),
        measured.false_alarms(models, sounds),
        measured.misses(models, sounds),
        measured.near_misses(models, sounds),
        measured.scores(models),
        measured.groups(models),
        training(metrics, report["distillation"]),
        run.cost(report["stages"], report["hours"]),
        run.data(report["corpus"], report["provenance"], report["pretrained"]),
        run.method(),
        f"<footer>wakelark {escape(report['wakelark_version'])}, preset {escape(report['preset'])}, "
        f"{escape(report['created'])}. The numbers are in report.json beside this page.</footer>",
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(report['phrase'])}: wakelark report</title>\n{_part('report_style.html')}</head>\n"
        "<body><main>\n" + "\n".join(part for part in body if part) + "\n</main>\n"
        f"{_part('report_script.html')}</body></html>\n"
    )


def _header(report: Mapping[str, Any]) -> str:
    verdict = report["verdict"]
    details = "".join(f"<li>{escape(line)}</li>" for line in verdict["details"])
    grade = escape(verdict["grade"])
    return (
        f'<header><p class="brand">{_BIRD} wakelark report</p><h1>“{escape(report["phrase"])}”</h1>'
        f'<p class="verdict"><span class="grade {grade}">{grade.capitalize()}</span>'
        f"<span>{escape(verdict['headline'])}</span></p><ul>{details}</ul></header>"
    )


def _part(name: str) -> str:
    return files("wakelark.evaluation").joinpath(name).read_text(encoding="utf-8")
