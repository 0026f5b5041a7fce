"""The tiny model's network: a causal temporal convolution network over log-mel frames.

    log-mel [B, 40, T] -> conv, kernel 5, stride 4 (a step = 40 ms) -> residual depthwise-separable blocks -> logits

Nothing is padded in time, so a clip gives what a stream gives after its receptive field is full.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional
from typing_extensions import override

from wakelark.audio import HOP_SAMPLES
from wakelark.features.logmel import BANDS
from wakelark.features.spectrum import WINDOW_SAMPLES

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


class Student(nn.Module):
    """Per-step logits of the phrase.

    Args:
        channels: width of every layer.
        kernels: taps of each block's depthwise convolution, in steps of 40 ms.
        dropout: share of the last features that is dropped in training.

    Shape: `[B, 40, T] -> [B, S]` with `S = (T - receptive_field_frames) // 4 + 1`; step s has heard the frames
    `4 s` to `4 s + receptive_field_frames`.

    >>> student = Student(channels=16, kernels=(3, 5), dropout=0.0)
    >>> student.receptive_field_frames, student(torch.zeros(2, 40, 198)).shape
    (29, torch.Size([2, 43]))
    """

    step_samples = STEP_SAMPLES

    def __init__(self, *, channels: int, kernels: Sequence[int], dropout: float) -> None:
        super().__init__()
        self.channels = channels
        self.kernels = tuple(kernels)
        self.front = nn.Conv1d(BANDS, channels, FRONT_KERNEL, stride=STEP_FRAMES, bias=False)
        self.front_norm = nn.BatchNorm1d(channels)
        self.blocks = nn.ModuleList(SeparableBlock(channels=channels, kernel=kernel) for kernel in kernels)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Conv1d(channels, 1, 1)

    @property
    def receptive_field_frames(self) -> int:
        """Log-mel frames that one logit has heard."""
        return FRONT_KERNEL + STEP_FRAMES * sum(kernel - 1 for kernel in self.kernels)

    @property
    def receptive_field_samples(self) -> int:
        """Samples that one logit has heard."""
        return (self.receptive_field_frames - 1) * HOP_SAMPLES + WINDOW_SAMPLES

    @property
    def state_size(self) -> int:
        """Length of the flat state of `stream`: one frame, then `kernel - 1` steps before each block."""
        return BANDS * (FRONT_KERNEL - STEP_FRAMES) + self.channels * sum(kernel - 1 for kernel in self.kernels)

    def trunk(self, features: Tensor) -> Tensor:
        """What the last block gives: the features that the logit is a weighted sum of.

        Shape: `[B, 40, T] -> [B, C, S]`
        """
        values = functional.relu(self.front_norm(self.front(features)))
        for block in self.blocks:
            values = block(values)
        return values

    @override
    def forward(self, features: Tensor) -> Tensor:
        return self.head(self.dropout(self.trunk(features))).squeeze(1)

    def stream(self, features: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """The next steps of a stream, with everything remembered in one flat state that starts as zeros.

        In evaluation mode this gives the logits of `forward` over all frames so far, once
        `receptive_field_frames` have gone in. The exported graph works the same way.

        Shape: `[B, 40, 4 n], [B, state_size] -> [B, n], [B, state_size]`
        """
        kept: list[Tensor] = []
        position = 0

        def remember(values: Tensor, steps: int) -> Tensor:
            nonlocal position
            size = values.shape[1] * steps
            past = state[:, position : position + size].reshape(len(values), values.shape[1], steps)
            position += size
            joined = torch.cat([past, values], dim=2)
            kept.append(joined[..., joined.shape[2] - steps :].flatten(1))
            return joined

        values = functional.relu(self.front_norm(self.front(remember(features, FRONT_KERNEL - STEP_FRAMES))))
        for block, kernel in zip(self.blocks, self.kernels, strict=True):
            values = block(remember(values, kernel - 1))
        return self.head(values).squeeze(1), torch.cat(kept, dim=1)
