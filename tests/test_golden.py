"""The golden vectors: `wakelark.Detector` gives them, whatever the chunks; so must every port (docs/porting.md)."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from wakelark.audio import read_audio
from wakelark.model_card import ModelCard
from wakelark.runtime.backend import read_model
from wakelark.runtime.detector import Detector
from wakelark.runtime.judge import Judge

GOLDEN = Path(__file__).parent / "golden"
EXPECTED: dict[str, Any] = json.loads((GOLDEN / "expected.json").read_text(encoding="utf-8"))
CASES: list[dict[str, Any]] = EXPECTED["cases"]
TOLERANCE = 1e-6


def detector_of(case: dict[str, Any]) -> Detector:
    backend = read_model(GOLDEN / EXPECTED["model"])
    backend.card = dataclasses.replace(backend.card, **case["card"])
    if case["judge"] is None:
        return Detector.of(backend, preset=case["preset"])
    second = Judge(read_model(GOLDEN / case["judge"]), card=backend.card, threshold=None, preset=case["preset"])
    return Detector(backend, judge=second)


@pytest.fixture(scope="module")
def audio() -> np.ndarray:
    return read_audio(GOLDEN / EXPECTED["audio"], max_seconds=None)


def pieces(audio: np.ndarray) -> list[np.ndarray]:
    """Chunks of 0 to 2,000 samples."""
    ends = np.cumsum(np.random.default_rng(3).integers(0, 2000, size=len(audio) // 500))
    return np.split(audio, ends[ends < len(audio)])


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
@pytest.mark.parametrize("whole", [True, False], ids=["at once", "in chunks"])
def test_python_gives_them(case: dict[str, Any], whole: bool, audio: np.ndarray) -> None:
    chunks = [audio] if whole else pieces(audio)
    raw, smooth, detector = detector_of(case), detector_of(case), detector_of(case)
    assert detector.fires_at == pytest.approx(case["fires_at"], abs=1e-9)
    scores = [score for chunk in chunks for score in raw.score(chunk)]
    decisive = [score for chunk in chunks for score in smooth.follow(chunk)]
    hits = [hit for chunk in chunks for hit in detector.process(chunk)]
    assert scores == pytest.approx(case["scores"], abs=TOLERANCE)
    assert decisive == pytest.approx(case["decisive"], abs=TOLERANCE)
    assert [hit.time_s for hit in hits] == pytest.approx([hit["time_s"] for hit in case["detections"]], abs=1e-9)
    assert [hit.score for hit in hits] == pytest.approx([hit["score"] for hit in case["detections"]], abs=TOLERANCE)


def test_they_can_tell_a_wrong_port() -> None:
    """Scores go from near 0 to near 1, every case fires and is quiet, and no two cases are alike."""
    for case in CASES:
        assert min(case["scores"]) < 0.1
        assert max(case["scores"]) > 0.9
        assert case["detections"]
        assert min(case["decisive"]) < case["fires_at"] - 0.2
    assert len({json.dumps([case["decisive"], case["detections"]]) for case in CASES}) == len(CASES)


def test_no_score_is_so_near_a_threshold_that_a_good_port_decides_otherwise() -> None:
    for case in CASES:
        assert min(abs(score - case["fires_at"]) for score in case["decisive"]) > 1e-4


def test_the_cards_beside_the_models_are_those_inside() -> None:
    for name in ("model.onnx", "judge.onnx"):
        beside = ModelCard.from_json((GOLDEN / f"{name}.json").read_text(encoding="utf-8"))
        assert read_model(GOLDEN / name).card == beside
