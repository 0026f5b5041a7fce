"""Every mistake to hear and to see: false alarms, missed clips, near misses that wake it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from wakelark.evaluation.page.numbers import clock, count, plain, score
from wakelark.evaluation.page.parts import Column, Entry, foldable, per_model, section, table
from wakelark.evaluation.snippets import Snippet, Trace

Snippets = Mapping[str, Snippet]
_REACH = 7.0
"""Log odds at the lower and the upper edge of a trace."""
_TEXTS_SHOWN = 12


def false_alarms(entries: Sequence[Entry], snippets: Snippets) -> str:
    """The loudest events in the recordings without the phrase."""
    lead = (
        "What came closest to the phrase in recordings without it, loudest first. Below each sound is its score; where "
        "that crosses the dashed threshold, the device wakes."
    )
    body = per_model(
        entries,
        lambda entry: _cards(entry, entry["loudest_false_alarms"], snippets, _alarm),
        without="No sound came near.",
    )
    return section("alarms", "What wakes it by mistake", lead, body)


def misses(entries: Sequence[Entry], snippets: Snippets) -> str:
    """Positive clips that were not heard."""
    lead = "Test clips with the phrase that stay below the threshold, the faintest score first."
    body = per_model(
        entries,
        lambda entry: _cards(entry, entry["missed_clips"], snippets, _missed),
        without="Every test clip was heard.",
    )
    return section("missed", "What it misses", lead, body)


def near_misses(entries: Sequence[Entry], snippets: Snippets) -> str:
    """Clips that sound like the phrase: how many wake it, which words, and how they sound."""
    shown = [entry for entry in entries if entry["near_misses"]]
    lead = (
        "Words that were chosen because they sound like the phrase, spoken by synthetic voices. Ordinary talk holds "
        "few of them."
    )
    body = per_model(shown, lambda entry: _near(entry, snippets), without="")
    return section("alike", "What sounds too much like it", lead, body)


def _near(entry: Entry, snippets: Snippets) -> str:
    near = entry["near_misses"]
    if not near["clips"]:
        return ""
    low, high = near["per_1000_ci"]
    told = (
        f'<p class="said"><b>{near["per_1000"]:.0f}</b> of 1,000 such clips would wake it ({low:.0f} to {high:.0f}); '
        f"{count(near['fired'])} of {count(near['clips'])} did.</p>"
    )
    return told + _texts(near.get("by_text") or []) + _cards(entry, near["loudest"], snippets, _alike)


def _texts(rows: Sequence[Mapping[str, Any]]) -> str:
    """The words that wake it, the most dangerous first; those that never do are counted."""
    waking = [row for row in rows if row["fired"]]
    columns: list[Column] = [
        ("words", lambda row: f"“{escape(row['text'])}”", "name"),
        ("woke it", lambda row: f"{count(row['fired'])} of {count(row['clips'])}", "n strong"),
        ("per 1,000", lambda row: f"{row['per_1000']:.0f}", "n"),
        ("95 %", lambda row: f"{row['per_1000_ci'][0]:.0f} to {row['per_1000_ci'][1]:.0f}", "n soft"),
    ]
    if not rows:
        return ""
    never = f'<p class="soft">{count(len(rows) - len(waking))} of {count(len(rows))} texts never woke it.</p>'
    more = foldable(f"{len(waking) - _TEXTS_SHOWN} more", table(waking[_TEXTS_SHOWN:], columns, caption=""))
    return table(waking[:_TEXTS_SHOWN], columns, caption="") + (more if len(waking) > _TEXTS_SHOWN else "") + never


def _cards(entry: Entry, rows: Sequence[Mapping[str, Any]], snippets: Snippets, describe: Any) -> str:
    if not rows:
        return ""
    cards = "".join(_card(entry, row, snippets.get(row["sound"]), describe(row)) for row in rows)
    return f'<ol class="clips">{cards}</ol>'


def _alarm(row: Mapping[str, Any]) -> tuple[str, str]:
    name = row["file"].rsplit("/", 1)[-1]
    where = f"{escape(row['recording'])}, {escape(plain(row['kind']))}, at {clock(row['time_s'])}"
    return f'<span title="{escape(row["file"])}">{escape(name)}</span>', where


def _missed(row: Mapping[str, Any]) -> tuple[str, str]:
    said = f"“{escape(row['text'])}”" if row["text"] else escape(row["file"])
    who = row["speaker"] or row["engine"]
    return said, f"{escape(who)}, {escape(plain(row['kind']))}"


_alike = _missed


def _card(entry: Entry, row: Mapping[str, Any], snippet: Snippet | None, told: tuple[str, str]) -> str:
    what, where = told
    wakes = row["score"] >= entry["threshold"]
    tag = '<span class="tag wakes">wakes</span>' if wakes else '<span class="tag">stays silent</span>'
    picture = _pictured(snippet, entry["threshold"], row["score"]) if snippet else ""
    sound = (
        f'<audio controls preload="none" src="{escape(snippet.sound)}"></audio>'
        f'<button type="button" class="play" hidden><svg viewBox="0 0 20 20" aria-hidden="true">'
        f'<path class="go" d="M7 5l8 5-8 5z"/><path class="halt" d="M6 5h3v10H6zM11 5h3v10h-3z"/></svg>'
        f'<span class="out">Play</span></button>'
        if snippet
        else ""
    )
    kept = "" if snippet else '<p class="soft">its sound is not on this page</p>'
    return (
        f'<li class="clip">{picture}<div class="under">{sound}<div><p class="what">{what}</p>'
        f'<p class="soft">{where}</p>{kept}<p><b>{score(row["score"])}</b> {tag}</p></div></div></li>'
    )


def _pictured(snippet: Snippet, threshold: float, peak: float) -> str:
    """Spectrogram and trace one below the other, on one time axis."""
    seconds = snippet.seconds
    picture = f'<img src="{escape(snippet.picture)}" alt="" width="250" height="40">'
    return (
        f'<div class="seen" data-seconds="{seconds:.2f}">{picture}{_trace(snippet.trace, seconds, threshold, peak)}'
        '<i class="head" hidden></i></div>'
    )


def _trace(trace: Trace, seconds: float, threshold: float, peak: float) -> str:
    if not trace.scores:
        return ""
    points = [(1000 * time_s / seconds, _height(value)) for time_s, value in zip(*_columns(trace), strict=True)]
    path = " ".join(f"{x:.0f},{y:.1f}" for x, y in points)
    level = _height(threshold)
    first, last = points[0][0], points[-1][0]
    label = f"Score over time, at most {score(peak)}; the threshold is {score(threshold)}"
    return (
        f'<svg class="trace" viewBox="0 0 1000 100" preserveAspectRatio="none" role="img" aria-label="{label}">'
        f'<polygon points="{first:.0f},100 {path} {last:.0f},100"/><polyline points="{path}"/>'
        f'<line x1="0" x2="1000" y1="{level:.1f}" y2="{level:.1f}"/></svg>'
    )


def _columns(trace: Trace) -> tuple[tuple[float, ...], tuple[float, ...]]:
    return trace.times_s, trace.scores


def _height(probability: float) -> float:
    """Log odds as a height from the top, 0 to 100."""
    clipped = min(max(probability, 1e-9), 1 - 1e-9)
    odds = max(-_REACH, min(_REACH, math.log(clipped / (1 - clipped))))
    return 96 - 92 * (odds + _REACH) / (2 * _REACH)
