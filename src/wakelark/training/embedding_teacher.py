"""The default teacher: the accurate model, small heads on the frozen speech embedding."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from typing_extensions import override

from wakelark.errors import DataError
from wakelark.features.embedding import (
    EMBEDDING_HOP_SAMPLES,
    EMBEDDING_SIZE,
    EMBEDDING_SPAN_SAMPLES,
    SpeechEmbedding,
    embedding_count,
)
from wakelark.losses.pooling import max_pool
from wakelark.models.heads import HeadEnsemble
from wakelark.training.teacher import EmbeddingGrid, Teacher, as_float, weights_fingerprint

_BLOCK = 2048


class EmbeddingTeacher(Teacher):
    """Says of a clip what the accurate model says at its loudest step.

    Args:
        embedding: the frozen embedding with its front end.
        heads: trained and calibrated; they are put into evaluation mode.
    """

    def __init__(self, *, embedding: SpeechEmbedding, heads: HeadEnsemble) -> None:
        self._embedding = embedding
        self._heads = heads.eval()
        weights = {f"embedding.{name}": value for name, value in embedding.named_buffers()}
        self._fingerprint = weights_fingerprint({**weights, **heads.state_dict()})

    @property
    @override
    def fingerprint(self) -> str:
        return self._fingerprint

    @override
    def logits(self, audio: Tensor) -> Tensor:
        """The loudest step's logit of every clip.

        Shape: `[B, N] -> [B]`

        Raises:
            DataError: the clips are shorter than the heads' window.
        """
        steps = embedding_count(audio.shape[1])
        if steps < self._heads.context_steps:
            raise DataError(
                f"clips of {audio.shape[1]} samples give {steps} embeddings, but the teacher's heads hear "
                f"{self._heads.context_steps} at a time; use longer clips or a smaller teacher.context_steps"
            )
        embeddings = self.embeddings(audio).cpu().numpy()
        return torch.from_numpy(self.logits_of_embeddings(embeddings)).to(audio.device)

    @property
    @override
    def grid(self) -> EmbeddingGrid:
        return EmbeddingGrid(EMBEDDING_HOP_SAMPLES, EMBEDDING_SPAN_SAMPLES, EMBEDDING_SIZE)

    @override
    def embeddings(self, audio: Tensor) -> Tensor:
        """The frozen speech embedding, before the heads.

        Shape: `[B, N] -> [B, (N - 12512) // 1280 + 1, 96]`
        """
        return torch.from_numpy(self._embedding.embed(as_float(audio).cpu().numpy())).to(audio.device)

    def logits_of_embeddings(self, embeddings: NDArray[np.float16] | NDArray[np.float32]) -> NDArray[np.float32]:
        """The same from embeddings that were stored: fills a `CachedTeacher` in seconds.

        Shape: `[V, E, 96] -> [V]`
        """
        self._heads.eval()
        logits = np.empty(len(embeddings), np.float32)
        with torch.no_grad():
            for first in range(0, len(embeddings), _BLOCK):
                block = torch.from_numpy(np.asarray(embeddings[first : first + _BLOCK], np.float32))
                logits[first : first + _BLOCK] = max_pool(self._heads(block)).numpy()
        return logits
