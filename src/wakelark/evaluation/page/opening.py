"""The top of the page: the verdict, the figures that matter, and what the model is good enough for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from wakelark.evaluation.page.numbers import NO_BREAK, count, how_often, percent, percent_range, rate, rate_range, score
from wakelark.evaluation.page.parts import Entry, foldable, interval_bar, name_of, per_model, section
from wakelark.evaluation.page.uses import GOOD_MISS_RATE, Answer, Use, uses
from wakelark.evaluation.verdict import duration

LARK = (
    '<svg class="lark" viewBox="0 0 32 24" aria-hidden="true">'
    '<path d="M2 17C9 18 13 15.5 15.5 12 18 8.5 21 7 24 7.4L29.5 9 25 10.6C24 15.6 19.5 20 12.5 20 8 20 4.5 19 2 17Z"/>'
    '<path class="wing" d="M9.5 13.5C8.5 8 11 3.5 15.5 1.5 15 5.5 16.5 8.5 19.5 9.5 16 10 13 11.5 9.5 13.5Z"/></svg>'
)
_MARKS: dict[Answer, str] = {
    "yes": '<path d="M5 10.5l3.4 3.4L15 7"/>',
    "partly": '<path d="M5 11.5c2-3 4-3 5-1.5s3 1.5 5-1.5"/>',
    "no": '<path d="M6 6l8 8M14 6l-8 8"/>',
    "unknown": '<path d="M7.3 7.8a2.7 2.7 0 1 1 3.9 2.4c-.8.4-1.2.9-1.2 1.800M10 14.6v.1"/>',
}
_PLACES = (("uses", "Good for"), ("threshold", "Threshold"), ("alarms", "Mistakes"), ("groups", "Groups"),
           ("models", "Models"), ("limits", "Limits"), ("data", "Data"))  # fmt: skip
_ANSWERS: dict[Answer, str] = {"yes": "Yes", "partly": "Partly", "no": "No", "unknown": "Not known"}


def header(report: Mapping[str, Any], entries: Sequence[Entry]) -> str:
    """The phrase and the verdict."""
    verdict = report["verdict"]
    grade = escape(verdict["grade"])
    words = "".join(f"<li>{escape(line)}</li>" for line in verdict["details"])
    graded = f"Graded by the {escape(name_of(entries[0]).lower())} model." if entries else ""
    return (
        f'<header><p class="brand">{LARK}<span>wakelark report</span></p>'
        f"<h1>{escape(report['phrase'])}</h1>"
        f'<p class="verdict"><span class="grade {grade}">{grade.capitalize()}</span> {escape(verdict["headline"])}</p>'
        f'<p class="soft">{graded} Every range on this page is a 95{NO_BREAK}% interval: where the truth lies, as '
        "far as so much test audio can tell.</p>"
        f"{foldable('The same in words', f'<ul>{words}</ul>' if words else '', is_open=False)}</header>"
    )


def bar(entries: Sequence[Entry]) -> str:
    """What stays at the top: which model the page is about (the script shows that one), and where things are."""
    if not entries:
        return ""
    links = "".join(f'<a href="#{anchor}">{title}</a>' for anchor, title in _PLACES)
    return f'<div class="switch">{_switch(entries)}<nav class="places" aria-label="On this page">{links}</nav></div>'


def _switch(entries: Sequence[Entry]) -> str:
    if len(entries) < 2:
        return ""
    options = "".join(
        f'<label><input type="radio" name="model" value="{number}"{" checked" if number == 0 else ""}>'
        f"<span>{escape(name_of(entry))}</span></label>"
        for number, entry in enumerate(entries)
    )
    return f"<fieldset><legend>Figures of</legend><div>{options}</div></fieldset>"


def key_figures(entries: Sequence[Entry]) -> str:
    """Misses and false alarms of each model at its own threshold."""
    if not entries:
        return ""
    tops = _tops(entries)
    return f'<div class="key">{per_model(entries, lambda entry: _figures(entry, *tops), without="")}</div>'


def good_for(entries: Sequence[Entry]) -> str:
    """What each model is good enough for."""
    lead = (
        "“Yes” takes at most 5 misses in 100, “partly” at most 15; false alarms are held against the number "
        "that was asked for."
    )
    return section(
        "uses",
        "Is it good enough, and for what?",
        lead,
        per_model(entries, lambda entry: f'<ul class="uses">{"".join(map(_use, uses(entry)))}</ul>', without=""),
    )


def _use(use: Use) -> str:
    mark = f'<svg viewBox="0 0 20 20" aria-hidden="true">{_MARKS[use.answer]}</svg>'
    return (
        f'<li class="{use.answer}">{mark}<div><p class="what">{escape(use.what)}</p><p>{escape(use.why)}</p></div>'
        f'<p class="answer">{_ANSWERS[use.answer]}</p></li>'
    )


def _tops(entries: Sequence[Entry]) -> tuple[float, float]:
    """Where the bars of all models end: of misses and of alarms per hour."""
    misses = [
        entry[key]["miss_rate_ci"][1]
        for entry in entries
        for key in ("realised", "realised_noisy")
        if entry[key] and entry[key]["miss_rate"] is not None
    ]
    alarms = [entry["realised"]["fa_per_hour_ci"][1] for entry in entries if entry["realised"]["fa_per_hour_ci"]]
    return min(1.0, max([0.2, *misses])), max([2.0, *alarms])


def _figures(entry: Entry, miss_top: float, alarm_top: float) -> str:
    realised, noisy = entry["realised"], entry["realised_noisy"]
    blocks = [_misses("Missed in a quiet room", realised, miss_top)]
    if noisy:
        blocks.append(_misses(f"Missed in noise at {entry['snr_db']:g}{NO_BREAK}dB", noisy, miss_top))
    blocks.append(_alarms(entry, alarm_top))
    return f'<div class="figures">{"".join(blocks)}</div><p class="notes">{_notes(entry)}</p>'


def _misses(label: str, figures: Mapping[str, Any], top: float) -> str:
    if figures["miss_rate"] is None:
        return _figure(label, "–", "", ["no test clips with the phrase"])
    bar = interval_bar(figures["miss_rate"], figures["miss_rate_ci"], top, goal=GOOD_MISS_RATE)
    lines = [
        percent_range(figures["miss_rate_ci"]),
        f"{count(figures['missed'])} of {count(figures['positives'])} clips",
    ]
    return _figure(label, percent(figures["miss_rate"]), bar, lines)


def _alarms(entry: Entry, top: float) -> str:
    label, figures = "False alarms per hour", entry["realised"]
    if figures["fa_per_hour"] is None:
        return _figure(label, "–", "", ["no recordings without the phrase"])
    bar = interval_bar(figures["fa_per_hour"], figures["fa_per_hour_ci"], top, goal=entry["fa_per_hour_budget"])
    alarms = figures["false_alarms"]
    lines = [rate_range(figures["fa_per_hour_ci"]), f"{count(alarms)} in {duration(figures['hours'])}"]
    if alarms:
        lines.append(how_often(alarms, figures["hours"]))
    return _figure(label, rate(figures["fa_per_hour"]), bar, lines)


def _figure(label: str, value: str, bar: str, lines: Sequence[str]) -> str:
    told = "".join(f"<p>{escape(text)}</p>" for text in lines)
    return f'<div><p class="label">{label}</p><p class="value">{escape(value)}</p>{bar}{told}</div>'


def _notes(entry: Entry) -> str:
    figures = entry["realised"]
    notes = [
        f"{escape(entry['file'])}, threshold {score(entry['threshold'])}, chosen for at most "
        f"{entry['fa_per_hour_budget']:g} false alarms per hour. A notch marks the goal."
    ]
    if figures["miss_rate_bootstrap_ci"]:
        unit = escape(figures["bootstrap_unit"])
        notes.append(f"Drawn {unit} by {unit}, the misses lie at {percent_range(figures['miss_rate_bootstrap_ci'])}.")
    if figures["live_alarms"] is not None and figures["live_alarms"] != figures["false_alarms"]:
        notes.append(f"Run live, alarms close together are one: {count(figures['live_alarms'])}.")
    if latency := entry.get("latency"):
        notes.append(_latency(latency))
    return " ".join(notes)


def _latency(latency: Mapping[str, Any]) -> str:
    if latency["median_s"] is None:
        return ""
    return (
        f"It answers {1000 * latency['median_s']:.0f}{NO_BREAK}ms after the phrase ends (median of "
        f"{count(latency['clips'])} clips; nine in ten within {1000 * latency['p90_s']:.0f}{NO_BREAK}ms)."
    )
