"""Makes the golden vectors beside this file, which a port of the detector can check itself against (docs/porting.md).

    python tests/golden/make.py

Two small students that nobody trained (seeded, with logits that swing), six seconds of generated sound, and what
`wakelark.Detector` makes of it: plain, at another preset, behind the voice gate, with the second model as its judge.
The same torch and numpy give the same files; others may give other weights, so all files are made together.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from wakelark.audio import read_audio, write_wav
from wakelark.config import StudentConfig
from wakelark.export.onnx import export_student, student_facts
from wakelark.export.parity import probe_audio
from wakelark.model_card import CardJudged, CardPreset, ModelCard, model_digest
from wakelark.models.build import build_student
from wakelark.models.student import Student
from wakelark.runtime.backend import read_model
from wakelark.runtime.detector import Detector
from wakelark.runtime.judge import Judge

FOLDER = Path(__file__).parent
SECONDS = 6
GAIN, SHIFT = 60.0, -4.0  # with them the scores go from near 0 to near 1
CASES: tuple[dict[str, Any], ...] = (
    {"name": "plain", "preset": None, "judge": None, "card": {}},
    {"name": "the preset sensitive", "preset": "sensitive", "judge": None, "card": {}},
    {"name": "the voice gate", "preset": None, "judge": None, "card": {"gate_db": 24.0, "gate_hold_s": 0.12}},
    {"name": "with a judge", "preset": None, "judge": "judge.onnx", "card": {}},
)
"""`card`: fields of the card to be replaced, which changes how is decided and not what the network says."""


def main() -> None:
    """Write everything."""
    write_wav(FOLDER / "audio.wav", probe_audio(np.random.default_rng(5), seconds=SECONDS))
    audio = read_audio(FOLDER / "audio.wav", max_seconds=None)
    judge = write_model("judge.onnx", seed=2, thresholds=(0.8, 0.6, 0.4))
    write_model("model.onnx", seed=1, thresholds=(0.5, 0.4, 0.3), judged=judged(judge))
    cases = [case | heard(case, audio) for case in CASES]
    text = json.dumps({"audio": "audio.wav", "model": "model.onnx", "cases": cases}, indent=1)
    (FOLDER / "expected.json").write_text(text + "\n", encoding="utf-8")


def detector_of(case: dict[str, Any]) -> Detector:
    """The detector of a case."""
    backend = read_model(FOLDER / "model.onnx")
    backend.card = dataclasses.replace(backend.card, **case["card"])
    if case["judge"] is None:
        return Detector.of(backend, preset=case["preset"])
    second = Judge(read_model(FOLDER / case["judge"]), card=backend.card, threshold=None, preset=case["preset"])
    return Detector(backend, judge=second)


def heard(case: dict[str, Any], audio: np.ndarray) -> dict[str, Any]:
    """What a case's detector makes of audio: raw scores, scores that decide, detections."""
    detector = detector_of(case)
    return {
        "fires_at": detector.fires_at,
        "scores": [round(score, 9) for score in detector_of(case).score(audio)],
        "decisive": [round(score, 9) for score in detector_of(case).follow(audio)],
        "detections": [{"time_s": hit.time_s, "score": round(hit.score, 9)} for hit in detector.process(audio)],
    }


def write_model(
    name: str, *, seed: int, thresholds: tuple[float, float, float], judged: CardJudged | None = None
) -> Path:
    """A small student with batch-norm statistics of its own and logits that swing."""
    torch.manual_seed(seed)
    shape = StudentConfig(trunk="none", channels=12, kernels=(3, 5), head_rank=4, head_templates=6, head_taps=4)
    student = build_student(shape)
    assert isinstance(student, Student)
    for _ in range(20):
        student(torch.randn(8, 40, 198) * 1.5)
    with torch.no_grad():
        student.head.out.weight *= GAIN
    presets = presets_of(thresholds)
    found = student_facts(student)
    facts = {field.name: getattr(found, field.name) for field in dataclasses.fields(found)}
    card = ModelCard(
        **facts, wakelark_version="golden", phrase="golden sound", language="en-us", threshold=presets[1].threshold,
        smoothing_steps=3, refractory_s=0.3, gate_db=0.0, gate_hold_s=1.5, fa_per_hour=0.5, created="2026-11-24",
        presets=presets, judged=judged, logit_shift=SHIFT,
    )  # fmt: skip
    export_student(student, card, FOLDER / name)
    return FOLDER / name


def presets_of(thresholds: tuple[float, float, float]) -> tuple[CardPreset, ...]:
    """Presets with these thresholds."""
    named = zip(("strict", "normal", "sensitive"), thresholds, (0.1, 0.5, 2.0), strict=True)
    return tuple(
        CardPreset(
            name=name, threshold=threshold, fa_per_hour=budget, miss_rate=0.0, false_alarms=0, supported=False,
            hours_needed=30.0,
        )
        for name, threshold, budget in named
    )  # fmt: skip


def judged(judge: Path) -> CardJudged:
    """An operating point with this judge."""
    return CardJudged(
        judge=model_digest(judge.read_bytes()), wake_threshold=0.3, wakes_per_hour=1.0, lookback_s=0.4, patience_s=0.2,
        judge_weight=0.6, logit_shift=0.2, presets=presets_of((0.8, 0.5, 0.3)),
    )  # fmt: skip


if __name__ == "__main__":
    main()
