"""One model's entry in a report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from wakelark.evaluation.events import log_odds
from wakelark.evaluation.groups import (
    ScoredClip,
    ScoredStream,
    alarm_figures,
    alarm_groups,
    det_curve,
    miss_figures,
    miss_groups,
    total_hours,
    trait_groups,
)
from wakelark.evaluation.intervals import hours_needed
from wakelark.evaluation.latency import WordEnd, latency_of_clips
from wakelark.evaluation.near_misses import near_miss_figures
from wakelark.evaluation.operating_point import DetCurve, operating_rows, selection_figure
from wakelark.evaluation.preset_figures import preset_row
from wakelark.model_card import CardPreset

LISTED = 12
"""So many loudest false alarms, missed clips and near misses are listed one by one."""
_BINS = np.linspace(-8.0, 8.0, 33)
_CURVE_POINTS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredModel:
    """One model and all its scores on test audio.

    Attributes:
        name: "accurate" or "tiny".
        file: the model's file name.
        size_bytes, parameters, step_s: of the model.
        threshold: the model's own, chosen on development audio.
        fa_per_hour: the budget it was chosen for.
        presets: its named operating points, chosen on development audio.
        positives: scored clips with the phrase, clean.
        noisy_positives, snr_db: the same clips in noise; none when not measured.
        near_misses: scored clips that only sound like the phrase.
        streams: scored recordings without the phrase.
        traits: what the positives are grouped by beside engine and kind: trait -> clip -> value.
        word_ends: where the phrase ends in them, by clip; a clip may be missing.
        floor: events below this score were not kept.
    """

    name: str
    file: str
    size_bytes: int
    parameters: int
    step_s: float
    threshold: float
    fa_per_hour: float
    presets: Sequence[CardPreset] = ()
    positives: Sequence[ScoredClip]
    noisy_positives: Sequence[ScoredClip] = ()
    snr_db: float | None = None
    near_misses: Sequence[ScoredClip] = ()
    streams: Sequence[ScoredStream]
    traits: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    word_ends: Mapping[str, WordEnd] = field(default_factory=dict)
    floor: float


def model_entry(model: MeasuredModel, *, seed: int) -> dict[str, Any]:
    """Everything about one model as JSON-ready data; `seed` is that of the bootstrap."""
    curve = det_curve(model.positives, model.streams, floor=model.floor) if total_hours(model.streams) else None
    noisy = (
        det_curve(model.noisy_positives, model.streams, floor=model.floor) if curve and model.noisy_positives else None
    )
    return {
        "name": model.name,
        "file": model.file,
        "size_bytes": model.size_bytes,
        "parameters": model.parameters,
        "step_s": model.step_s,
        "threshold": model.threshold,
        "fa_per_hour_budget": model.fa_per_hour,
        "hours_needed": hours_needed(model.fa_per_hour),
        "realised": _realised(model.positives, model, curve, seed=seed),
        "realised_noisy": _realised(model.noisy_positives, model, noisy, seed=seed) if model.noisy_positives else None,
        "snr_db": model.snr_db,
        "presets": [preset_row(preset, model.positives, model.noisy_positives, curve) for preset in model.presets],
        "matched": _matched(curve, noisy),
        "selection_figure": selection_figure(curve) if curve and model.positives else None,
        "latency": latency_of_clips(model.positives, model.word_ends, threshold=model.threshold),
        "groups": _groups(model),
        "near_misses": _near_misses(model, seed=seed),
        "loudest_false_alarms": _loudest(model),
        "missed_clips": _missed(model),
        "det": thinned(curve) if curve and model.positives else None,
        "det_noisy": thinned(noisy) if noisy else None,
        "histogram": _histogram(model),
        "synthetic_negatives": bool(model.streams) and all(stream.synthetic for stream in model.streams),
    }


def _realised(
    clips: Sequence[ScoredClip], model: MeasuredModel, curve: DetCurve | None, *, seed: int
) -> dict[str, Any]:
    figures = miss_figures(clips, threshold=model.threshold, rng=np.random.default_rng(seed))
    figures |= {
        "hours": total_hours(model.streams),
        "false_alarms": None,
        "fa_per_hour": None,
        "fa_per_hour_ci": None,
        "fa_per_hour_bootstrap_ci": None,
        "live_alarms": None,
    }
    if curve is not None:
        figures |= alarm_figures(model.streams, curve, threshold=model.threshold, rng=np.random.default_rng(seed))
        figures["live_alarms"] = sum(stream.live_alarms for stream in model.streams)
    return figures


def _matched(curve: DetCurve | None, noisy: DetCurve | None) -> list[dict[str, Any]]:
    if curve is None:
        return []
    return [
        row | {"miss_rate_noisy": noisy.miss_rate_at(point.threshold) if noisy else None}
        for row, (_, point) in zip(operating_rows(curve), curve.operating_points(), strict=True)
    ]


def _groups(model: MeasuredModel) -> dict[str, Any]:
    at = {"threshold": model.threshold}
    return {
        "engine": miss_groups(model.positives, lambda clip: clip.engine, **at),
        "kind": miss_groups(model.positives, lambda clip: clip.kind, **at),
        "engine_noisy": miss_groups(model.noisy_positives, lambda clip: clip.engine, **at),
        "recording": alarm_groups(model.streams, lambda stream: stream.name, **at),
        "recording_kind": alarm_groups(model.streams, lambda stream: stream.kind, **at),
        "traits": trait_groups(model.positives, model.traits, **at),
    }


def _near_misses(model: MeasuredModel, *, seed: int) -> dict[str, Any] | None:
    figures = near_miss_figures(model.near_misses, threshold=model.threshold, rng=np.random.default_rng(seed))
    if figures is None:
        return None
    fired = [clip for clip in model.near_misses if clip.score >= model.threshold]
    loudest = sorted(fired, key=lambda clip: -clip.score)[:LISTED]
    return figures | {
        "loudest": [clip.row() | {"sound": f"{model.name}-near-{number}"} for number, clip in enumerate(loudest)],
    }


def _loudest(model: MeasuredModel) -> list[dict[str, Any]]:
    events = [
        (float(score), float(time_s), stream)
        for stream in model.streams
        for score, time_s in zip(stream.events.scores, stream.events.times_s, strict=True)
    ]
    rows = []
    for number, (score, time_s, stream) in enumerate(sorted(events, key=lambda event: -event[0])[:LISTED]):
        file, within_s = stream.locate(time_s)
        rows.append(
            {
                "recording": stream.name,
                "kind": stream.kind,
                "file": file,
                "time_s": within_s,
                "stream_time_s": time_s,
                "score": score,
                "fires": score >= model.threshold,
                "sound": f"{model.name}-alarm-{number}",
            }
        )
    return rows


def _missed(model: MeasuredModel) -> list[dict[str, Any]]:
    """The worst of every speaker first, then the second worst: a list of one voice's clips says little."""
    seen: Counter[str] = Counter()
    turns: list[tuple[int, float, ScoredClip]] = []
    for clip in sorted((clip for clip in model.positives if clip.score < model.threshold), key=lambda clip: clip.score):
        turns.append((seen[clip.speaker] if clip.speaker else 0, clip.score, clip))
        seen[clip.speaker] += 1
    missed = [clip for *_, clip in sorted(turns, key=lambda turn: turn[:2])]
    return [clip.row() | {"sound": f"{model.name}-missed-{number}"} for number, clip in enumerate(missed[:LISTED])]


