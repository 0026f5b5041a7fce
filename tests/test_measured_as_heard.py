"""What evaluate, benchmark and the report count is what `Detector` does: shifted, gated, judged, by its presets."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from wakelark.audio import Float32Array, write_wav
from wakelark.errors import ConfigError
from wakelark.evaluation.events import live_alarms, smooth
from wakelark.export.onnx import export_student, student_facts
from wakelark.peers.load import load_scorer
from wakelark.peers.own import WakelarkScorer
from wakelark.pipeline.listener import Listener
from wakelark.pipeline.scoring import score_streams
from wakelark.pipeline.sources import StreamSource
from wakelark.runtime.detector import Detector

from .judged_pair import presets, write_pair
from .swinging import swinging_student
from .test_export import card_of
from .test_judge import speech_like


def write_shifted(path: Path) -> Path:
    """A real exported student whose log-odds are shifted, with presets and a gate."""
    student = swinging_student(gain=5)
    card = dataclasses.replace(
        card_of(student_facts(student)), logit_shift=1.5, gate_db=6.0, gate_hold_s=0.5, threshold=0.5, presets=presets()
    )
    return export_student(student, card, path).path


def follow(listener: Listener, audio: Float32Array) -> tuple[list[float], list[float], float]:
    """What the harness gets, what the detector says that a user loads, and the latter's threshold."""
    detector = Detector.load(
        listener.model, listener.threshold, preset=listener.preset, judge=listener.judge,
        judge_threshold=listener.judge_threshold,
    )  # fmt: skip
    return listener.load().follow(audio), detector.follow(audio), detector.fires_at


@pytest.mark.parametrize("kind", ["shifted", "strict", "threshold", "judged", "judged sensitive"])
def test_the_harness_hears_what_the_detector_hears(tmp_path: Path, kind: str) -> None:
    if kind.startswith("judged"):
        model, judge = write_pair(tmp_path)
        listener = Listener(model=model, judge=judge, preset="sensitive" if "sensitive" in kind else None)
    else:
        model = write_shifted(tmp_path / "model.onnx")
        listener = Listener(
            model=model, preset="strict" if kind == "strict" else None, threshold=0.9 if kind == "threshold" else None
        )
    audio = speech_like(20.0, seed=1)
    heard, expected, fires_at = follow(listener, audio)
    assert heard == expected
    assert max(heard) > 0
    assert listener.load().facts.threshold == fires_at
    detections = Detector.load(model, listener.threshold, preset=listener.preset, judge=listener.judge).process(audio)

    write_wav(tmp_path / "radio.wav", audio)
    (stream,), refused = score_streams(
        listener, [StreamSource(name="radio", path=tmp_path / "radio.wav", kind="own")],
        floor=1e-5, workers=1, progress=lambda *_: None,
    )  # fmt: skip
    assert not refused
    assert stream.live_alarms == len(detections)
    assert stream.events.scores.max() == pytest.approx(max(heard), abs=1e-3)  # the file has 16 bits


def test_what_lies_in_the_card_reaches_the_harness(tmp_path: Path) -> None:
    scorer = load_scorer(write_shifted(tmp_path / "model.onnx"))
    audio = speech_like(10.0, seed=2)
    decisive = np.array(scorer.follow(audio))
    raw = np.array(Detector.load(tmp_path / "model.onnx").score(audio))
    assert scorer.facts.threshold == 0.5
    assert (decisive <= smooth(raw, scorer.facts.smoothing_steps) + 1e-12).all()  # what the gate shuts out is 0
    rule = {"step_s": scorer.facts.step_s, "refractory_s": scorer.facts.event_gap_s}
    assert len(Detector.load(tmp_path / "model.onnx").process(audio)) == len(
        live_alarms(decisive, threshold=scorer.facts.threshold, **rule)
    )


def test_published_models_have_neither_presets_nor_judges(tmp_path: Path) -> None:
    model, judge = write_pair(tmp_path)
    foreign = tmp_path / "other.json"
    foreign.write_text("{}")
    for words in ({"preset": "strict"}, {"judge": judge}, {"judge_threshold": 0.5}):
        with pytest.raises(ConfigError, match="another project's model"):
            load_scorer(foreign, **words)
    scorer = load_scorer(model, judge=judge)
    assert isinstance(scorer, WakelarkScorer)
    assert scorer.judge is not None
    with pytest.raises(ConfigError, match="needs a judge"):
        load_scorer(model, judge_threshold=0.5)
    assert scorer.facts.size_bytes == model.stat().st_size + judge.stat().st_size
