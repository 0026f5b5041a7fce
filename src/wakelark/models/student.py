"""The tiny model's network: a causal temporal convolution network over log-mel frames.

    log-mel [B, 40, T] -> trunk (a step = 40 ms) [B, C, S] -> head -> logits [B, L]

For ESPHome's devices the same network hears the frames of their `micro` front end, a step = 30 ms.

Nothing is padded in time, so a clip gives what a stream gives after its receptive field is full.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional
from typing_extensions import override

from wakelark.features.logmel import BANDS
from wakelark.models.trunk import FRONT_KERNEL, LOGMEL, FrontEnd, Trunk


class PhraseHead(nn.Module):
    """The phrase's part: a few templates of how the trunk's features follow each other while it is spoken.

    The features are first narrowed to `rank` values, so that templates over many steps stay small:
    `out(relu(templates(narrow(x))))`.

    Args:
        channels: of the trunk.
        rank: values per step that the templates see.
        templates: how many.
        taps, dilation: a template looks at `taps` steps, every `dilation`-th one.
        dropout: share of the trunk's features that is dropped in training.

    Shape: `[B, C, S] -> [B, S - (taps - 1) * dilation]`
    """

    def __init__(self, *, channels: int, rank: int, templates: int, taps: int, dilation: int, dropout: float) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.narrow = nn.Conv1d(channels, rank, 1)
        self.templates = nn.Conv1d(rank, templates, taps, dilation=dilation)
        self.out = nn.Conv1d(templates, 1, 1)

    @property
    def rank(self) -> int:
        """Values per step that the templates see."""
        return self.narrow.out_channels

    @property
    def steps_before(self) -> int:
        """Steps of the past that a logit needs beside its own."""
        return (self.templates.kernel_size[0] - 1) * self.templates.dilation[0]

    def match(self, narrowed: Tensor) -> Tensor:
        """Logits of narrowed features. Shape: `[B, rank, S] -> [B, S - steps_before]`"""
        return self.out(functional.relu(self.templates(narrowed))).squeeze(1)

    @override
    def forward(self, features: Tensor) -> Tensor:
        return self.match(self.narrow(self.dropout(features)))


class Student(nn.Module):
    """Per-step logits of the phrase.

    Args:
        channels, kernels: of the trunk.
        rank, templates, taps, dilation, dropout: of the head.
        front_end: what the frames come from.

    Shape: `[B, 40, T] -> [B, L]` with `L = (T - receptive_field_frames) // f + 1` and f the front end's frames per
    step (4 for log-mel, 3 for `micro`); logit l has heard the frames `f l` to `f l + receptive_field_frames`.

    >>> student = Student(
    ...     channels=16, kernels=(3, 5), rank=4, templates=8, taps=10, dilation=2, dropout=0.0
    ... )
    >>> student.receptive_field_frames, student(torch.zeros(2, 40, 198)).shape
    (101, torch.Size([2, 25]))
    """

    def __init__(
        self,
        *,
        channels: int,
        kernels: Sequence[int],
        rank: int,
        templates: int,
        taps: int,
        dilation: int,
        dropout: float,
        front_end: FrontEnd = LOGMEL,
    ) -> None:
        super().__init__()
        self.trunk = Trunk(channels=channels, kernels=kernels, front_end=front_end)
        self.head = PhraseHead(
            channels=channels, rank=rank, templates=templates, taps=taps, dilation=dilation, dropout=dropout
        )

    @property
    def front_end(self) -> FrontEnd:
        """What it hears through."""
        return self.trunk.front_end

    @property
    def step_samples(self) -> int:
        """Samples between two logits."""
        return self.front_end.step_samples

    @property
    def receptive_field_frames(self) -> int:
        """Frames that one logit has heard."""
        return self.trunk.receptive_field_frames + self.front_end.step_frames * self.head.steps_before

    @property
    def receptive_field_samples(self) -> int:
        """Samples that one logit has heard."""
        return self.front_end.samples(self.receptive_field_frames)

    @property
    def state_size(self) -> int:
        """Length of the flat state of `stream`: a frame (`micro`: 2), `kernel - 1` steps per block, the head's past."""
        blocks = self.trunk.channels * sum(kernel - 1 for kernel in self.trunk.kernels)
        return BANDS * (FRONT_KERNEL - self.front_end.step_frames) + blocks + self.head.rank * self.head.steps_before

    @override
    def forward(self, features: Tensor) -> Tensor:
        return self.head(self.trunk(features))

    def stream(self, features: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """The next steps of a stream, with everything remembered in one flat state that starts as zeros.

        In evaluation mode this gives the logits of `forward` over all frames so far, once
        `receptive_field_frames` have gone in. The exported graph works the same way.

        Shape: `[B, 40, f n], [B, state_size] -> [B, n], [B, state_size]`, f frames per step
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

        values = _trunk_steps(self.trunk, features, remember)
        logits = self.head.match(remember(self.head.narrow(values), self.head.steps_before))
        return logits, torch.cat(kept, dim=1)


def _trunk_steps(trunk: Trunk, features: Tensor, remember: Callable[[Tensor, int], Tensor]) -> Tensor:
    frames = remember(features, FRONT_KERNEL - trunk.front_end.step_frames)
    values = functional.relu(trunk.front_norm(trunk.front(frames)))
    for block, kernel in zip(trunk.blocks, trunk.kernels, strict=True):
        values = block(remember(values, kernel - 1))
    return values
