"""The second stage: live, it says what two models say that listen all the time, and it listens next to never."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from hypothesis import given, settings
from hypothesis import strategies as st

from wakelark.audio import SAMPLE_RATE, Float32Array, to_int16
from wakelark.errors import ConfigError
from wakelark.evaluation.cascade import CascadeRule, running_peak, wakings
from wakelark.evaluation.events import live_alarms, smooth
from wakelark.export.onnx import accurate_facts, export_accurate, export_student, student_facts
from wakelark.model_card import ModelCard, model_digest
from wakelark.runtime.backend import Backend, read_model
from wakelark.runtime.detector import Detection, Detector
from wakelark.runtime.judge import Judge

from .judged_pair import JUDGE_STEP, judge_bytes, judged, rule_of, write_pair
from .swinging import swinging_heads, swinging_student
from .test_export import card_of
from .tiny_model import STEP, tiny_bytes, tiny_card


def speech_like(seconds: float, seed: int) -> Float32Array:
    """Noise whose level jumps between faint and loud several times a second."""
    rng = np.random.default_rng(seed)
    level = np.repeat(10 ** rng.uniform(-3, -0.2, round(seconds * 8)), SAMPLE_RATE // 8)
    return (rng.standard_normal(len(level)) * level).clip(-1, 1).astype(np.float32)


def offline(audio: Float32Array, tiny: Backend, judge: Backend) -> tuple[np.ndarray, np.ndarray]:
    """Verdicts, and where the judge is awake, of two models that both hear everything."""
    assert tiny.card.judged is not None
    waking, heard = (smooth(Detector(backend).score(audio), backend.card.smoothing_steps) for backend in (tiny, judge))
    rule = rule_of(tiny.card.judged, tiny.card, judge.card)
    known = np.arange(1, len(waking) + 1) * tiny.card.step_samples // judge.card.step_samples
    return rule.verdicts(waking, heard, known), rule.awake(waking)


def pair(*, wake_threshold: float = 0.1, judge_weight: float = 0.5) -> tuple[Backend, Backend]:
    data = judge_bytes()
    point = judged(data, wake_threshold=wake_threshold, judge_weight=judge_weight)
    return Backend(tiny_bytes(tiny_card(judged=point)), name="tiny"), Backend(data, name="judge")


def detector_of(tiny: Backend, judge: Backend) -> Detector:
    return Detector(tiny, judge=Judge(judge, card=tiny.card, threshold=None, preset=None))


@settings(deadline=None, max_examples=20)
@given(
    seed=st.integers(0, 10_000),
    sizes=st.lists(st.integers(1, 9000) | st.integers(1, 3), min_size=1, max_size=30),
    wake_threshold=st.sampled_from([0.01, 0.1, 0.4, 0.9]),
    judge_weight=st.sampled_from([0.0, 0.5, 1.0]),
)
def test_live_in_any_chunks_is_what_two_that_always_listen_say(
    seed: int, sizes: list[int], wake_threshold: float, judge_weight: float
) -> None:
    audio = speech_like(6.0, seed)
    tiny, judge = pair(wake_threshold=wake_threshold, judge_weight=judge_weight)
    expected, awake = offline(audio, tiny, judge)
    detector = detector_of(tiny, judge)
    assert detector.judge is not None
    decisive: list[float] = []
    for chunk in np.split(audio, np.minimum(np.cumsum(sizes), len(audio))):
        decisive += detector.follow(chunk)
    np.testing.assert_allclose(decisive, expected, atol=1e-5)
    assert detector.judge.wakes == wakings(awake)
    detector.reset()
    assert (detector.judge.wakes, detector.judge.heard_s) == (0, 0.0)
    steps = live_alarms(expected, threshold=detector.fires_at, step_s=STEP / SAMPLE_RATE, refractory_s=1.5)
    assert [hit.time_s for hit in detector.process(audio)] == pytest.approx((steps + 1) * STEP / SAMPLE_RATE)


def test_a_judge_that_nothing_wakes_hears_nothing() -> None:
    detector = detector_of(*pair())
    assert detector.process(np.zeros(30 * SAMPLE_RATE, np.float32)) == []
    assert detector.judge is not None
    assert (detector.judge.wakes, detector.judge.heard_s, detector.last_score) == (0, 0.0, 0.0)


def test_one_waking_costs_about_two_seconds_of_the_judge() -> None:
    audio = np.zeros(20 * SAMPLE_RATE, np.float32)
    audio[10 * SAMPLE_RATE : 10 * SAMPLE_RATE + SAMPLE_RATE // 4] = 0.5
    detector = detector_of(*pair())
    (hit,) = detector.process(audio)
    assert 10.0 < hit.time_s < 10.4
    assert hit.score >= 0.4
    judge = detector.judge
    assert judge is not None
    assert judge.wakes == 1
    warm_up_s, lookback_s, awake_s = 4 * 0.08, 0.4 + 0.08, 0.25 + 0.2 + 0.2
    assert judge.heard_s <= warm_up_s + lookback_s + awake_s


def test_both_have_to_agree() -> None:
    """A judge that is deaf lets nothing pass; the tiny model alone would have fired."""
    data = judge_bytes(gain=1e-6)
    tiny = Backend(tiny_bytes(tiny_card(judged=judged(data))), name="tiny")
    audio = np.zeros(4 * SAMPLE_RATE, np.float32)
    audio[2 * SAMPLE_RATE :] = 0.28  # 10 * 0.28**2 = 0.78
    assert len(Detector(tiny).process(audio)) == 1
    assert detector_of(tiny, Backend(data, name="judge")).process(audio) == []


def test_the_verdict_is_the_mean_of_log_odds_by_hand() -> None:
    """Peaks 0.8 (log-odds ln 4) and 0.5 (0): half each is ln 2, which is 2 / 3."""
    rule = CascadeRule(wake_threshold=0.5, patience_steps=1, lookback_steps=2, judge_weight=0.5, logit_shift=0.0)
    waking = np.array([0.1, 0.8, 0.1, 0.1, 0.1])
    judge, known = np.array([0.5, 0.2, 0.1]), np.array([0, 1, 1, 2, 3])
    np.testing.assert_allclose(rule.verdicts(waking, judge, known), [0.0, 2 / 3, 2 / 3, 0.0, 0.0])
    assert rule.awake(waking).tolist() == [False, True, True, False, False]
    shifted = dataclasses.replace(rule, logit_shift=float(np.log(0.5)))
    np.testing.assert_allclose(shifted.verdicts(waking, judge, known), [0.0, 0.5, 0.5, 0.0, 0.0])
    alone = dataclasses.replace(rule, judge_weight=1.0)
    np.testing.assert_allclose(alone.verdicts(waking, judge, known), [0.0, 0.5, 0.5, 0.0, 0.0])
    np.testing.assert_allclose(
        alone.verdicts(waking, np.zeros(0), known), [0.0, np.exp(-10), np.exp(-10), 0.0, 0.0], rtol=1e-3
    )


@given(st.lists(st.floats(0, 1), min_size=1, max_size=40), st.integers(1, 50))
def test_a_running_peak_is_the_largest_of_late(values: list[float], steps: int) -> None:
    expected = [max(values[max(0, index - steps + 1) : index + 1]) for index in range(len(values))]
    assert running_peak(np.array(values), steps).tolist() == expected


def test_a_pair_from_files_is_at_its_presets(tmp_path: Path) -> None:
    tiny, judge = write_pair(tmp_path)
    pairs = {None: 0.4, "strict": 0.6, "normal": 0.4, "sensitive": 0.2}
    for preset, threshold in pairs.items():
        detector = Detector.load(tiny, preset=preset, judge=judge)
        assert detector.judge is not None
        assert (detector.threshold, detector.fires_at, detector.judge.is_known) == (0.1, threshold, True)
    chosen = Detector.load(tiny, 0.3, judge=judge, judge_threshold=0.9)
    assert (chosen.threshold, chosen.fires_at) == (0.3, 0.9)


def test_an_unknown_judge_decides_alone_at_its_own_threshold(tmp_path: Path) -> None:
    tiny, judge = write_pair(tmp_path)
    judge.write_bytes(judge_bytes(gain=6.0))  # trained anew
    for preset, threshold in {None: 0.5, "strict": 0.7, "sensitive": 0.3}.items():
        detector = Detector.load(tiny, preset=preset, judge=judge)
        assert detector.judge is not None
        assert (detector.threshold, detector.fires_at, detector.judge.is_known) == (0.1, threshold, False)
    backends = read_model(tiny), read_model(judge)
    point = backends[0].card.judged
    assert point is not None
    alone = Backend(
        tiny_bytes(tiny_card(judged=dataclasses.replace(point, judge_weight=1.0, logit_shift=0.0))),
        name="the rule without the tiny one",
    )
    audio = speech_like(6.0, 3)
    np.testing.assert_allclose(
        Detector.load(tiny, judge=judge).follow(audio), offline(audio, alone, backends[1])[0], atol=1e-5
    )


def test_what_cannot_be_a_pair_is_said(tmp_path: Path) -> None:
    tiny, judge = write_pair(tmp_path)
    other = tmp_path / "other.onnx"
    other.write_bytes(tiny_bytes(tiny_card(phrase="quiet")))
    with pytest.raises(ConfigError, match='listens for "quiet", the model for "loud noise"'):
        Detector.load(tiny, judge=other)
    with pytest.raises(ConfigError, match="not made to be judged"):
        Detector.load(judge, judge=judge)
    with pytest.raises(ConfigError, match="needs a judge"):
        Detector.load(tiny, judge_threshold=0.5)
    with pytest.raises(ConfigError, match="not both"):
        Detector.load(tiny, 0.5, preset="strict")
    with pytest.raises(ConfigError, match="not both"):
        Detector.load(tiny, preset="strict", judge=judge, judge_threshold=0.5)
    with pytest.raises(ConfigError, match="judge_threshold 1.5"):
        Detector.load(tiny, judge=judge, judge_threshold=1.5)
    with pytest.raises(ConfigError, match="there are strict, normal, sensitive"):
        Detector.load(tiny, judge=judge, preset="eager")


def real_talk(folder: Path) -> Float32Array:
    """Some real people one after the other, two minutes or so."""
    clips = [sf.read(path, dtype="float32")[0] for path in sorted(folder.glob("*/*.flac"))[::25]]
    return np.concatenate(clips).astype(np.float32)


def test_live_is_offline_on_real_people_with_both_real_networks(real_recordings: Path, tmp_path: Path) -> None:
    """Networks that nobody trained, but the real front ends, steps of 40 and 80 ms, and 1.4 s of warm-up."""
    heads = swinging_heads(gain=5, temperatures=[1.0, 2.0], biases=[0.5, -1.0])
    judge = export_accurate(heads, card_of(accurate_facts(heads)), tmp_path / "model.onnx")
    student = swinging_student(gain=5)
    point = dataclasses.replace(judged(b""), judge=model_digest(judge.path.read_bytes()), patience_s=0.4)
    card: ModelCard = card_of(student_facts(student), judged=point, smoothing_steps=3)
    tiny = export_student(student, card, tmp_path / "model_tiny.onnx")
    backends = read_model(tiny.path), read_model(judge.path)
    audio = to_int16(real_talk(real_recordings))

    waking = smooth(Detector(backends[0]).score(audio), 3)
    rare = float(np.quantile(waking, 0.97))  # a threshold that these networks reach now and then
    detector = Detector.load(tiny.path, rare, judge=judge.path)
    rule = dataclasses.replace(rule_of(point, card, backends[1].card), wake_threshold=rare)
    heard = smooth(Detector(backends[1]).score(audio), 2)
    known = np.arange(1, len(waking) + 1) * card.step_samples // backends[1].card.step_samples
    expected = rule.verdicts(waking, heard, known)

    assert detector.judge is not None
    decisive = np.array(detector.follow(audio))
    # A smoothed score within rounding of the threshold may wake one and not the other.
    clear = running_peak((np.abs(waking - rare) < 1e-6).astype(np.float64), rule.patience_steps + 1) == 0
    np.testing.assert_allclose(decisive[clear], expected[clear], atol=1e-4)
    assert clear.mean() > 0.99
    assert abs(detector.judge.wakes - wakings(rule.awake(waking))) <= np.sum(~clear)
    assert detector.judge.wakes > 3
    assert detector.judge.heard_s < 0.7 * len(audio) / SAMPLE_RATE

    detector.reset()
    live: list[Detection] = []
    for chunk in np.array_split(audio, 301):
        live += detector.process(chunk)
    alarms = live_alarms(decisive, threshold=detector.fires_at, step_s=0.04, refractory_s=1.5)
    assert [hit.time_s for hit in live] == pytest.approx((alarms + 1) * 0.04)
    assert len(live) > 0


def test_steps_of_the_pair_differ() -> None:
    """Else these tests would say nothing of the alignment."""
    assert JUDGE_STEP == 2 * STEP
