"""The voice gate: what it is by hand, on real voices in noise, and as a part of the detector in chunks of any size."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from wakelark.audio import SAMPLE_RATE, Float32Array
from wakelark.evaluation.events import smooth
from wakelark.runtime.backend import Backend
from wakelark.runtime.detector import Detector
from wakelark.runtime.voice_gate import FIRST_BACKGROUND_DB, RISE_DB_PER_S, VoiceGate

from .tiny_model import STEP, expected_scores, tiny_bytes, tiny_card


def tone(seconds: float, hz: float, level_db: float) -> Float32Array:
    times_s = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    return (np.sin(2 * np.pi * hz * times_s) * np.sqrt(2) * 10 ** (level_db / 20)).astype(np.float32)


def opened(audio: Float32Array, *, gate_db: float = 6.0, hold_s: float = 0.2, step: int = STEP) -> list[bool]:
    gate = VoiceGate(gate_db=gate_db, hold_s=hold_s, step_samples=step)
    return [gate.is_open(part) for part in np.split(audio[: len(audio) // step * step], len(audio) // step)]


def test_it_opens_with_a_louder_frame_and_stays_open_for_a_while() -> None:
    audio = np.concatenate([tone(4, 1000, -50), tone(0.4, 1000, -30), tone(2, 1000, -50)])
    steps = opened(audio)
    assert not any(steps[98:100])  # the background rose from -60 to -50 dB within 3.4 s
    assert all(steps[100:110])
    assert all(steps[110:114])  # 5 steps of 40 ms with the last loud one
    assert not any(steps[114:])


def test_the_background_falls_at_once_and_rises_slowly() -> None:
    rise_s = (-30 - FIRST_BACKGROUND_DB - 6.0) / RISE_DB_PER_S
    steps = opened(tone(rise_s + 1, 1000, -30))
    closes = steps.index(False)
    assert closes * STEP / SAMPLE_RATE == pytest.approx(rise_s + 0.2, abs=0.06)
    after = opened(np.concatenate([tone(rise_s + 1, 1000, -30), tone(0.04, 1000, -90), tone(1, 1000, -30)]))
    assert all(after[-25:])


@pytest.mark.parametrize(("hz", "opens"), [(60.0, False), (1000.0, True), (3000.0, True), (6000.0, False)])
def test_only_the_band_of_speech_opens_it(hz: float, opens: bool) -> None:
    hum = np.concatenate([np.zeros(SAMPLE_RATE, np.float32), tone(2, hz, -40)])
    assert any(opened(hum, gate_db=15.0)) == opens


@pytest.mark.parametrize("step", [480, 640, 1280])
def test_silence_never_opens_it_whatever_the_step(step: int) -> None:
    assert not any(opened(np.zeros(SAMPLE_RATE, np.float32), step=step))
    assert any(opened(np.concatenate([np.zeros(SAMPLE_RATE, np.float32), tone(1, 500, -20)]), step=step))


def gated(gate_db: float) -> Detector:
    return Detector(Backend(tiny_bytes(tiny_card(gate_db=gate_db, gate_hold_s=0.2)), name="gated"))


def test_the_detector_obeys_its_card_in_chunks_of_any_size() -> None:
    """A loud hum wakes this model, which hears nothing but power, and the gate keeps it out; a voice passes."""
    hum = np.concatenate([np.zeros(SAMPLE_RATE, np.float32), tone(2, 60, -7)])
    hum += (np.random.default_rng(0).standard_normal(len(hum)) * 0.003).astype(np.float32)
    assert len(gated(0.0).process(hum)) == 1
    assert gated(20.0).process(hum) == []
    voice = np.concatenate([hum, tone(1, 800, -6), hum])
    whole = gated(20.0).follow(voice)
    detector = gated(20.0)
    parts = [value for chunk in np.array_split(voice, 211) for value in detector.follow(chunk)]
    assert parts == pytest.approx(whole, abs=1e-6)
    mask = np.array(opened(voice, gate_db=20.0))
    assert mask.any()
    np.testing.assert_allclose(whole, smooth(expected_scores(voice) * mask, 3), atol=1e-5)
    detector.reset()
    assert detector.follow(voice) == pytest.approx(whole, abs=1e-6)
    assert gated(20.0).score(voice) == pytest.approx(expected_scores(voice), abs=1e-5)  # raw is raw


def test_real_voices_open_it_in_noise_of_10_db(real_recordings: Path) -> None:
    rng = np.random.default_rng(0)
    for path in sorted(real_recordings.glob("*/*.flac"))[::40]:
        clip = sf.read(path, dtype="float32")[0]
        noise = rng.standard_normal(15 * SAMPLE_RATE + len(clip)).astype(np.float32)
        noise *= np.sqrt(np.mean(np.sort(clip**2)[len(clip) // 2 :])) * 10 ** (-10 / 20)
        noise[-len(clip) :] += clip
        steps = opened(noise, hold_s=0.04)
        assert not any(steps[: 14 * 25][-25:]), path.name
        assert any(steps[-(len(clip) // STEP) :]), path.name
