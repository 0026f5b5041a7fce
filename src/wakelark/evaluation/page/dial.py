"""The threshold dial: a slider over every threshold that changes a figure, with the figures worked out beforehand.

The page's script computes nothing: it looks up what stands here, so what it shows is what `report.json` says.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from wakelark.evaluation.intervals import poisson_interval, wilson_interval
from wakelark.evaluation.page.charts import score_chart, score_place
from wakelark.evaluation.page.det import MOST_PER_HOUR, det_chart, det_frame
from wakelark.evaluation.page.numbers import count, how_often, percent, percent_range, rate, rate_range, score
from wakelark.evaluation.page.parts import Entry, legend, per_model, section
from wakelark.evaluation.verdict import duration

_FEWEST_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Stop:
    """A place of the slider.

    Attributes:
        threshold: of the score.
        missed: positives below it.
        alarms: events at or above it.
        noisy: miss rate in noise, None when not measured.
    """

    threshold: float
    missed: int
    alarms: int
    noisy: float | None


def dial(entries: Sequence[Entry]) -> str:
    """The section with slider, curve and scores of every model."""
    body = per_model(
        entries,
        lambda entry: _panel(entries, entry) if stops(entry) else "",
        without="Without both clips of the phrase and other recordings there is no trade-off to show.",
    )
    lead = (
        "Every threshold is a trade: a stricter one wakes less often by mistake and misses more. Move it and see. "
        "Models ship with the threshold that was chosen on other recordings than these."
    )
    return section("threshold", "Stricter or more eager?", lead, body)


def stops(entry: Entry) -> list[Stop]:
    """All places of a model's slider, strict first: its curve, its own threshold, its presets; none without a curve."""
    det, realised = entry["det"], entry["realised"]
    if det is None or not realised["positives"]:
        return []
    clips, hours = realised["positives"], realised["hours"]
    own_noisy = entry["realised_noisy"]["miss_rate"] if entry["realised_noisy"] else None
    found = {
        threshold: Stop(threshold, round(missed * clips), round(alarms * hours), _noisy_at(entry, alarms))
        for threshold, alarms, missed in zip(det["threshold"], det["fa_per_hour"], det["miss_rate"], strict=True)
    }
    fixed = [
        Stop(preset["threshold"], round(preset["miss_rate"] * clips), preset["false_alarms"], preset["miss_rate_noisy"])
        for preset in entry.get("presets") or []
    ]
    fixed.append(Stop(entry["threshold"], realised["missed"], realised["false_alarms"], own_noisy))
    most = max(MOST_PER_HOUR * hours, _FEWEST_SHOWN, *(stop.alarms for stop in fixed))
    found |= {stop.threshold: stop for stop in fixed}
    shown = [stop for stop in found.values() if stop.alarms <= most]
    return sorted(shown, key=lambda stop: -stop.threshold)


def _noisy_at(entry: Entry, fa_per_hour: float) -> float | None:
    """Misses in noise at so many false alarms, or at the next fewer that the curve has a point for."""
    noisy = entry["det_noisy"]
    if not noisy:
        return None
    fewer = [
        missed
        for alarms, missed in zip(noisy["fa_per_hour"], noisy["miss_rate"], strict=True)
        if alarms <= fa_per_hour * (1 + 1e-9)
    ]
    return min(fewer) if fewer else 1.0


def figures(entry: Entry, stop: Stop) -> dict[str, str]:
    """What the panel says at a stop, by the names of its fields. Plain text."""
    clips, hours = entry["realised"]["positives"], entry["realised"]["hours"]
    return {
        "threshold": score(stop.threshold),
        "missed": percent(stop.missed / clips),
        "missed_range": percent_range(wilson_interval(stop.missed, clips)),
        "missed_count": f"{count(stop.missed)} of {count(clips)}",
        "alarms": rate(stop.alarms / hours),
        "alarms_range": rate_range(poisson_interval(stop.alarms, hours)),
        "alarms_count": f"{count(stop.alarms)} in {duration(hours)}",
        "pace": how_often(stop.alarms, hours),
        "noisy": percent(stop.noisy),
        "nearest": nearest(entry, stop.threshold),
    }


