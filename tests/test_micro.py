"""The front end of ESPHome's devices: any chunking gives the same frames, and clips sound like pieces of a stream."""

from __future__ import annotations

import numpy as np
import pytest

from wakelark.audio import Int16Array
from wakelark.features.micro import LEAD_SAMPLES, StreamingMicro, frame_count, micro, micro_of_clip


def swinging(seconds: float, seed: int = 0) -> Int16Array:
    """Noise whose loudness changes ten times a second, with tones."""
    rng = np.random.default_rng(seed)
    samples = int(seconds * 16_000)
    loudness = 10 ** np.repeat(rng.uniform(1, 3, samples // 1600 + 1), 1600)[:samples]
    tones = np.sin(2 * np.pi * np.repeat(rng.uniform(200, 4000, samples // 1600 + 1), 1600)[:samples] / 16_000)
    return np.clip(loudness * (rng.standard_normal(samples) + tones), -32768, 32767).astype(np.int16)


@pytest.mark.parametrize("chunk", [1, 7, 160, 479, 480, 1000, 40_000])
def test_any_chunking_gives_the_same_frames(chunk: int) -> None:
    audio = swinging(1.0)
    stream = StreamingMicro()
    pieces = [stream.process(audio[start : start + chunk]) for start in range(0, len(audio), chunk)]
    np.testing.assert_array_equal(np.concatenate(pieces), micro(audio))


def test_frames_are_counted_and_lie_between_0_and_26() -> None:
    for samples in (0, 479, 480, 639, 640, 32_000):
        assert len(micro(swinging(2.1)[:samples])) == frame_count(samples)
    features = micro(swinging(3.0))
    assert features.dtype == np.float32
    assert (features.min() >= 0, 5 < features.max() <= 26.2) == (True, True)


def test_reset_forgets_everything() -> None:
    audio = swinging(1.0)
    stream = StreamingMicro()
    first = stream.process(audio)
    assert not np.array_equal(stream.process(audio)[3:], first[3:])
    stream.reset()
    np.testing.assert_array_equal(stream.process(audio), first)


def test_a_frame_covers_its_480_samples_and_nothing_later() -> None:
    audio = swinging(0.5)
    other = audio.copy()
    other[160 * 10 + 480 :] = 0
    np.testing.assert_array_equal(micro(audio)[:11], micro(other)[:11])
    assert not np.array_equal(micro(audio)[11], micro(other)[11])


def test_a_clip_sounds_as_in_a_stream() -> None:
    """Steady noise with a tone in the clip: the front end that started with the clip is far from it, at first."""
    rng = np.random.default_rng(1)
    stream = (200 * rng.standard_normal(96_000)).astype(np.int16)
    start = 64_000
    stream[start + 8000 : start + 12_000] += (3000 * np.sin(np.arange(4000) * 0.4)).astype(np.int16)
    clip = stream[start:]
    truth = micro(stream)[start // 160 :]
    led, bare = micro_of_clip(clip), micro(clip)
    assert led.shape == truth.shape == bare.shape == (198, 40)
    early = slice(0, 40)
    assert np.abs(led - truth)[early].mean() < 0.25 * np.abs(bare - truth)[early].mean()
    assert np.abs(led - truth).mean() < 0.5


def test_clips_shorter_than_their_lead() -> None:
    for samples in (100, 480, 5000, LEAD_SAMPLES - 1):
        assert micro_of_clip(swinging(2.0)[:samples]).shape == (frame_count(samples), 40)
