"""Clipping: an overdriven microphone cuts the peaks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from wakelark.audio import Float32Array
from wakelark.augment.signal import db_to_gain, peak


@dataclass(frozen=True, slots=True)
class ClippingParams:
    """How far the peak would have gone beyond the limit, in dB; 0 clips nothing."""

    drive_db: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Clipping:
    """Peaks more than `drive_db` below the loudest sample are cut."""

    drive_db_min: float = 2.0
    drive_db_max: float = 14.0

    def draw(self, rng: np.random.Generator) -> ClippingParams:
        return ClippingParams(drive_db=float(rng.uniform(self.drive_db_min, self.drive_db_max)))

    def apply(self, audio: Float32Array, params: ClippingParams) -> Float32Array:
        """Cut what lies above the peak less `drive_db`.

        Shape: `[N] -> [N]`
        """
        limit = np.float32(peak(audio) * db_to_gain(-params.drive_db))
        return np.clip(audio, -limit, limit)
