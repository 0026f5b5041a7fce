"""The log-mel front end for batches in torch: the numbers of `wakelark.features.logmel`."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from typing_extensions import override

from wakelark.features.logmel import BANDS, HIGH_HZ, LOG_OFFSET, LOG_SCALE, LOW_HZ, POWER_FLOOR
from wakelark.features.spectrum import WINDOW_SAMPLES, mel_weights
from wakelark.features.spectrum_torch import BandPower


class LogMel(nn.Module):
    """Log-mel frames, channels first as convolutions over time want them.

    It has no parameters and nothing to save. It computes in float64: bands that are 80 dB below their neighbours, as in
    a loud vowel before digital silence, differ by up to 5e-5 in float32.

    Shape: `[B, N] -> [B, 40, (N - 400) // 160 + 1]`, float32 in, float32 out

    >>> LogMel()(torch.zeros(2, 32_000)).shape
    torch.Size([2, 40, 198])
    """

    def __init__(self) -> None:
        super().__init__()
        weights = mel_weights(bands=BANDS, low_hz=LOW_HZ, high_hz=HIGH_HZ)
        self.power = BandPower(weights, amplitude=1.0, dtype=torch.float64)

    @override
    def forward(self, audio: Tensor) -> Tensor:
        if audio.shape[-1] < WINDOW_SAMPLES:
            return audio.new_zeros(audio.shape[0], BANDS, 0)
        scaled = (torch.log(self.power(audio) + POWER_FLOOR) + LOG_OFFSET) / LOG_SCALE
        return scaled.to(torch.float32).transpose(1, 2).contiguous()
