"""Every mistake to hear and to see: false alarms, missed clips, near misses that wake it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any

from wakelark.evaluation.page.numbers import clock, count, plain, score
from wakelark.evaluation.page.parts import Column, Entry, foldable, per_model, section, table
from wakelark.evaluation.snippets import Snippet, Trace

Snippets = Mapping[str, Snippet]
Describe = Callable[[Mapping[str, Any]], tuple[str, str]]
"""What a row is, and where it comes from; both HTML."""
_REACH = 7.0
"""Log odds at the lower and the upper edge of a trace."""
_TEXTS_SHOWN = 12
_CARDS_SHOWN = 6


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
    lead = (
        "Test clips with the phrase, the faintest score first. The score has to reach the dashed threshold within the "
        "shaded part: not before the phrase is over, and at most a second after."
    )
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
    more = foldable(
        f"{len(waking) - _TEXTS_SHOWN} more", table(waking[_TEXTS_SHOWN:], columns, caption=""), is_open=False
    )
    return table(waking[:_TEXTS_SHOWN], columns, caption="") + (more if len(waking) > _TEXTS_SHOWN else "") + never


def _cards(entry: Entry, rows: Sequence[Mapping[str, Any]], snippets: Snippets, describe: Describe) -> str:
    """The first mistakes open, the others folded away."""
    cards = [_card(entry, row, snippets.get(row["sound"]), describe(row)) for row in rows]
    first, others = "".join(cards[:_CARDS_SHOWN]), "".join(cards[_CARDS_SHOWN:])
    if not first:
        return ""
    more = foldable(f"{len(cards) - _CARDS_SHOWN} more", f'<ol class="clips">{others}</ol>', is_open=False)
    return f'<ol class="clips">{first}</ol>' + (more if others else "")


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
        f'<button type="button" class="play"><svg viewBox="0 0 20 20" aria-hidden="true">'
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
    picture = f'<img src="{escape(snippet.picture)}" alt="" width="250" height="40">'
    trace = _trace(snippet, snippet.trace, threshold, peak) if snippet.trace else ""
    return (
        f'<div class="seen" data-seconds="{snippet.seconds:.2f}">{picture}{trace}<i class="playhead" hidden></i></div>'
    )


def _trace(snippet: Snippet, trace: Trace, threshold: float, peak: float) -> str:
    across = 1000 / snippet.seconds
    points = [
        ((trace.first_s + step * trace.step_s) * across, _height(value)) for step, value in enumerate(trace.scores)
    ]
    path = " ".join(f"{x:.0f},{y:.1f}" for x, y in points)
    counts = ""
    if snippet.counts_s:
        begin, end = (second * across for second in snippet.counts_s)
        counts = f'<rect x="{begin:.0f}" width="{end - begin:.0f}" y="0" height="100"/>'
    level, first, last = _height(threshold), points[0][0], points[-1][0]
    label = f"Score over time, at most {score(peak)}; the threshold is {score(threshold)}"
    return (
        f'<svg class="trace" viewBox="0 0 1000 100" preserveAspectRatio="none" role="img" aria-label="{label}">{counts}'
        f'<polygon points="{first:.0f},100 {path} {last:.0f},100"/><polyline points="{path}"/>'
        f'<line x1="0" x2="1000" y1="{level:.1f}" y2="{level:.1f}"/></svg>'
    )


def _height(probability: float) -> float:
    """Log odds as a height from the top, 0 to 100."""
    clipped = min(max(probability, 1e-9), 1 - 1e-9)
    odds = max(-_REACH, min(_REACH, math.log(clipped / (1 - clipped))))
    return 96 - 92 * (odds + _REACH) / (2 * _REACH)
