"""The whole page. It needs nothing else: no network, no library, no other file.

Every text that comes from outside (phrases, file names, licences) goes through `escape`. Besides, the page's policy
lets nothing run but the one script whose digest it names, and nothing load but what the page holds.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files
from typing import Any

from wakelark.evaluation.page import compare, groups, limits, mistakes, opening, sources, training
from wakelark.evaluation.page.dial import dial
from wakelark.evaluation.page.health import health
from wakelark.evaluation.page.parts import entries_of
from wakelark.evaluation.snippets import Snippet

PAGE_BYTES = 8_000_000
"""A page is never larger: the sounds that do not fit are left out, the least loud first, and the page says how many."""


def report_page(
    report: Mapping[str, Any], *, metrics: Sequence[Mapping[str, Any]], snippets: Mapping[str, Snippet]
) -> str:
    """The page.

    Args:
        report: what `build_report` made, or the parsed `report.json`.
        metrics: the parsed lines of `metrics.jsonl`.
        snippets: by the `sound` names in the report; rows without one show no picture and no player.
    """
    room = PAGE_BYTES - len(_page(report, metrics, {}, "").encode()) - 1000
    kept, left_out = within(room, snippets, wanted(report))
    told = ""
    if left_out:
        told = f"{left_out} of {left_out + len(kept)} sounds were left out: the page is kept below 8 MB."
    return _page(report, metrics, kept, told)


def wanted(report: Mapping[str, Any]) -> list[str]:
    """Names of all sounds that the report's rows have, the first of every list first."""
    ranked = [
        (rank, row["sound"])
        for entry in entries_of(report)
        for rows in (
            entry["loudest_false_alarms"], entry["missed_clips"], (entry["near_misses"] or {"loudest": []})["loudest"],
        )
        for rank, row in enumerate(rows)
    ]  # fmt: skip
    return [name for _, name in sorted(ranked, key=lambda item: item[0])]


def within(room: int, snippets: Mapping[str, Snippet], order: Sequence[str]) -> tuple[dict[str, Snippet], int]:
    """The snippets that fit into `room` bytes, in that order, and how many do not."""
    kept: dict[str, Snippet] = {}
    left_out = 0
    for name in order:
        if name not in snippets:
            continue
        if snippets[name].size > room:
            left_out += 1
            continue
        kept[name] = snippets[name]
        room -= snippets[name].size
    return kept, left_out


def _page(
    report: Mapping[str, Any], metrics: Sequence[Mapping[str, Any]], snippets: Mapping[str, Snippet], left_out: str
) -> str:
    entries = entries_of(report)
    sections = (
        opening.good_for(entries),
        dial(entries),
        mistakes.false_alarms(entries, snippets),
        mistakes.misses(entries, snippets),
        mistakes.near_misses(entries, snippets),
        groups.groups(entries),
        compare.compare(entries, report.get("judged")),
        limits.limits(entries, compare.rows_of(entries)),
        health(report.get("health")),
        training.training(metrics, report["distillation"], report["stages"]),
        sources.sources(report),
        limits.method() if entries else "",
    )
    top = opening.header(report, entries) + opening.bar(entries) + opening.key_figures(entries)
    notes = sources.warnings(report["warnings"])
    made = (
        f"wakelark {escape(report['wakelark_version'])}, preset {escape(report['preset'])}, "
        f"{escape(report['created'])}. The numbers are in report.json beside this page. {left_out}"
    )
    return (
        f'{_head(report["phrase"])}<body><a class="skip" href="#uses">Skip to the answers</a>\n<main>{top}{notes}\n'
        + "\n".join(part for part in sections if part)
        + f"\n</main><footer><p>{made}</p></footer>\n<script>{_part('script.js')}</script></body></html>\n"
    )


def _head(phrase: str) -> str:
    digest = base64.b64encode(hashlib.sha256(_part("script.js").encode()).digest()).decode()
    policy = (
        f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; media-src data:; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="referrer" content="no-referrer"><meta name="color-scheme" content="light dark">'
        f'<link rel="icon" href="data:image/svg+xml;base64,{_icon()}">'
        f"<title>{escape(phrase)}: wakelark report</title>\n<style>{_part('style.css')}</style></head>\n"
    )


def _icon() -> str:
    """The lark of the page's top; with an icon of its own, a page asks no server for one."""
    drawn = opening.LARK.replace('class="lark"', 'xmlns="http://www.w3.org/2000/svg" fill="#4252cc"')
    return base64.b64encode(drawn.encode()).decode()


def _part(name: str) -> str:
    return files("wakelark.evaluation.page").joinpath(name).read_text(encoding="utf-8")
