"""A Hugging Face model as a teacher: by its own fine-tuned head, or by a small head of ours on its frozen states."""

from __future__ import annotations

from torch import Tensor
from typing_extensions import override

from wakelark.corpus.cache import content_key
from wakelark.errors import ModelError
from wakelark.training.huggingface_model import HuggingFaceModel
from wakelark.training.pooled_head import PooledHead, pooled
from wakelark.training.teacher import EmbeddingGrid, Teacher, weights_fingerprint


class HuggingFaceTeacher(Teacher):
    """The log-odds of the phrase; its embeddings are the mean of the layers' hidden states.

    Args:
        model: from a directory.
        head: for a bare backbone; None for a model that classifies.

    Raises:
        ModelError: a bare backbone without a head, or a head beside the model's own.
    """

    def __init__(self, model: HuggingFaceModel, *, head: PooledHead | None) -> None:
        if model.classifies == (head is not None):
            raise ModelError("a Hugging Face teacher needs one head: that of a fine-tuned model, or ours on a backbone")
        self._model = model
        self._head = head

    @property
    @override
    def fingerprint(self) -> str:
        if self._head is None:
            return self._model.fingerprint
        return content_key(self._model.fingerprint, weights_fingerprint(self._head.state()))

    @property
    @override
    def grid(self) -> EmbeddingGrid:
        return self._model.grid

    @override
    def logits(self, audio: Tensor) -> Tensor:
        """Log-odds of the phrase in every clip. Shape: `[B, N] -> [B]`"""
        if self._head is None:
            return self._model.class_logits(audio).to(audio.device)
        return self._head(pooled(self._model.hidden_states(audio))).to(audio.device)

    @override
    def embeddings(self, audio: Tensor) -> Tensor:
        return self._model.hidden_states(audio).to(audio.device)