def thinned(curve: DetCurve) -> dict[str, list[float]]:
    """The curve with one point per false-alarm rate (the least missed there), thinned out evenly on a log scale."""
    thresholds, alarms, missed = curve.points()
    last = np.flatnonzero(np.append(np.diff(alarms) > 0, True))
    if len(last) > _CURVE_POINTS:
        wanted = np.unique(np.geomspace(1, len(last), _CURVE_POINTS).astype(int) - 1)
        last = last[wanted]
    return {
        "threshold": thresholds[last].tolist(),
        "fa_per_hour": alarms[last].tolist(),
        "miss_rate": missed[last].tolist(),
    }


def _histogram(model: MeasuredModel) -> dict[str, Any]:
    """Counts over the log odds of the score: probabilities near 0 and 1 would all fall into two bars."""
    groups: dict[str, list[float]] = {
        "positives": [clip.score for clip in model.positives],
        "near_misses": [clip.score for clip in model.near_misses],
        "events": [float(score) for stream in model.streams for score in stream.events.scores],
    }
    return {"edges": _BINS.tolist()} | {
        name: np.histogram(np.clip(log_odds(np.asarray(scores, np.float64)), _BINS[0], _BINS[-1]), _BINS)[0].tolist()
        for name, scores in groups.items()
    }