def nearest(entry: Entry, threshold: float) -> str:
    """Which preset a threshold is, or lies nearest to (in log odds); without presets, how it lies to the own one."""
    presets = entry.get("presets") or []
    if not presets:
        own = entry["threshold"]
        other = "stricter" if threshold > own else "more eager"
        return "the threshold it ships with" if threshold == own else f"{other} than it ships"
    name = min(presets, key=lambda preset: abs(_odds(preset["threshold"]) - _odds(threshold)))["name"]
    same = [preset["name"] for preset in presets if preset["threshold"] == threshold]
    return f"the preset “{' and '.join(same)}”" if same else f"nearest preset: “{name}”"


def _odds(probability: float) -> float:
    clipped = min(max(probability, 1e-9), 1 - 1e-9)
    return math.log(clipped / (1 - clipped))


def _panel(entries: Sequence[Entry], entry: Entry) -> str:
    places, frame = stops(entry), det_frame(entries, entry)
    rows = [figures(entry, stop) for stop in places]
    start = next(number for number, stop in enumerate(places) if stop.threshold == entry["threshold"])
    data: dict[str, list[Any]] = {name: [row[name] for row in rows] for name in rows[0]}
    clips, hours = entry["realised"]["positives"], entry["realised"]["hours"]
    at = [frame.at(stop.alarms / hours, stop.missed / clips) for stop in places]
    data |= {"x": [round(x, 1) for x, _ in at], "y": [round(y, 1) for _, y in at]}
    data["across"] = [round(score_place(entry, stop.threshold), 1) for stop in places]
    content = json.dumps({"start": start, "columns": data}, ensure_ascii=False).replace("<", "\\u003c")
    return (
        f'<div class="dial"><script type="application/json">{content}</script>'
        f"{_controls(entry, places, start)}{_figures(entry, rows[start])}</div>"
        f"{_legend(entries, entry)}{det_chart(entries, entry, frame)}"
        f'<h3>What the scores look like</h3><p class="soft">The further apart the first row lies from the others, the '
        f"easier the choice. Heights are square roots of counts.</p>{score_chart(entry)}"
    )


def _controls(entry: Entry, places: Sequence[Stop], start: int) -> str:
    """The slider and a button for each preset; the script fills and enables them."""
    names = [(preset["name"], preset["threshold"]) for preset in entry.get("presets") or []]
    buttons = "".join(
        f'<button type="button" data-stop="{number}">{escape(name)}</button>'
        for name, threshold in names or [("as shipped", entry["threshold"])]
        for number, stop in enumerate(places)
        if stop.threshold == threshold
    )
    return (
        '<div class="controls"><label><span>Threshold <b data-show="threshold">'
        f"{score(entry['threshold'])}</b></span>"
        f'<input type="range" min="0" max="{len(places) - 1}" step="1" value="{start}"></label>'
        '<p class="ends"><span>strict: wakes less</span><span>eager: misses less</span></p>'
        f'<p class="presets">{buttons}<span data-show="nearest">{escape(nearest(entry, entry["threshold"]))}</span>'
        "</p></div>"
    )


def _figures(entry: Entry, row: dict[str, str]) -> str:
    def shown(name: str) -> str:
        return f'<span data-show="{name}">{escape(row[name])}</span>'

    noisy = ""
    if entry["realised_noisy"]:
        noisy = f"<p>in noise, {entry['snr_db']:g}\u00a0dB below it: {shown('noisy')}</p>"
    return (
        f'<div class="live"><div><p class="label">missed</p><p class="value">{shown("missed")}</p>'
        f"<p>95\u00a0%: {shown('missed_range')}</p><p>{shown('missed_count')} clips</p>{noisy}</div>"
        f'<div><p class="label">false alarms per hour</p><p class="value">{shown("alarms")}</p>'
        f"<p>95\u00a0%: {shown('alarms_range')}</p><p>{shown('alarms_count')}</p><p>{shown('pace')}</p></div></div>"
    )


def _legend(entries: Sequence[Entry], entry: Entry) -> str:
    marks = [("line", "this model"), ("band", "95 % of its misses")]
    if entry["det_noisy"]:
        marks.append(("line noisy", f"in noise, {entry['snr_db']:g} dB"))
    if len(entries) > 1:
        marks.append(("line other", "the other models"))
    return legend([*marks, ("whisker", "as shipped, with both intervals")])
