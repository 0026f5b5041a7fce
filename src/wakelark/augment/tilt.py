"""Tilt: the colour of microphones and loudspeakers, a slope over frequency and a few resonances."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from wakelark.audio import SAMPLE_RATE, Float32Array
from wakelark.augment.signal import fft_size, filtered, octaves_from_1_khz

RING_S = 0.05
OCTAVE_LIMITS = (-3.3, 3.0)  # 100 Hz to 8 kHz; below, the slope would only make rumble


@dataclass(frozen=True, slots=True)
class TiltParams:
    """Slope in dB per octave around 1 kHz, and resonances as (octaves from 1 kHz, width in octaves, gain in dB)."""

    slope_db_per_octave: float
    bumps: tuple[tuple[float, float, float], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Tilt:
    """A slope of up to `max_slope_db_per_octave` either way and up to `max_bumps` resonances; zero phase."""

    max_slope_db_per_octave: float
    max_bumps: int = 2
    max_bump_db: float = 8.0

    def draw(self, rng: np.random.Generator) -> TiltParams:
        limit = self.max_slope_db_per_octave
        bumps = tuple(
            (
                float(rng.uniform(-2.3, 2.8)),
                float(rng.uniform(0.15, 0.6)),
                float(rng.uniform(-self.max_bump_db, self.max_bump_db)),
            )
            for _ in range(int(rng.integers(self.max_bumps + 1)))
        )
        return TiltParams(slope_db_per_octave=float(rng.uniform(-limit, limit)), bumps=bumps)

    def response(self, fft_samples: int, params: TiltParams) -> Float32Array:
        """The colour as a real factor in the frequency domain.

        Shape: `-> [fft_samples // 2 + 1]`
        """
        octaves = np.clip(octaves_from_1_khz(fft_samples), *OCTAVE_LIMITS)
        gain_db = octaves * np.float32(params.slope_db_per_octave)
        for centre, width, bump_db in params.bumps:
            gain_db += np.float32(bump_db) * np.exp(
                np.float32(-0.5 / width**2) * np.square(octaves - np.float32(centre))
            )
        return np.exp(gain_db * np.float32(np.log(10.0) / 20.0))

    def apply(self, audio: Float32Array, params: TiltParams) -> Float32Array:
        """Colour the audio.

        Shape: `[N] -> [N]`
        """
        fft_samples = fft_size(audio.size + int(RING_S * SAMPLE_RATE))
        return filtered(audio, self.response(fft_samples, params), fft_samples)
