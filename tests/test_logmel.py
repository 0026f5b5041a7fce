"""The log-mel front end: hand-computed values, streaming, and the torch version against the numpy one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
import torch

from wakelark.audio import to_float, to_int16
from wakelark.features.logmel import BANDS, StreamingLogmel, frame_count, logmel
from wakelark.features.logmel_torch import LogMel
from wakelark.features.spectrum import FFT_SIZE, folded_kernels, hann_window, mel_weights, used_bins


def chirp_and_noise(seconds: float = 1.0, seed: int = 0) -> np.ndarray:
    """Speech-like in level and spread: a rising harmonic tone in a little noise."""
    rng = np.random.default_rng(seed)
    t = np.arange(int(16_000 * seconds)) / 16_000
    tone = sum(np.sin(2 * np.pi * k * (110 * t + 40 * t**2)) / k for k in range(1, 25))
    return (0.1 * tone + 0.003 * rng.standard_normal(len(t))).astype(np.float32)


@pytest.mark.parametrize(("samples", "frames"), [(0, 0), (399, 0), (400, 1), (559, 1), (560, 2), (32_000, 198)])
def test_frame_count(samples: int, frames: int) -> None:
    assert frame_count(samples) == frames
    assert logmel(np.zeros(samples, np.float32)).shape == (frames, BANDS)


def test_silence_is_the_floor() -> None:
    # (ln 1e-6 + 8) / 5
    np.testing.assert_allclose(logmel(np.zeros(800, np.float32)), (np.log(1e-6) + 8) / 5, atol=1e-6)


def test_white_noise_has_the_hand_computed_level() -> None:
    # Mean power of a windowed transform of white noise: variance times the sum of the squared window, 3/8 of 400.
    noise = np.random.default_rng(1).normal(0, 0.1, 160_000).astype(np.float32)
    power = np.exp(logmel(noise) * 5.0 - 8.0)
    assert power.mean() == pytest.approx(0.01 * 150, rel=0.02)


def test_rounding_noise_looks_like_silence() -> None:
    rng = np.random.default_rng(2)
    steps = to_float(rng.integers(-1, 2, 16_000).astype(np.int16))
    silence = logmel(np.zeros(16_000, np.float32))
    assert np.abs(logmel(steps) - silence).max() < 0.2
    uniform = (rng.uniform(-0.5, 0.5, 16_000) / 32768).astype(np.float32)
    assert np.abs(logmel(uniform) - silence).max() < 0.03


def test_a_tone_is_loudest_in_its_band() -> None:
    weights = mel_weights(bands=BANDS, low_hz=80.0, high_hz=7600.0)
    t = np.arange(8000) / 16_000
    for hz in (250.0, 1000.0, 4000.0):
        loudest = logmel((0.3 * np.sin(2 * np.pi * hz * t)).astype(np.float32)).mean(0).argmax()
        assert loudest == weights[round(hz / 31.25)].argmax()


def test_filters_are_means_over_bins() -> None:
    weights = mel_weights(bands=BANDS, low_hz=80.0, high_hz=7600.0)
    np.testing.assert_allclose(weights.sum(0), 1.0)
    assert (weights >= 0).all()
    assert (weights > 0).sum(0).min() >= 3, "every band has at least three bins"


def test_folded_kernels_give_the_fft_power() -> None:
    bins = used_bins(mel_weights(bands=BANDS, low_hz=80.0, high_hz=7600.0))
    cosine, sine = folded_kernels(bins)
    frame = np.random.default_rng(3).standard_normal(400)
    after, before = frame[200:], frame[200:0:-1]
    power = ((after + before) @ cosine) ** 2 + ((after - before) @ sine) ** 2
    expected = np.abs(np.fft.rfft(frame * hann_window(), FFT_SIZE)) ** 2
    np.testing.assert_allclose(power, expected[bins], rtol=1e-9, atol=1e-9)


def test_any_chunking_gives_the_same_frames() -> None:
    audio = chirp_and_noise()
    whole = logmel(audio)
    rng = np.random.default_rng(4)
    for _ in range(5):
        stream, position, parts = StreamingLogmel(), 0, []
        while position < len(audio):
            size = int(rng.choice([1, 7, 160, 399, 400, 641, 5000]))
            parts.append(stream.process(audio[position : position + size]))
            position += size
        np.testing.assert_allclose(np.concatenate(parts), whole, atol=1e-6)


def test_reset_forgets() -> None:
    stream = StreamingLogmel()
    stream.process(np.ones(399, np.float32))
    stream.reset()
    assert len(stream.process(np.ones(399, np.float32))) == 0


def test_torch_equals_numpy_on_synthetic_audio() -> None:
    clips = np.stack([chirp_and_noise(2.0, seed) * gain for seed, gain in enumerate((1.0, 0.1, 0.001, 0.0))])
    batch = LogMel()(torch.from_numpy(clips))
    assert batch.shape == (4, BANDS, 198)
    for one, clip in zip(batch, clips, strict=True):
        np.testing.assert_allclose(one.numpy().T, logmel(clip), atol=1e-5, rtol=0)


def test_torch_equals_numpy_on_real_speech(real_recordings: Path) -> None:
    front_end = LogMel()
    for path in sorted(real_recordings.glob("*/*.flac"))[::40]:
        audio, _ = sf.read(path, dtype="float32")
        loud = to_float(to_int16(audio * (0.95 / np.abs(audio).max())))
        ours = front_end(torch.from_numpy(loud)[None])[0].numpy().T
        np.testing.assert_allclose(ours, logmel(loud), atol=1e-5, rtol=0)


def test_torch_refuses_nothing_short() -> None:
    assert LogMel()(torch.zeros(3, 100)).shape == (3, BANDS, 0)


def test_front_end_has_nothing_to_save() -> None:
    assert LogMel().state_dict() == {}
