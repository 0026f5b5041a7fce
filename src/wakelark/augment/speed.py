"""Speed: the same audio faster and higher, or slower and lower, as by another speaker in another hurry."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from wakelark.audio import SAMPLE_RATE, Float32Array


@dataclass(frozen=True, slots=True)
class SpeedParams:
    """Speed factor: above 1 is faster, shorter and higher."""

    factor: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """Resampling by a factor between `1 / (1 + speed_range)` and `1 + speed_range`, even in its logarithm."""

    speed_range: float

    def draw(self, rng: np.random.Generator) -> SpeedParams:
        limit = np.log1p(self.speed_range)
        return SpeedParams(factor=float(np.exp(rng.uniform(-limit, limit))))

    def apply(self, audio: Float32Array, params: SpeedParams) -> Float32Array:
        """Change the speed; the only augmentation that changes the length.

        Shape: `[N] -> [about N / factor]`
        """
        import soxr

        if params.factor == 1.0 or audio.size == 0:
            return audio
        # MQ keeps more of the band than the front ends distinguish, at a third of the cost of VHQ.
        return soxr.resample(audio, SAMPLE_RATE * params.factor, SAMPLE_RATE, quality="MQ").astype(
            np.float32, copy=False
        )
