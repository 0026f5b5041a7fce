"""The voice gate over the development set: what a detector would be told, and what thresholds are chosen on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from wakelark.audio import SAMPLE_RATE, Int16Array, to_float
from wakelark.config import EvaluationConfig
from wakelark.pipeline.development import DevelopmentSet, PositiveTrial
from wakelark.pipeline.development_gate import DevelopmentGate
from wakelark.pipeline.judged import fit_judged
from wakelark.pipeline.threshold import fit_operating_point
from wakelark.runtime.voice_gate import VoiceGate

from .tiny_model import tiny_card
from .tiny_network import STEP_S, WrittenNetwork, written

GATE_DB, HOLD_S = 12.0, 0.5
STEP = round(STEP_S * SAMPLE_RATE)
RULE = EvaluationConfig(smoothing_s=STEP_S, refractory_s=1.5, gate_db=GATE_DB, gate_hold_s=HOLD_S)


def sound(*loud: int, seconds: int) -> Int16Array:
    """A hiss, and in some steps a tone 40 dB above it."""
    audio = np.random.default_rng(0).standard_normal(seconds * SAMPLE_RATE) * 10
    for step in loud:
        audio[step * STEP : (step + 1) * STEP] += 1400 * np.sin(np.arange(STEP) * 2 * np.pi * 800 / SAMPLE_RATE)
    return audio.astype(np.int16)


def logits(steps: int, **events: float) -> list[float]:
    found = [-9.0] * steps
    for name, value in events.items():
        found[int(name.removeprefix("at_"))] = value
    return found


def gate(trials: list[Int16Array], negatives: list[Int16Array | Path]) -> DevelopmentGate:
    return DevelopmentGate(gate_db=GATE_DB, hold_s=HOLD_S, trials=trials, negatives=negatives)


def test_it_is_the_gate_of_a_detector_at_the_step_in_which_a_score_ends() -> None:
    audio = sound(5, 6, 30, seconds=30)
    live = VoiceGate(gate_db=GATE_DB, hold_s=HOLD_S, step_samples=STEP)
    opened = [live.is_open(step) for step in to_float(audio).reshape(-1, STEP)]
    assert 0 < sum(opened) < len(opened)
    # The first score ends within the third step of audio, so score n belongs to step n + 2.
    found = gate([audio], []).openings(step_s=STEP_S, first_s=2.3 * STEP_S, trials=[50], negatives=[])
    assert found.trials[0].tolist() == opened[2:52]
    exact = gate([audio], []).openings(step_s=STEP_S, first_s=STEP_S, trials=[60], negatives=[])
    assert exact.trials[0].tolist() == opened


def test_a_recording_is_read_from_the_cache(tmp_path: Path) -> None:
    audio = sound(7, seconds=400)
    np.save(tmp_path / "dev.npy", audio)
    found = gate([], [audio, tmp_path / "dev.npy"]).openings(
        step_s=STEP_S, first_s=STEP_S, trials=[], negatives=[800, 800]
    )
    assert found.negatives[0].tolist() == found.negatives[1].tolist()
    assert 0 < found.negatives[1].sum() < 20


def gated_set(*, is_on: bool) -> DevelopmentSet:
    """The phrase, loud, in ten trials; a false alarm in a hiss, and a fainter one in a tone."""
    steps = round(3600 / STEP_S)
    trial, hour = sound(4, seconds=5), sound(3000, seconds=3600)
    return DevelopmentSet(
        [PositiveTrial(written(logits(10, at_4=3.0)), 0, 9, 0, False)] * 10,
        [written(logits(steps, at_1000=4.0, at_3000=1.0))],
        RULE, gate([trial] * 10, [hour]) if is_on else None,
    )  # fmt: skip


@pytest.mark.parametrize(("is_on", "missed"), [(False, 1.0), (True, 0.0)])
def test_a_threshold_knows_what_the_gate_keeps_out(is_on: bool, missed: float) -> None:
    """No false alarm is allowed in an hour at 0.5: without the gate that at 4 lies above the phrase, at 3."""
    heard = gated_set(is_on=is_on).hear(WrittenNetwork())
    point = fit_operating_point(heard.curve, RULE)
    assert point.curve.matched_miss_rate(0.5) == missed
    assert len(point.curve.events) == (1 if is_on else 2)


def test_the_judge_hears_behind_a_gate_that_is_shut() -> None:
    heard = gated_set(is_on=True).hear(WrittenNetwork())
    assert heard.negative_scores(0.0, gated=True)[0][1000] == 0.0
    assert heard.negative_scores(0.0, gated=False)[0][1000] == pytest.approx(1 / (1 + np.exp(-4.0)), abs=1e-3)
    point = fit_operating_point(heard.curve, RULE)
    card = tiny_card(presets=point.presets, logit_shift=point.shift)
    judged = fit_judged(heard, heard, RULE, tiny_card=card, judge_card=card)
    assert judged.verdict.curve.matched_miss_rate(0.5) == 0.0
    assert len(judged.verdict.curve.events) == 1
