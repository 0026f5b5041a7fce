"""A larger student for those with a GPU: a BC-ResNet that can be streamed.

After B. Kim, S. Chang, J. Lee, D. Sung: Broadcasted Residual Learning for Efficient Keyword Spotting, Interspeech 2021
(arXiv 2106.04140). Blocks look across frequency first, average over it, convolve that average over time, and add the
result to every frequency again; so most of the network is as cheap as a network over time alone.

    log-mel [B, 40, T] -> stem -> 2 + 2 + 4 + 4 blocks -> 5 x 5 -> features [B, C, S] (a step = 40 ms) -> logits [B, S]

It differs from the paper in time, where a stream needs it. Nothing is padded, and residuals are cropped from their
start, so that a clip gives what a stream gives. The stem and the second stage each take every second column, so that a
step is 40 ms as in the other student; dilations are chosen so that each block reaches about as far in seconds as the
paper's. The last kernel takes every second step, and there is no mean over the clip: every step has its logit, and the
trainer pools them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from typing_extensions import override

from wakelark.audio import HOP_SAMPLES
from wakelark.features.logmel import BANDS
from wakelark.features.spectrum import WINDOW_SAMPLES

STEP_FRAMES = 4
STEM_KERNEL, STEM_STRIDE = 5, 2
STEM_CHANNELS = 16
BLOCK_KERNEL = 3
SUB_BANDS = 5
LAST_KERNEL, LAST_DILATION = 5, 2
LAST_BANDS = 5
"""Rows of frequency that are left: 40, halved by the stem and by two stages."""
FEATURE_CHANNELS = 32


@dataclass(frozen=True, slots=True)
class Stage:
    """Blocks of one width; the first changes the width and takes the strides. Channels are those at width 1."""

    blocks: int
    channels: int
    band_stride: int
    time_stride: int
    dilation: int


STAGES = (Stage(2, 8, 1, 1, 1), Stage(2, 12, 2, 2, 1), Stage(4, 16, 2, 1, 1), Stage(4, 20, 1, 1, 2))

Remember = Callable[[Tensor, int], Tensor]
"""Puts that many columns of the past before new ones."""


class SubSpectralNorm(nn.Module):
    """Batch norm with statistics, scales and biases of its own for each of five bands of frequency.

    After S. Chang et al.: SubSpectral Normalization for Neural Audio Data Processing, ICASSP 2021.

    Shape: `[B, C, F, T] -> [B, C, F, T]`, F a multiple of 5
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels * SUB_BANDS)

    @override
    def forward(self, values: Tensor) -> Tensor:
        clips, channels, bands, columns = values.shape
        split = values.reshape(clips, channels * SUB_BANDS, bands // SUB_BANDS, columns)
        return self.norm(split).reshape(values.shape)


class BroadcastBlock(nn.Module):
    """`relu(x + spectral(x) + temporal(mean over frequency of spectral(x)))`; without the x where the width changes.

    Args:
        channels_in, channels: width before and after.
        first: the block is a stage's first: a pointwise convolution changes the width, and there is no `x +`.
        band_stride, time_stride, dilation: of the depthwise convolutions.
        dropout: share of the temporal part's channels that is dropped in training.

    Shape: `[B, channels_in, F, T] -> [B, channels, F / band_stride, (T - reach - 1) // time_stride + 1]`
    """

    def __init__(
        self,
        *,
        channels_in: int,
        channels: int,
        first: bool,
        band_stride: int,
        time_stride: int,
        dilation: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self.first = first
        self.channels = channels
        self.time_stride = time_stride
        self.reach = (BLOCK_KERNEL - 1) * dilation
        if first:
            self.widen = nn.Conv2d(channels_in, channels, 1, bias=False)
            self.widen_norm = nn.BatchNorm2d(channels)
        self.across = nn.Conv2d(
            channels, channels, (BLOCK_KERNEL, 1), stride=(band_stride, 1), padding=(1, 0), groups=channels, bias=False
        )
        self.across_norm = SubSpectralNorm(channels)
        self.along = nn.Conv2d(
            channels,
            channels,
            (1, BLOCK_KERNEL),
            stride=(1, time_stride),
            dilation=(1, dilation),
            groups=channels,
            bias=False,
        )
        self.along_norm = nn.BatchNorm2d(channels)
        self.mix = nn.Conv2d(channels, channels, 1, bias=False)
        self.dropout = nn.Dropout2d(dropout)

    @property
    def kept(self) -> int:
        """Columns of the mean over frequency that a stream keeps."""
        return self.reach + 1 - self.time_stride

    @override
    def forward(self, values: Tensor) -> Tensor:
        return self._apply_block(values, lambda mean: mean, start=self.reach)

    def stream(self, values: Tensor, remember: Remember) -> Tensor:
        """The same for new columns, a multiple of `time_stride`, after remembered ones."""
        return self._apply_block(values, lambda mean: remember(mean, self.kept), start=self.time_stride - 1)

    def _apply_block(self, values: Tensor, join: Callable[[Tensor], Tensor], *, start: int) -> Tensor:
        """`start`: the column at which the first output ends."""
        widened = functional.relu(self.widen_norm(self.widen(values))) if self.first else values
        spectral = self.across_norm(self.across(widened))
        mean = join(spectral.mean(2, keepdim=True))
        temporal = self.dropout(self.mix(functional.silu(self.along_norm(self.along(mean)))))
        residual = spectral if self.first else spectral + values
        return functional.relu(residual[..., start :: self.time_stride] + temporal)


class BcTrunk(nn.Module):
    """Features every 40 ms: everything but the last layer.

    Args:
        width: multiplies all channels; the paper's BC-ResNet-1 to -8.
        dropout: of the blocks.

    Shape: `[B, 40, T] -> [B, channels, S]` with `S = (T - receptive_field_frames) // 4 + 1`
    """

    def __init__(self, *, width: float, dropout: float) -> None:
        super().__init__()
        self.channels = scaled(FEATURE_CHANNELS, width)
        channels = scaled(STEM_CHANNELS, width)
        self.stem = nn.Conv2d(1, channels, STEM_KERNEL, stride=(2, STEM_STRIDE), padding=(2, 0), bias=False)
        self.stem_norm = nn.BatchNorm2d(channels)
        blocks: list[BroadcastBlock] = []
        for stage in STAGES:
            for number in range(stage.blocks):
                first = number == 0
                blocks.append(
                    BroadcastBlock(
                        channels_in=channels,
                        channels=scaled(stage.channels, width),
                        first=first,
                        band_stride=stage.band_stride if first else 1,
                        time_stride=stage.time_stride if first else 1,
                        dilation=stage.dilation,
                        dropout=dropout,
                    )
                )
                channels = blocks[-1].channels
        self.blocks = nn.ModuleList(blocks)
        self.last = nn.Conv2d(
            channels, channels, (LAST_BANDS, LAST_KERNEL), dilation=(1, LAST_DILATION), groups=channels, bias=False
        )
        self.widen = nn.Conv2d(channels, self.channels, 1, bias=False)
        self.widen_norm = nn.BatchNorm2d(self.channels)

    def each_block(self) -> Iterator[BroadcastBlock]:
        """The blocks in order."""
        return (cast(BroadcastBlock, block) for block in self.blocks)

    @property
    def receptive_field_frames(self) -> int:
        """Log-mel frames that one step has heard."""
        frames, column = STEM_KERNEL, STEM_STRIDE
        for block in self.each_block():
            frames += block.reach * column
            column *= block.time_stride
        return frames + (LAST_KERNEL - 1) * LAST_DILATION * column

    @override
    def forward(self, features: Tensor) -> Tensor:
        values = self._stem(features[:, None])
        for block in self.blocks:
            values = block(values)
        return self._last(values)

    def stream(self, features: Tensor, remember: Remember) -> Tensor:
        """The same for `4 n` new frames after remembered ones. Shape: `[B, 40, 4 n] -> [B, channels, n]`"""
        values = self._stem(remember(features[:, None], STEM_KERNEL - STEM_STRIDE))
        for block in self.each_block():
            values = block.stream(values, remember)
        return self._last(remember(values, (LAST_KERNEL - 1) * LAST_DILATION))

    @property
    def state_size(self) -> int:
        """Length of all that `stream` remembers."""
        blocks = list(self.each_block())
        last = blocks[-1].channels * LAST_BANDS * (LAST_KERNEL - 1) * LAST_DILATION
        return BANDS * (STEM_KERNEL - STEM_STRIDE) + sum(block.channels * block.kept for block in blocks) + last

    def _stem(self, images: Tensor) -> Tensor:
        return functional.relu(self.stem_norm(self.stem(images)))

    def _last(self, values: Tensor) -> Tensor:
        return functional.relu(self.widen_norm(self.widen(self.last(values)))).squeeze(2)


class LogitHead(nn.Module):
    """One logit per step. Shape: `[B, C, S] -> [B, S]`"""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.out = nn.Conv1d(channels, 1, 1)

    @override
    def forward(self, features: Tensor) -> Tensor:
        return self.out(features).squeeze(1)


class BcResNet(nn.Module):
    """Per-step logits of the phrase; the face is that of `wakelark.models.student.Student`.

    Args:
        width: multiplies all channels; the paper's BC-ResNet-1 to -8.
        dropout: share of a block's channels that is dropped in training.

    Shape: `[B, 40, T] -> [B, L]` with `L = (T - 153) // 4 + 1`; logit l has heard the frames `4 l` to `4 l + 153`.

    >>> student = BcResNet(width=1, dropout=0.1)
    >>> student.receptive_field_frames, student(torch.zeros(2, 40, 198)).shape
    (153, torch.Size([2, 12]))
    """

    step_samples = STEP_FRAMES * HOP_SAMPLES

    def __init__(self, *, width: float, dropout: float) -> None:
        super().__init__()
        self.width = width
        self.dropout = dropout
        self.trunk = BcTrunk(width=width, dropout=dropout)
        self.head = LogitHead(self.trunk.channels)

    @property
    def receptive_field_frames(self) -> int:
        """Log-mel frames that one logit has heard."""
        return self.trunk.receptive_field_frames

    @property
    def receptive_field_samples(self) -> int:
        """Samples that one logit has heard."""
        return (self.receptive_field_frames - 1) * HOP_SAMPLES + WINDOW_SAMPLES

    @property
    def state_size(self) -> int:
        """Length of the flat state of `stream`."""
        return self.trunk.state_size

    @override
    def forward(self, features: Tensor) -> Tensor:
        return self.head(self.trunk(features))

    def stream(self, features: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """The next steps of a stream, with everything remembered in one flat state that starts as zeros.

        In evaluation mode this gives the logits of `forward` over all frames so far, once
        `receptive_field_frames` have gone in. The exported graph works the same way.

        Shape: `[B, 40, 4 n], [B, state_size] -> [B, n], [B, state_size]`
        """
        kept: list[Tensor] = []
        position = 0

        def remember(values: Tensor, columns: int) -> Tensor:
            nonlocal position
            clips, channels, bands, _ = values.shape
            size = channels * bands * columns
            past = state[:, position : position + size].reshape(clips, channels, bands, columns)
            position += size
            joined = torch.cat([past, values], dim=3)
            kept.append(joined[..., joined.shape[3] - columns :].flatten(1))
            return joined

        logits = self.head(self.trunk.stream(features, remember))
        return logits, torch.cat(kept, dim=1)


def scaled(channels: int, width: float) -> int:
    """Channels at a width. The paper's widths give whole numbers; others are rounded.

    >>> scaled(20, 1.5), scaled(8, 0.7)
    (30, 6)
    """
    return max(1, round(channels * width))
