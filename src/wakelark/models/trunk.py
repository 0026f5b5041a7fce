"""The student's trunk: from log-mel frames to features that know nothing of any phrase yet.

    log-mel [B, 40, T] -> conv, kernel 5, stride 4 (a step = 40 ms) -> residual depthwise-separable blocks -> [B, C, S]

With the default kernels a step has heard 77 frames, the span of one speech embedding (76 mel frames), so a trunk can
be trained to give what the embedding gives at the same right edge.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional
from typing_extensions import override

from wakelark.audio import HOP_SAMPLES
from wakelark.features.logmel import BANDS

FRONT_KERNEL = 5
STEP_FRAMES = 4
STEP_SAMPLES = STEP_FRAMES * HOP_SAMPLES


class SeparableBlock(nn.Module):
    """`relu(x + norm(pointwise(norm(depthwise(x)))))`, the residual cropped from its start to fit.

    Shape: `[B, C, T] -> [B, C, T - kernel + 1]`
    """

    def __init__(self, *, channels: int, kernel: int) -> None:
        super().__init__()
        self.kernel = kernel
        self.depthwise = nn.Conv1d(channels, channels, kernel, groups=channels, bias=False)
        self.depthwise_norm = nn.BatchNorm1d(channels)
        self.pointwise = nn.Conv1d(channels, channels, 1, bias=False)
        self.pointwise_norm = nn.BatchNorm1d(channels)

    @override
    def forward(self, values: Tensor) -> Tensor:
        change = self.depthwise_norm(self.depthwise(values))
        change = self.pointwise_norm(self.pointwise(change))
        return functional.relu(values[..., self.kernel - 1 :] + change)


class Trunk(nn.Module):
    """Features every 40 ms.

    Args:
        channels: width of every layer.
        kernels: taps of each block's depthwise convolution, in steps of 40 ms.

    Attributes:
        statistics_fixed: batch norms keep their statistics in training, too. A trunk that was trained on many hours
            knows them better than a phrase's batches, which are alike.

    Shape: `[B, 40, T] -> [B, C, S]` with `S = (T - receptive_field_frames) // 4 + 1`; step s has heard the frames
    `4 s` to `4 s + receptive_field_frames`.

    >>> import torch
    >>> trunk = Trunk(channels=16, kernels=(3, 3, 5, 5, 7))
    >>> trunk.receptive_field_frames, trunk(torch.zeros(2, 40, 198)).shape
    (77, torch.Size([2, 16, 31]))
    """

    def __init__(self, *, channels: int, kernels: Sequence[int]) -> None:
        super().__init__()
        self.channels = channels
        self.kernels = tuple(kernels)
        self.statistics_fixed = False
        self.front = nn.Conv1d(BANDS, channels, FRONT_KERNEL, stride=STEP_FRAMES, bias=False)
        self.front_norm = nn.BatchNorm1d(channels)
        self.blocks = nn.ModuleList(SeparableBlock(channels=channels, kernel=kernel) for kernel in kernels)

    @property
    def receptive_field_frames(self) -> int:
        """Log-mel frames that one step has heard."""
        return FRONT_KERNEL + STEP_FRAMES * sum(kernel - 1 for kernel in self.kernels)

    @override
    def train(self, mode: bool = True) -> Trunk:
        super().train(mode)
        if mode and self.statistics_fixed:
            for module in self.modules():
                if isinstance(module, nn.BatchNorm1d):
                    module.eval()
        return self

    @override
    def forward(self, features: Tensor) -> Tensor:
        values = functional.relu(self.front_norm(self.front(features)))
        for block in self.blocks:
            values = block(values)
        return values
