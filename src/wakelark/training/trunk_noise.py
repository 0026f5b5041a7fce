"""Noise, level and colour for the trunk's input, added to log-mel frames on the fly.

Powers of independent sounds add, so `ln(exp(a) + exp(b))` of two log-mel frames is, but for the interference between
the two, the log-mel of their sum. That costs a hundredth of mixing audio and computing the front end anew, and every
step hears every piece in another noise.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from wakelark.features.logmel import BANDS, LOG_OFFSET, LOG_SCALE, POWER_FLOOR

_TILT_DB = 6.0  # of the highest band against the lowest
_DB = np.log(10.0) / 10.0  # in the natural logarithm of power


@dataclass(frozen=True, slots=True, kw_only=True)
class InputNoise:
    """How the input of a batch is disturbed.

    Attributes:
        probability: share of the pieces with noise.
        snr_db_min, snr_db_max: of mean powers.
        gain_db: the level moves by up to this, up or down.
    """

    probability: float
    snr_db_min: float
    snr_db_max: float
    gain_db: float

    def apply(self, features: Tensor, noise: Tensor, rng: np.random.Generator) -> Tensor:
        """Log-mel of pieces with noise.

        Args:
            features: the pieces.
            noise: one other piece for each.
            rng: of this batch.

        Shape: `[B, 40, T], [B, 40, T] -> [B, 40, T]`
        """
        count = len(features)
        snr_db = rng.uniform(self.snr_db_min, self.snr_db_max, count)
        with_noise = rng.random(count) < self.probability
        gain = rng.uniform(-self.gain_db, self.gain_db, count) * _DB
        tilt = rng.uniform(-_TILT_DB, _TILT_DB, count)[:, None] * np.linspace(-0.5, 0.5, BANDS)[None] * _DB
        power, other = power_of(features), power_of(noise)
        ratio = power.mean((1, 2)) / other.mean((1, 2)).clamp_min(POWER_FLOOR)
        share = ratio * torch.from_numpy(np.where(with_noise, 10 ** (-snr_db / 10), 0.0)).float()
        colour = torch.from_numpy(np.exp(gain[:, None] + tilt)).float()
        return log_mel_of((power + share[:, None, None] * other) * colour[:, :, None])


def power_of(features: Tensor) -> Tensor:
    """Mean band powers of log-mel values, 0 for digital silence. Shape: `[*] -> [*]`

    >>> round(float(power_of(torch.tensor((np.log(1e-6) + 8.0) / 5.0))), 9)
    0.0
    """
    return (torch.exp(features * LOG_SCALE - LOG_OFFSET) - POWER_FLOOR).clamp_min(0.0)


def log_mel_of(power: Tensor) -> Tensor:
    """Log-mel values of mean band powers; the inverse of `power_of`. Shape: `[*] -> [*]`"""
    return (torch.log(power + POWER_FLOOR) + LOG_OFFSET) / LOG_SCALE
