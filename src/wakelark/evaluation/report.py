"""`report.json`: everything measured about a run, as plain data. Its keys are documented in docs/evaluation.md.

Two figures are kept apart throughout. *Realised*: at the threshold that was chosen on development audio, what the
model does on test audio. *Matched*: the threshold chosen on the test audio itself, for comparing models.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from wakelark.corpus.clip import Clip
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
)
from wakelark.evaluation.intervals import hours_needed
from wakelark.evaluation.near_misses import near_miss_counts
from wakelark.evaluation.operating_point import DetCurve, operating_rows, selection_figure
from wakelark.evaluation.preset_figures import preset_row
from wakelark.evaluation.provenance import corpus_counts, provenance
from wakelark.evaluation.verdict import verdict
from wakelark.model_card import CardPreset

REPORT_VERSION = 1
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
    floor: float


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedModel:
    """The tiny model with the accurate one as its judge, as one detector.

    Attributes:
        measured: its scores on test audio; the threshold is that of the verdict.
        wake_threshold: score of the tiny model that wakes the judge.
        cost: CPU seconds per hour.
    """

    measured: MeasuredModel
    wake_threshold: float
    cost: dict[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFacts:
    """What the run knows about itself beside the scores.

    Attributes:
        phrase, preset, created, wakelark_version: as in the model card.
        stages: stage -> {"wall_s", "cpu_s", "peak_mb"}.
        distillation: {"enabled", "alpha", "temperature", "share", "why", "quality"}; `share` is that of distilled
            examples, `quality` teacher and student on development audio or None.
        clips: the manifest: counted, and its sources and licences listed.
        hours: role -> kind -> hours of recordings.
        pretrained: {"name", "licence", "note"} of ready-made weights.
        health: what is wrong with the data, see docs/data_health.md.
        warnings: what the user should know.
        facts: further plain data: pronunciations, mining, risks.
    """

    phrase: str
    preset: str
    created: str
    wakelark_version: str
    stages: dict[str, dict[str, float]]
    distillation: dict[str, Any]
    clips: Sequence[Clip]
    hours: dict[str, dict[str, float]]
    pretrained: Sequence[dict[str, str]] = ()
    health: dict[str, Any] = field(default_factory=dict)
    warnings: Sequence[str] = ()
    facts: dict[str, Any] = field(default_factory=dict)


def build_report(
    run: RunFacts, models: Sequence[MeasuredModel], *, seed: int, judged: JudgedModel | None = None
) -> dict[str, Any]:
    """The whole report as JSON-ready data.

    Args:
        run: what the run knows about itself.
        models: the accurate one first.
        seed: of the bootstrap.
        judged: both models as one detector.
    """
    measured = [_model(model, seed=seed) for model in models]
    cascade = None if judged is None else _judged(judged, seed=seed)
    return {
        "format_version": REPORT_VERSION,
        "phrase": run.phrase,
        "preset": run.preset,
        "created": run.created,
        "wakelark_version": run.wakelark_version,
        "verdict": verdict(run.phrase, measured, cascade),
        "models": measured,
        "judged": cascade,
        "hours": run.hours,
        "stages": run.stages,
        "distillation": run.distillation,
        "corpus": corpus_counts(run.clips),
        "provenance": provenance(run.clips),
        "pretrained": list(run.pretrained),
        "health": run.health,
        "warnings": list(run.warnings),
        "facts": run.facts,
    }


def _model(model: MeasuredModel, *, seed: int) -> dict[str, Any]:
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
        "groups": _groups(model),
        "near_misses": _near_misses(model),
        "loudest_false_alarms": _loudest(model),
        "missed_clips": _missed(model),
        "det": thinned(curve) if curve and model.positives else None,
        "det_noisy": thinned(noisy) if noisy else None,
        "histogram": _histogram(model),
        "synthetic_negatives": bool(model.streams) and all(stream.synthetic for stream in model.streams),
    }


def _judged(judged: JudgedModel, *, seed: int) -> dict[str, Any]:
    """As an entry of `models`, and how often the judge was woken in the recordings, and what that costs."""
    streams = judged.measured.streams
    hours = total_hours(streams)
    return _model(judged.measured, seed=seed) | {
        "wake_threshold": judged.wake_threshold,
        "wakes_per_hour": sum(stream.judge_wakes for stream in streams) / hours if hours else None,
        "heard_share": sum(stream.judge_heard_s for stream in streams) / 3600 / hours if hours else None,
        "cost": judged.cost,
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
    }


def _near_misses(model: MeasuredModel) -> dict[str, Any] | None:
    if not model.near_misses:
        return None
    fired = [clip for clip in model.near_misses if clip.score >= model.threshold]
    loudest = sorted(fired, key=lambda clip: -clip.score)[:LISTED]
    return near_miss_counts(model.near_misses, threshold=model.threshold) | {
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
    missed = sorted((clip for clip in model.positives if clip.score < model.threshold), key=lambda clip: clip.score)
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
