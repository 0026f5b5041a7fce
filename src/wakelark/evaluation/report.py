"""`report.json`: everything measured about a run, as plain data. Its keys are documented in docs/evaluation.md.

Two figures are kept apart throughout. *Realised*: at the threshold that was chosen on development audio, what the
model does on test audio. *Matched*: the threshold chosen on the test audio itself, for comparing models.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from wakelark.corpus.clip import Clip
from wakelark.evaluation.groups import total_hours
from wakelark.evaluation.provenance import corpus_counts, provenance
from wakelark.evaluation.report_entry import MeasuredModel, model_entry
from wakelark.evaluation.verdict import verdict

REPORT_VERSION = 1


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
    measured = [model_entry(model, seed=seed) for model in models]
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


def _judged(judged: JudgedModel, *, seed: int) -> dict[str, Any]:
    """As an entry of `models`, and how often the judge was woken in the recordings, and what that costs."""
    streams = judged.measured.streams
    hours = total_hours(streams)
    return model_entry(judged.measured, seed=seed) | {
        "wake_threshold": judged.wake_threshold,
        "wakes_per_hour": sum(stream.judge_wakes for stream in streams) / hours if hours else None,
        "heard_share": sum(stream.judge_heard_s for stream in streams) / 3600 / hours if hours else None,
        "cost": judged.cost,
    }
