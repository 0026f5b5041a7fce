"""Levels and frequency-domain helpers that the augmentations share."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from wakelark.audio import SAMPLE_RATE, Float32Array

LEVEL_FRAME_SAMPLES = 320  # 20 ms
ACTIVE_RANGE_DB = 30.0


def db_to_gain(level_db: float) -> float:
    """Decibels to an amplitude factor.

    >>> round(db_to_gain(-6.0206), 4)
    0.5
    """
    return 10.0 ** (level_db / 20.0)


def gain_to_db(gain: float) -> float:
    """An amplitude factor to decibels; minus infinity for 0.

    >>> round(gain_to_db(10.0), 3), gain_to_db(0.0)
    (20.0, -inf)
    """
    return 20.0 * float(np.log10(gain)) if gain > 0 else -np.inf


def peak(audio: Float32Array) -> float:
    """Largest absolute sample, 0.0 for no audio.

    Shape: `[N] -> scalar`
    """
    return float(max(audio.max(), -audio.min())) if audio.size else 0.0


def active_rms(audio: Float32Array) -> float:
    """Level of what is heard, without the pauses: RMS over the frames (20 ms) within 30 dB of the loudest.

    Shape: `[N] -> scalar`

    >>> tone = np.sin(np.arange(3200, dtype=np.float32))
    >>> silence = np.zeros(6400, np.float32)
    >>> round(active_rms(np.concatenate([silence, tone, silence])), 2)
    0.71
    """
    frames = audio.size // LEVEL_FRAME_SAMPLES
    if frames < 1:
        return float(np.sqrt(np.mean(np.square(audio)))) if audio.size else 0.0
    framed = audio[: frames * LEVEL_FRAME_SAMPLES].reshape(frames, LEVEL_FRAME_SAMPLES)
    energies = np.einsum("fs,fs->f", framed, framed) / LEVEL_FRAME_SAMPLES
    threshold = energies.max() * 10.0 ** (-ACTIVE_RANGE_DB / 10.0)
    return float(np.sqrt(energies[energies >= threshold].mean(dtype=np.float64)))


def active_end(audio: Float32Array) -> int:
    """First sample after the last frame (20 ms) within 30 dB of the loudest; the length of silent or very short audio.

    Shape: `[N] -> scalar`
    """
    frames = audio.size // LEVEL_FRAME_SAMPLES
    if frames < 1:
        return audio.size
    framed = audio[: frames * LEVEL_FRAME_SAMPLES].reshape(frames, LEVEL_FRAME_SAMPLES)
    energies = np.einsum("fs,fs->f", framed, framed)
    if energies.max() == 0:
        return audio.size
    loud = np.flatnonzero(energies >= energies.max() * 10.0 ** (-ACTIVE_RANGE_DB / 10.0))
    return int(loud[-1] + 1) * LEVEL_FRAME_SAMPLES


@lru_cache(maxsize=64)
def fft_size(samples: int) -> int:
    """Smallest length of at least `samples` whose only prime factors are 2, 3 and 5, and which is even.

    >>> fft_size(32_000 + 8_800), fft_size(7)
    (40960, 8)
    """
    best = max(2, 1 << (samples - 1).bit_length())
    power_of_five = 1
    while power_of_five < best:
        odd = power_of_five
        while odd < best:
            size = odd * max(2, 1 << (-(-samples // odd) - 1).bit_length())
            best = min(best, size) if size >= samples else best
            odd *= 3
        power_of_five *= 5
    return best


@lru_cache(maxsize=8)
def octaves_from_1_khz(fft_samples: int) -> Float32Array:
    """log2(frequency / 1 kHz) of every bin of a real FFT; the bin at 0 Hz takes the value of the one after it.

    Shape: `scalar -> [fft_samples // 2 + 1]`
    """
    frequencies_hz = np.fft.rfftfreq(fft_samples, 1 / SAMPLE_RATE)
    frequencies_hz[0] = frequencies_hz[1]
    octaves = np.log2(frequencies_hz / 1000.0).astype(np.float32)
    octaves.flags.writeable = False
    return octaves


def filtered(audio: Float32Array, response: NDArray[np.complex64] | Float32Array, fft_samples: int) -> Float32Array:
    """Multiply the spectrum of `audio` by `response`; the length stays.

    `fft_samples` is larger than the audio by at least the length of the impulse response, else its tail wraps around.

    Shape: `[N], [fft_samples // 2 + 1] -> [N]`
    """
    spectrum = np.fft.rfft(audio, fft_samples) * response
    return np.fft.irfft(spectrum, fft_samples)[: audio.size].astype(np.float32, copy=False)
