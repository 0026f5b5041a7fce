"""Noise floor: what a quiet room and a microphone's own hiss leave where nothing is said, or exact digital silence."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from wakelark.audio import Float32Array
from wakelark.augment.beds import coloured_noise
from wakelark.augment.signal import db_to_gain


@dataclass(frozen=True, slots=True)
class FloorParams:
    """Level of the floor in dB below full scale (RMS), None for digital silence; its colour and seed."""

    level_dbfs: float | None
    slope_db_per_octave: float = 0.0
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Floor:
    """A very low noise floor, sometimes none at all, so that neither is a cue."""

    level_dbfs_min: float = -75.0
    level_dbfs_max: float = -50.0
    digital_silence_probability: float = 0.3

    def draw(self, rng: np.random.Generator) -> FloorParams:
        silent = rng.random() < self.digital_silence_probability
        level_dbfs = float(rng.uniform(self.level_dbfs_min, self.level_dbfs_max))
        slope = float(rng.uniform(-6, 1))
        return FloorParams(None if silent else level_dbfs, slope_db_per_octave=slope, seed=int(rng.integers(2**32)))

    def apply(self, audio: Float32Array, params: FloorParams) -> Float32Array:
        """Add the floor at its absolute level.

        Shape: `[N] -> [N]`
        """
        if params.level_dbfs is None:
            return audio
        noise = coloured_noise(params.slope_db_per_octave, audio.size, seed=params.seed)
        noise *= np.float32(db_to_gain(params.level_dbfs))
        return audio + noise
