"""The student's trunk learns the teacher's embedding: the part that is only there while it is trained."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from typing_extensions import override

from wakelark.errors import DataError
from wakelark.losses.embedding import Whitening, embedding_regression
from wakelark.training.alignment import Grid, aligned_steps


class EmbeddingRegression(nn.Module):
    """From the trunk's features to one loss per example, through a projection that is trained with the student.

    It belongs to the trainer: its weights are in checkpoints, and no model file ever holds them.

    Args:
        channels: of the trunk.
        whitening: of the teacher's embeddings; its components are the target.
        steps: when the trunk's steps hear what.
        embeddings: when the embeddings do.
        seed: of the projection's start weights.

    Shape: trunk `[B, C, S]`, embeddings `[B, E, D] -> [B]`
    """

    def __init__(self, *, channels: int, whitening: Whitening, steps: Grid, embeddings: Grid, seed: int) -> None:
        super().__init__()
        self.whitening = whitening
        self.projection = nn.Linear(channels, len(whitening.eigenvalues))
        self._steps = steps
        self._embeddings = embeddings
        # Random, as the cosine has no gradient at 0; from a generator of its own, so that no other number changes.
        generator = torch.Generator().manual_seed(seed)
        nn.init.normal_(self.projection.weight, std=channels**-0.5, generator=generator)
        nn.init.zeros_(self.projection.bias)

    @override
    def forward(self, trunk: Tensor, embeddings: Tensor) -> Tensor:
        pairs = aligned_steps(
            self._steps, self._embeddings, step_count=trunk.shape[2], embedding_count=embeddings.shape[1]
        )
        if len(embeddings) != len(trunk) or not pairs:
            raise DataError(
                f"the teacher's embeddings {list(embeddings.shape)} do not belong to the student's {len(trunk)} clips "
                f"of {trunk.shape[2]} steps: pass those of the very same audio, long enough for one step"
            )
        at_steps, at_embeddings = (list(indices) for indices in zip(*pairs, strict=True))
        target = self.whitening(embeddings[:, at_embeddings])
        predicted = self.projection(trunk[:, :, at_steps].transpose(1, 2))
        return embedding_regression(predicted, target, self.whitening.weights)
