"""The accurate model's own part: small heads on the frozen speech embedding, calibrated and averaged."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from typing_extensions import override

from wakelark.features.embedding import EMBEDDING_HOP_SAMPLES, EMBEDDING_SIZE

MIN_DEVIATION = 1e-3


class EmbeddingHead(nn.Module):
    """Per-step logits from a window of embeddings that slides by one step (80 ms).

    Args:
        context_steps: embeddings in a window.
        hidden: width of the first layer; the second has half of it.
        dropout: share of the inputs and of the hidden values that is dropped in training.

    Shape: `[B, E, 96] -> [B, E - context_steps + 1]`; logit s has heard the embeddings s to s + context_steps.

    >>> EmbeddingHead(context_steps=10, hidden=32, dropout=0.3)(torch.zeros(2, 16, 96)).shape
    torch.Size([2, 7])
    """

    mean: Tensor
    deviation: Tensor
    step_samples = EMBEDDING_HOP_SAMPLES

    def __init__(self, *, context_steps: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.context_steps = context_steps
        self.register_buffer("mean", torch.zeros(EMBEDDING_SIZE))
        self.register_buffer("deviation", torch.ones(EMBEDDING_SIZE))
        self.dropout = nn.Dropout(dropout)
        self.window = nn.Conv1d(EMBEDDING_SIZE, hidden, context_steps)
        self.mix = nn.Conv1d(hidden, max(1, hidden // 2), 1)
        self.out = nn.Conv1d(max(1, hidden // 2), 1, 1)

    def set_statistics(self, embeddings: Tensor) -> None:
        """Take the mean and deviation of each of the 96 values from training embeddings.

        Shape: `[..., 96]`
        """
        rows = embeddings.reshape(-1, EMBEDDING_SIZE).double()
        self.mean.copy_(rows.mean(0))
        self.deviation.copy_(rows.std(0, correction=0).clamp_min(MIN_DEVIATION))

    @override
    def forward(self, embeddings: Tensor) -> Tensor:
        scaled = ((embeddings - self.mean) / self.deviation).transpose(1, 2)
        values = functional.relu(self.window(self.dropout(scaled)))
        values = functional.relu(self.mix(self.dropout(values)))
        return self.out(values).squeeze(1)


class HeadEnsemble(nn.Module):
    """The mean of the heads' calibrated logits: `mean_i(logit_i / temperature_i + bias_i)`.

    Args:
        heads: heads with the same `context_steps`.
        temperatures, biases: one of each per head, from calibration on development clips.

    Raises:
        ValueError: no heads, heads of different context, or not one temperature (> 0) and bias per head.

    Shape: `[B, E, 96] -> [B, E - context_steps + 1]`
    """

    temperatures: Tensor
    biases: Tensor
    step_samples = EMBEDDING_HOP_SAMPLES

    def __init__(
        self, heads: Sequence[EmbeddingHead], *, temperatures: Sequence[float], biases: Sequence[float]
    ) -> None:
        super().__init__()
        if len({head.context_steps for head in heads}) != 1:
            raise ValueError(f"an ensemble needs heads of one context, got {[head.context_steps for head in heads]}")
        if not len(heads) == len(temperatures) == len(biases) or min(temperatures) <= 0:
            raise ValueError(
                f"{len(heads)} heads need as many temperatures above 0 and biases, got {temperatures} and {biases}"
            )
        self.members = nn.ModuleList(heads)
        self.context_steps = heads[0].context_steps
        self.register_buffer("temperatures", torch.tensor(list(temperatures), dtype=torch.float32))
        self.register_buffer("biases", torch.tensor(list(biases), dtype=torch.float32))

    @property
    def heads(self) -> list[EmbeddingHead]:
        """The heads in order."""
        return [cast(EmbeddingHead, member) for member in self.members]

    @override
    def forward(self, embeddings: Tensor) -> Tensor:
        logits = torch.stack([head(embeddings) for head in self.heads])
        return (logits / self.temperatures[:, None, None] + self.biases[:, None, None]).mean(0)
