"""Band limit: telephones, old recordings and cheap microphones lose the top or the bottom of the spectrum."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from wakelark.audio import SAMPLE_RATE, Float32Array
from wakelark.augment.signal import fft_size, filtered, octaves_from_1_khz

RING_S = 0.05


@dataclass(frozen=True, slots=True)
class BandLimitParams:
    """Cut-off frequencies (-3 dB) and steepness in multiples of 6 dB per octave; None leaves that end as it is."""

    low_pass_hz: float | None = None
    high_pass_hz: float | None = None
    low_pass_order: int = 8
    high_pass_order: int = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class BandLimit:
    """A low-pass and a high-pass of Butterworth magnitude and zero phase, each with its own probability."""

    low_pass_probability: float
    high_pass_probability: float
    low_pass_hz_min: float = 3400.0
    low_pass_hz_max: float = 7800.0
    high_pass_hz_min: float = 80.0
    high_pass_hz_max: float = 350.0

    def draw(self, rng: np.random.Generator) -> BandLimitParams:
        low_pass = rng.random() < self.low_pass_probability
        high_pass = rng.random() < self.high_pass_probability
        low_pass_hz = float(rng.uniform(self.low_pass_hz_min, self.low_pass_hz_max))
        high_pass_hz = float(rng.uniform(self.high_pass_hz_min, self.high_pass_hz_max))
        return BandLimitParams(
            low_pass_hz=low_pass_hz if low_pass else None,
            high_pass_hz=high_pass_hz if high_pass else None,
            low_pass_order=int(rng.integers(4, 17)),
            high_pass_order=int(rng.integers(1, 5)),
        )

    def response(self, fft_samples: int, params: BandLimitParams) -> Float32Array:
        """Both filters as a real factor in the frequency domain.

        Shape: `-> [fft_samples // 2 + 1]`
        """
        octaves = octaves_from_1_khz(fft_samples)
        factor = np.ones_like(octaves)
        if params.low_pass_hz is not None:
            factor *= _butterworth(octaves - np.float32(np.log2(params.low_pass_hz / 1000)), params.low_pass_order)
        if params.high_pass_hz is not None:
            factor *= _butterworth(np.float32(np.log2(params.high_pass_hz / 1000)) - octaves, params.high_pass_order)
        return factor

    def apply(self, audio: Float32Array, params: BandLimitParams) -> Float32Array:
        """Limit the band of the audio.

        Shape: `[N] -> [N]`
        """
        fft_samples = fft_size(audio.size + int(RING_S * SAMPLE_RATE))
        return filtered(audio, self.response(fft_samples, params), fft_samples)


def _butterworth(octaves_past_cutoff: Float32Array, order: int) -> Float32Array:
    # 2 ** 60 stays finite in float32 and is far below what int16 can hold, so the exponent may be capped there.
    power = np.exp2(np.minimum(octaves_past_cutoff * np.float32(2 * order), np.float32(60)))
    return (1 / np.sqrt(1 + power)).astype(np.float32, copy=False)
