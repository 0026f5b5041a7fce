"""The student's trunk: from log-mel frames to features that know nothing of any phrase yet.

    log-mel [B, 40, T] -> conv, kernel 5, stride 4 (a step = 40 ms) -> residual depthwise-separable blocks -> [B, C, S]

On the `micro` front end of ESPHome's devices the stride is 3 (a step = 30 ms), as their firmware calls its models. With
the default kernels of either a step has heard 77 frames, the span of one speech embedding (76 mel frames), so a trunk
can be trained to give what the embedding gives at the same right edge.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional
from typing_extensions import override

from wakelark.audio import HOP_SAMPLES
from wakelark.features import micro, spectrum
from wakelark.features.logmel import BANDS

FRONT_KERNEL = 5
STEP_FRAMES = 4
STEP_SAMPLES = STEP_FRAMES * HOP_SAMPLES


@dataclass(frozen=True, slots=True)
class FrontEnd:
    """What a student hears through: 40 bands every 10 ms.

    Attributes:
        name: "logmel" or "micro".
        step_frames: frames that the student takes per step.
        window_samples: samples that a frame covers.
    """

    name: str
    step_frames: int
    window_samples: int

    @property
    def step_samples(self) -> int:
        return self.step_frames * HOP_SAMPLES

    def samples(self, frames: int) -> int:
        """Samples that so many frames in a row cover."""
        return (frames - 1) * HOP_SAMPLES + self.window_samples


LOGMEL = FrontEnd("logmel", STEP_FRAMES, spectrum.WINDOW_SAMPLES)
MICRO = FrontEnd("micro", 3, micro.WINDOW_SAMPLES)
FRONT_ENDS = {front_end.name: front_end for front_end in (LOGMEL, MICRO)}
assert micro.BANDS == BANDS


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
    """Features every step: 40 ms on log-mel, 30 ms on the `micro` front end.

    Args:
        channels: width of every layer.
        kernels: taps of each block's depthwise convolution, in steps.
        front_end: what the frames come from.

    Attributes:
        statistics_fixed: batch norms keep their statistics in training, too. A trunk that was trained on many hours
            knows them better than a phrase's batches, which are alike.

    Shape: `[B, 40, T] -> [B, C, S]` with `S = (T - receptive_field_frames) // f + 1` and f the front end's frames per
    step; step s has heard the frames `f s` to `f s + receptive_field_frames`.

    >>> import torch
    >>> trunk = Trunk(channels=16, kernels=(3, 3, 5, 5, 7))
    >>> trunk.receptive_field_frames, trunk(torch.zeros(2, 40, 198)).shape
    (77, torch.Size([2, 16, 31]))
    """

    def __init__(self, *, channels: int, kernels: Sequence[int], front_end: FrontEnd = LOGMEL) -> None:
        super().__init__()
        self.channels = channels
        self.kernels = tuple(kernels)
        self.front_end = front_end
        self.statistics_fixed = False
        self.front = nn.Conv1d(BANDS, channels, FRONT_KERNEL, stride=front_end.step_frames, bias=False)
        self.front_norm = nn.BatchNorm1d(channels)
        self.blocks = nn.ModuleList(SeparableBlock(channels=channels, kernel=kernel) for kernel in kernels)

    @property
    def receptive_field_frames(self) -> int:
        """Frames that one step has heard."""
        return FRONT_KERNEL + self.front_end.step_frames * sum(kernel - 1 for kernel in self.kernels)

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
