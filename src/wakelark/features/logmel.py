"""The tiny model's front end, defined: 40 log-mel bands every 10 ms, in numpy, for whole clips and for streams.

A value is `(ln(mean band power + 1e-6) + 8) / 5`. The floor of 1e-6 is the power of white noise at -82 dB of full
scale, 20 dB above what rounding to 16 bits adds. So digital silence (-1.163) and rounding noise (-1.161) look alike,
and a synthetic clip cannot be told from a recording by the silence around it. Nothing is normalised over a clip: a
stream and a clip give the same numbers. Speech lies between -1 and 3.
"""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from wakelark.audio import HOP_SAMPLES, Float32Array
from wakelark.features.spectrum import FFT_SIZE, WINDOW_SAMPLES, hann_window, mel_weights

BANDS = 40
LOW_HZ = 80.0
HIGH_HZ = 7600.0
POWER_FLOOR = 1e-6
LOG_OFFSET = 8.0
LOG_SCALE = 5.0

_BLOCK_FRAMES = 4096  # 41 s: bounds the memory that a long recording takes
_WINDOW = hann_window()
_MEL = mel_weights(bands=BANDS, low_hz=LOW_HZ, high_hz=HIGH_HZ)


def frame_count(samples: int) -> int:
    """How many frames `logmel` makes of this many samples.

    >>> frame_count(399), frame_count(400), frame_count(32_000)
    (0, 1, 198)
    """
    return max(0, (samples - WINDOW_SAMPLES) // HOP_SAMPLES + 1)


def logmel(audio: Float32Array) -> Float32Array:
    """Log-mel frames of a clip; frame t covers the samples `160 t` to `160 t + 400`.

    Audio shorter than one window gives no frames. Computed in float64, so that it can judge the other versions.

    Shape: `[N] -> [(N - 400) // 160 + 1, 40]`

    >>> logmel(np.zeros(720, np.float32)).shape
    (3, 40)
    """
    frames = frame_count(len(audio))
    features = np.empty((frames, BANDS), np.float32)
    for first in range(0, frames, _BLOCK_FRAMES):
        last = min(first + _BLOCK_FRAMES, frames)
        samples = audio[first * HOP_SAMPLES : (last - 1) * HOP_SAMPLES + WINDOW_SAMPLES]
        features[first:last] = _frames(np.asarray(samples, np.float64))
    return features


def _frames(samples: np.ndarray) -> np.ndarray:
    spectrum = np.fft.rfft(sliding_window_view(samples, WINDOW_SAMPLES)[::HOP_SAMPLES] * _WINDOW, FFT_SIZE)
    power = (spectrum.real**2 + spectrum.imag**2) @ _MEL
    return (np.log(power + POWER_FLOOR) + LOG_OFFSET) / LOG_SCALE


class StreamingLogmel:
    """`logmel` for audio that comes piece by piece: any chunking gives the same frames.

    >>> stream = StreamingLogmel()
    >>> [len(stream.process(np.zeros(n, np.float32))) for n in (399, 1, 320)]
    [0, 1, 2]
    """

    def __init__(self) -> None:
        self._rest = np.zeros(0, np.float32)

    def process(self, chunk: Float32Array) -> Float32Array:
        """The frames that this chunk completes, perhaps none.

        Shape: `[n] -> [t, 40]`
        """
        audio = np.concatenate([self._rest, chunk])
        features = logmel(audio)
        self._rest = audio[len(features) * HOP_SAMPLES :]
        return features

    def reset(self) -> None:
        """Forget the audio so far."""
        self._rest = np.zeros(0, np.float32)
