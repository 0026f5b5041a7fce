"""What evaluate, benchmark and the report count is what `Detector` does: shifted, gated, judged, by its presets."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from wakelark.audio import SAMPLE_RATE, Float32Array, read_audio, write_wav
from wakelark.errors import ConfigError
from wakelark.evaluation.events import live_alarms, smooth
from wakelark.export.onnx import export_student, student_facts
from wakelark.peers.listener import Listener
from wakelark.peers.load import load_scorer
from wakelark.peers.own import WakelarkScorer, judge_of
from wakelark.pipeline import benchmark as benchmark_module
from wakelark.pipeline.benchmark import BenchmarkRequest
from wakelark.pipeline.breakdown import conditions
from wakelark.pipeline.evaluate import EvaluationRequest, evaluate
from wakelark.pipeline.scoring import score_streams
from wakelark.pipeline.sources import StreamSource
from wakelark.runtime.detector import Detector
from wakelark.runtime.running_mean import RunningMean

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
        floor=1e-5, workers=1, progress=silent,
    )  # fmt: skip
    assert not refused
    assert stream.live_alarms == len(detections)
    assert stream.events.scores.max() == pytest.approx(max(heard), abs=1e-3)  # the file has 16 bits


def test_what_lies_in_the_card_reaches_the_harness(tmp_path: Path) -> None:
    scorer = load_scorer(write_shifted(tmp_path / "model.onnx"))
    audio = speech_like(10.0, seed=2)
    decisive = np.array(scorer.follow(audio))
    scorer.reset()
    raw = np.array(scorer.score(audio))
    assert scorer.facts.threshold == 0.5
    assert (decisive <= smooth(raw, scorer.facts.smoothing_steps) + 1e-12).all()  # what the gate shuts out is 0
    rule = {"step_s": scorer.facts.step_s, "refractory_s": scorer.facts.event_gap_s}
    assert isinstance(scorer, WakelarkScorer)
    scorer.reset()
    assert len(scorer.detector.process(audio)) == len(live_alarms(decisive, threshold=scorer.facts.threshold, **rule))


def test_a_running_mean_in_pieces_has_the_bits_of_smooth() -> None:
    scores = np.random.default_rng(0).random(500)
    running = RunningMean(7)
    means = [mean for piece in np.array_split(scores, 31) for mean in running.follow(piece.tolist())]
    assert means == smooth(scores, 7).tolist()
    running.reset()
    assert running.follow([0.5]) == [0.5]


def test_published_models_have_neither_presets_nor_judges(tmp_path: Path) -> None:
    model, judge = write_pair(tmp_path)
    foreign = tmp_path / "other.json"
    foreign.write_text("{}")
    with pytest.raises(ConfigError, match="no wakelark model"):
        load_scorer(foreign, preset="strict")
    with pytest.raises(ConfigError, match="no wakelark model"):
        load_scorer(foreign, judge=judge)
    with pytest.raises(ConfigError, match="no wakelark model"):
        load_scorer(foreign, judge_threshold=0.5)
    assert judge_of(load_scorer(model)) is None
    with pytest.raises(ConfigError, match="needs a judge"):
        load_scorer(model, judge_threshold=0.5)
    assert load_scorer(model, judge=judge).facts.size_bytes == model.stat().st_size + judge.stat().st_size


def silent(done: int, total: int, what: str) -> None:
    """No progress."""


def burst(seconds: float, at_s: float, level: float, seed: int) -> Float32Array:
    """Faint hiss with 0.3 s of something loud."""
    audio = np.random.default_rng(seed).standard_normal(round(seconds * SAMPLE_RATE)).astype(np.float32) / 1000
    audio[round(at_s * SAMPLE_RATE) : round((at_s + 0.3) * SAMPLE_RATE)] += level
    return audio.astype(np.float32)


@pytest.fixture
def material(tmp_path: Path) -> dict[str, Path]:
    """Clips of two speakers, near misses, a recording; what the pair makes of them depends on the level."""
    folders = {name: tmp_path / name for name in ("positives", "near", "negatives")}
    for number, level in enumerate((0.5, 0.35, 0.2, 0.1)):
        speaker = folders["positives"] / ("ann" if number % 2 else "bob")
        speaker.mkdir(parents=True, exist_ok=True)
        write_wav(speaker / f"{number}.wav", burst(1.0, 0.4, level, number))
    folders["near"].mkdir()
    for number, level in enumerate((0.3, 0.05)):
        write_wav(folders["near"] / f"{number}.wav", burst(1.0, 0.4, level, number))
    (folders["negatives"] / "music").mkdir(parents=True)
    write_wav(folders["negatives"] / "music" / "radio.wav", burst(40.0, 20.0, 0.3, 9))
    (folders["positives"] / "speakers.csv").write_text("file,speaker,sex\nann,ann,female\nbob,bob,male\n")
    return folders


def request_for(material: dict[str, Path], listener: Listener) -> EvaluationRequest:
    return EvaluationRequest(
        model=listener.model, judge=listener.judge, preset=listener.preset, positives=material["positives"],
        near_misses=material["near"], negatives=material["negatives"], conditions=conditions([20.0], [1.0, 3.0]),
        noise=material["negatives"],
    )  # fmt: skip


def test_a_judge_hears_all_conditions_groups_and_near_misses(tmp_path: Path, material: dict[str, Path]) -> None:
    model, judge = write_pair(tmp_path)
    alone = evaluate(request_for(material, Listener(model=model)), progress=silent)
    both = evaluate(request_for(material, Listener(model=model, judge=judge)), progress=silent)
    assert (both["threshold"], both["judge"]["wake_threshold"], both["judge"]["is_known"]) == (0.4, 0.1, True)
    assert [(row["distance_m"], row["snr_db"]) for row in both["conditions"]] == [(1.0, 20.0), (3.0, 20.0)]
    assert both["conditions"][0]["missed"] == both["missed"]
    assert [file["score"] for file in both["files"]] != [file["score"] for file in alone["files"]]
    for result in (alone, both):
        groups = result["groups"]["traits"]["sex"]
        assert [row["name"] for row in groups] == ["female", "male"]
        assert sum(row["missed"] for row in groups) == result["missed"]
        assert [row["name"] for row in result["groups"]["kinds"]] == ["music"]
        heard = result["positives"] - result["missed"]
        assert result["latency"]["clips"] == heard > 0

    near = [
        max(Detector.load(model, judge=judge).follow(np.concatenate([burst(1.0, 0.4, level, n), np.zeros(16_000)])))
        for n, level in enumerate((0.3, 0.05))
    ]
    assert both["near_misses"]["fired"] == sum(score >= 0.4 for score in near)


@pytest.mark.parametrize("kind", ["shifted", "judged"])
def test_evaluate_benchmark_and_detector_agree(
    tmp_path: Path, material: dict[str, Path], kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "models").mkdir()
    if kind == "judged":
        model, judge = write_pair(tmp_path / "models")
    else:
        model, judge = write_shifted(tmp_path / "models" / "model.onnx"), None
    evaluated = evaluate(
        EvaluationRequest(
            model=model, judge=judge, positives=material["positives"], negatives=material["negatives"]
        ),
        progress=silent,
    )  # fmt: skip
    listener = Listener(model=model, judge=judge)
    request = BenchmarkRequest(
        models=(model,) if judge is None else (model, judge), judge=judge, peers=(),
        positives=material["positives"], negatives=material["negatives"],
    )  # fmt: skip
    for name in ("LIVE_PROCESSES", "LIVE_ROUNDS", "LIVE_S"):
        monkeypatch.setattr(benchmark_module, name, 1)  # what the models cost is not what is tested
    row = benchmark_module.benchmark(request, progress=silent)["models"][-1]
    assert row["threshold"] == evaluated["threshold"] == listener.load().facts.threshold
    for key in ("missed", "miss_rate_ci", "false_alarms", "fa_per_hour", "hours"):
        assert row["realised"][key] == evaluated[key]
    for mine, theirs in zip(row["matched"], evaluated["operating_points"], strict=True):
        assert {key: mine[key] for key in theirs} == theirs
    recording = read_audio(material["negatives"] / "music" / "radio.wav", max_seconds=60)
    assert len(Detector.load(model, judge=judge).process(recording)) <= evaluated["false_alarms"]
