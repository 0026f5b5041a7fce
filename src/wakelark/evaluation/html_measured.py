"""Sections of `report.html` about what was measured. Each is a function from plain data to HTML, empty without data."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from wakelark.evaluation.charts import det_chart, histogram_chart, interval_bar, legend
from wakelark.evaluation.html_parts import Column, Rows, clock, foldable, percent, percent_range, player, section, table
from wakelark.evaluation.verdict import duration


def model_cards(models: Rows) -> str:
    """The two figures that matter, for each model."""
    cards = "".join(_model_card(model) for model in models)
    lead = (
        "At the threshold each model ships with, which was chosen on other recordings than these. "
        "The shaded bar is the 95 % interval."
    )
    return section("What you get", lead, f'<div class="cards">{cards}</div>') if models else ""


def trade_off(models: Rows) -> str:
    """The DET curve and the threshold dials."""
    chart = det_chart(models)
    if not chart:
        return ""
    shown = [model for model in models if model["det"] is not None]
    names = legend([(str(model["name"]), number) for number, model in enumerate(shown)])
    lead = (
        "Fewer misses cost more false alarms. The band is the 95 % interval of the misses; the dot is the threshold "
        "that the model ships with, its cross the intervals of both figures. Dashed: the same clips in noise."
    )
    dials = "".join(_dial(model) for model in shown)
    return section(
        "Misses against false alarms",
        lead,
        f'<div class="card">{names}{chart}</div><div class="cards" style="margin-top:18px">{dials}</div>',
    )


def matched(models: Rows) -> str:
    """Operating points per budget, all models side by side."""
    shown = [model for model in models if model["matched"]]
    if not shown:
        return ""
    parts = []
    for model in shown:
        columns: list[Column] = [
            ("allowed per hour", lambda row: f"{row['fa_per_hour_budget']:g}", "n"),
            ("threshold", lambda row: f"{row['threshold']:.4f}", "n"),
            ("missed", lambda row: percent(row["miss_rate"]), "n strong"),
            ("95 % interval", lambda row: percent_range(row["miss_rate_ci"]), "n soft"),
        ]
        if model["realised_noisy"]:
            columns.append((f"at {model['snr_db']:g} dB", lambda row: percent(row["miss_rate_noisy"]), "n"))
        parts.append(f'<div class="card"><h3>{escape(model["name"])}</h3>{table(model["matched"], columns)}</div>')
    lead = (
        "For comparing models only: here the threshold is chosen on the test recordings themselves, so that each row "
        "allows exactly its number of false alarms."
    )
    return section("At matched false-alarm rates", lead, f'<div class="cards">{"".join(parts)}</div>')


def false_alarms(models: Rows, sounds: Mapping[str, str]) -> str:
    """The loudest events in the recordings without the phrase."""
    columns: list[Column] = [
        ("", lambda row: player(row, sounds), ""),
        ("score", lambda row: f"{row['score']:.3f}", "n strong"),
        (
            "",
            lambda row: '<span class="tag fires">fires</span>' if row["fires"] else '<span class="tag">quiet</span>',
            "",
        ),
        ("file", lambda row: escape(row["file"]), "file"),
        ("at", lambda row: clock(row["time_s"]), "n"),
        ("recording", lambda row: f"{escape(row['recording'])} ({escape(row['kind'])})", "soft"),
    ]
    lead = "What came closest to the phrase in recordings without it, loudest first. “Fires” wakes the detector."
    return _per_model("Loudest false alarms", lead, models, "loudest_false_alarms", columns)


def misses(models: Rows, sounds: Mapping[str, str]) -> str:
    """Positive clips that were not heard."""
    columns: list[Column] = [
        ("", lambda row: player(row, sounds), ""),
        ("score", lambda row: f"{row['score']:.3f}", "n strong"),
        ("voice", lambda row: escape(row["speaker"] or row["engine"]), "soft"),
        ("said", lambda row: escape(row["text"] or row["kind"]), ""),
        ("file", lambda row: escape(row["file"]), "file soft"),
    ]
    return _per_model(
        "Missed clips",
        "Test clips with the phrase that stay below the threshold, faintest first.",
        models,
        "missed_clips",
        columns,
    )


def near_misses(models: Rows, sounds: Mapping[str, str]) -> str:
    """Clips that sound like the phrase and fired."""
    shown = [model for model in models if model["near_misses"]]
    if not shown:
        return ""
    columns: list[Column] = [
        ("", lambda row: player(row, sounds), ""),
        ("score", lambda row: f"{row['score']:.3f}", "n strong"),
        ("said", lambda row: escape(row["text"] or row["kind"]), ""),
        ("voice", lambda row: escape(row["speaker"] or row["engine"]), "soft"),
    ]
    parts = []
    for model in shown:
        near = model["near_misses"]
        low, high = near["per_1000_ci"]
        text = (
            f"{escape(model['name'])}: {near['fired']} of {near['clips']} fire, {near['per_1000']:.0f} per 1,000 "
            f"({low:.0f} to {high:.0f})"
        )
        parts.append(foldable(text, table(near["loudest"], columns), is_open=not parts))
    lead = "Synthetic clips of words chosen because they sound like the phrase; ordinary talk holds few of them."
    return section("Sounds like the phrase", lead, f'<div class="card">{"".join(parts)}</div>')


def scores(models: Rows) -> str:
    """Histograms of the scores."""
    names = legend([("with the phrase", 0), ("near misses", 2), ("other recordings", 3)])
    cards = "".join(
        f'<div class="card"><h3>{escape(model["name"])}</h3>{names}{histogram_chart(dict(model))}</div>'
        for model in models
    )
    lead = "The further apart the hills, the easier the choice of a threshold. Heights are square roots of counts."
    return section("Scores", lead, f'<div class="cards">{cards}</div>') if models else ""


def groups(models: Rows) -> str:
    """Misses by voice engine and kind, alarms by recording."""
    rate: list[Column] = [
        ("", lambda row: escape(row["name"]), "file"),
        ("clips", lambda row: str(row["positives"]), "n"),
        ("missed", lambda row: percent(row["miss_rate"]), "n strong"),
        ("95 % interval", lambda row: percent_range(row["miss_rate_ci"]), "n soft"),
    ]
    alarms: list[Column] = [
        ("", _recording, "file"),
        ("hours", lambda row: f"{row['hours']:.2f}", "n"),
        ("alarms", lambda row: str(row["false_alarms"]), "n"),
        ("per hour", lambda row: f"{row['fa_per_hour']:.2f}", "n strong"),
        ("95 % interval", lambda row: f"{row['fa_per_hour_ci'][0]:.2f} to {row['fa_per_hour_ci'][1]:.2f}", "n soft"),
    ]
    cards = []
    for model in models:
        found = model["groups"]
        parts = [f"<h3>{escape(model['name'])}: misses by voice engine</h3>{table(found['engine'], rate)}"]
        if len(found["kind"]) > 1:
            parts.append(f"<h3>Misses by kind</h3>{table(found['kind'], rate)}")
        if found["recording"]:
            parts.append(f"<h3>False alarms by recording</h3>{table(found['recording'], alarms)}")
        cards.append(f'<div class="card">{"".join(parts)}</div>')
    lead = "At each model's own threshold. Small groups have wide intervals."
    return section("By voice and by recording", lead, f'<div class="cards">{"".join(cards)}</div>') if cards else ""


def _model_card(model: Mapping[str, Any]) -> str:
    realised = model["realised"]
    figures = [_miss_figure("missed", realised)]
    if realised["fa_per_hour"] is not None:
        low, high = realised["fa_per_hour_ci"]
        figures.append(
            f'<div class="figure"><span class="label">false alarms per hour</span><b>{realised["fa_per_hour"]:.2f}</b>'
            f"{interval_bar(realised['fa_per_hour'], (low, high), max(4.0, high))}<small>{realised['false_alarms']} in "
            f"{duration(realised['hours'])}; {low:.2f} to {high:.2f}</small></div>"
        )
    if model["realised_noisy"]:
        figures.append(_miss_figure(f"missed in noise, {model['snr_db']:g} dB", model["realised_noisy"]))
    kilobytes, step_ms = model["size_bytes"] / 1000, 1000 * model["step_s"]
    size = f"{kilobytes:.0f} KB, {model['parameters']:,} parameters, every {step_ms:.0f} ms"
    title = f"{escape(model['name'].capitalize())}: {escape(model['file'])}"
    notes = [f"Threshold {model['threshold']:.4f}, chosen for {model['fa_per_hour_budget']:g} false alarms per hour."]
    if realised["live_alarms"] is not None and realised["live_alarms"] != realised["false_alarms"]:
        notes.append(f"A running detector merges close ones: {realised['live_alarms']} alarms.")
    if realised["miss_rate_bootstrap_ci"]:
        notes.append(
            f"Drawing by {realised['bootstrap_unit']}: {percent_range(realised['miss_rate_bootstrap_ci'])} missed."
        )
    return (
        f'<div class="card"><p class="name"><strong>{title}</strong><span>{size}</span></p>'
        f'<div class="figures">{"".join(figures)}</div><p class="notes">{" ".join(notes)}</p></div>'
    )


def _recording(row: Mapping[str, Any]) -> str:
    tag = ' <span class="tag">synthetic</span>' if row["synthetic"] else ""
    return f'{escape(row["name"])} <span class="soft">{escape(row["kind"])}</span>{tag}'


def _miss_figure(label: str, realised: Mapping[str, Any]) -> str:
    if realised["miss_rate"] is None:
        return f'<div class="figure"><span class="label">{label}</span><b>–</b><small>no test clips</small></div>'
    low, high = realised["miss_rate_ci"]
    return (
        f'<div class="figure"><span class="label">{label}</span><b>{percent(realised["miss_rate"])}</b>'
        f"{interval_bar(realised['miss_rate'], (low, high), max(0.4, high))}<small>{realised['missed']} of "
        f"{realised['positives']}; {percent_range((low, high))}</small></div>"
    )


def _dial(model: Mapping[str, Any]) -> str:
    det, realised = model["det"], model["realised"]
    own = {"threshold": model["threshold"], "fa_per_hour": realised["fa_per_hour"], "miss_rate": realised["miss_rate"]}
    start = next((n for n, value in enumerate(det["threshold"]) if value < model["threshold"]), len(det["threshold"]))
    points = {name: [*det[name][:start], value, *det[name][start:]] for name, value in own.items()}
    content = json.dumps({**points, "heard": duration(realised["hours"]), "start": start}).replace("<", "\\u003c")
    name = escape(model["name"])
    return (
        f'<div class="card dial"><script type="application/json">{content}</script>'
        f"<label>Turn the threshold of the {name} model, from strict to eager"
        f'<input type="range" min="0" value="{start}"></label><output aria-live="polite"></output></div>'
    )


def _per_model(title: str, lead: str, models: Rows, key: str, columns: Sequence[Column]) -> str:
    parts = [
        foldable(escape(model["name"]), table(model[key], columns), is_open=number == 0)
        for number, model in enumerate(models)
        if model[key]
    ]
    return section(title, lead, f'<div class="card">{"".join(parts)}</div>') if parts else ""
