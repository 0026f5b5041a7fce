"""Both networks behind one face: features in, one logit per step out, and when each step ends."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from typing_extensions import override

from wakelark.audio import HOP_SAMPLES, SAMPLE_RATE
from wakelark.features.embedding import EMBEDDING_HOP_SAMPLES, EMBEDDING_SPAN_SAMPLES
from wakelark.models.build import AnyStudent
from wakelark.models.heads import HeadEnsemble

_BLOCK = 20_000  # feature frames scored at a time: bounds the memory of long streams


class Features(Protocol):
    """What a clip or a stream offers: log-mel `[T, 40]` and embeddings `[E, 96]`, float16.

    For a student on the `micro` front end `logmel` holds that front end's frames: they are its log-mel.
    """

    @property
    def logmel(self) -> NDArray[np.float16]: ...

    @property
    def embeddings(self) -> NDArray[np.float16]: ...


class Network(ABC):
    """A detector offline.

    Attributes:
        step_s: time between two scores.
        first_s: end of the first score's step, from the start of the audio.
    """

    step_s: float
    first_s: float

    @abstractmethod
    def logits(self, features: Features) -> NDArray[np.float32]:
        """One logit per step, `[S]`."""

    def scores(self, features: Features) -> NDArray[np.float64]:
        """One probability per step, `[S]`."""
        return probability(self.logits(features))


class AccurateNetwork(Network):
    """The calibrated heads on the frozen embedding."""

    def __init__(self, heads: HeadEnsemble) -> None:
        self.heads = heads.eval()
        self.context = heads.context_steps
        self.step_s = EMBEDDING_HOP_SAMPLES / SAMPLE_RATE
        self.first_s = (EMBEDDING_SPAN_SAMPLES + (self.context - 1) * EMBEDDING_HOP_SAMPLES) / SAMPLE_RATE

    @override
    def logits(self, features: Features) -> NDArray[np.float32]:
        return _in_blocks(features.embeddings, self.context, 1, self.heads, device=self.heads.temperatures.device)


class TinyNetwork(Network):
    """The student on the frames of its front end."""

    def __init__(self, student: AnyStudent) -> None:
        self.student = student.eval()
        self.receptive = student.receptive_field_frames
        self.stride = student.step_samples // HOP_SAMPLES
        self.step_s = student.step_samples / SAMPLE_RATE
        self.first_s = student.receptive_field_samples / SAMPLE_RATE

    @override
    def logits(self, features: Features) -> NDArray[np.float32]:
        return _in_blocks(
            features.logmel, self.receptive, self.stride, lambda frames: self.student(frames.transpose(1, 2)),
            device=next(self.student.parameters()).device,
        )  # fmt: skip


class ShiftedNetwork(Network):
    """A network as its model file says it: with the shift that export folds in."""

    def __init__(self, network: Network, logit_shift: float) -> None:
        self.network, self.logit_shift = network, logit_shift
        self.step_s, self.first_s = network.step_s, network.first_s

    @override
    def logits(self, features: Features) -> NDArray[np.float32]:
        return self.network.logits(features) + np.float32(self.logit_shift)


def probability(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    """Scores of logits. Shape: `[S] -> [S]`"""
    return 1.0 / (1.0 + np.exp(-logits.astype(np.float64)))


def _in_blocks(
    frames: NDArray[np.float16],
    receptive: int,
    stride: int,
    network: Callable[[torch.Tensor], torch.Tensor],
    *,
    device: torch.device,
) -> NDArray[np.float32]:
    """Apply a valid, strided network in overlapping blocks, where it lies; equal to one pass over everything."""
    steps = (len(frames) - receptive) // stride + 1
    if steps <= 0:
        return np.zeros(0, np.float32)
    per_block = max(1, _BLOCK // stride)
    pieces = []
    with torch.no_grad():
        for first in range(0, steps, per_block):
            last = min(first + per_block, steps)
            block = np.asarray(frames[first * stride : (last - 1) * stride + receptive], np.float32)
            pieces.append(network(torch.from_numpy(block).to(device)[None])[0].cpu().numpy())
    return np.concatenate(pieces)
