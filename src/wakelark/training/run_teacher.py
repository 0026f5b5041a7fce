"""A finished run's student as a teacher, of any size: a large one teaches a small one."""

from __future__ import annotations

import torch
from torch import Tensor
from typing_extensions import override

from wakelark.audio import HOP_SAMPLES
from wakelark.errors import DataError
from wakelark.features.logmel_torch import LogMel
from wakelark.features.spectrum import WINDOW_SAMPLES
from wakelark.losses.pooling import max_pool
from wakelark.models.build import AnyStudent
from wakelark.training.teacher import EmbeddingGrid, Teacher, as_float, weights_fingerprint

_BLOCK = 64


class RunTeacher(Teacher):
    """Says of a clip what a student says at its loudest step; its embeddings are the features of its trunk.

    Args:
        student: trained; it is put into evaluation mode.
    """

    def __init__(self, student: AnyStudent) -> None:
        self._student = student.eval()
        self._front_end = LogMel()
        reach = torch.tensor([student.receptive_field_frames, student.step_samples])
        self._fingerprint = weights_fingerprint({**student.state_dict(), "reach": reach})

    @property
    @override
    def fingerprint(self) -> str:
        return self._fingerprint

    @property
    @override
    def grid(self) -> EmbeddingGrid:
        trunk = self._student.trunk
        span = (trunk.receptive_field_frames - 1) * HOP_SAMPLES + WINDOW_SAMPLES
        return EmbeddingGrid(self._student.step_samples, span, trunk.channels)

    @override
    def logits(self, audio: Tensor) -> Tensor:
        """The loudest step's logit of every clip.

        Shape: `[B, N] -> [B]`

        Raises:
            DataError: the clips are shorter than what the student hears at a time.
        """
        if audio.shape[1] < self._student.receptive_field_samples:
            raise DataError(
                f"clips of {audio.shape[1]} samples are too short for a teacher that hears "
                f"{self._student.receptive_field_samples} at a time; use longer clips"
            )
        self._student.eval()  # also when its owner has called train() on it since
        with torch.no_grad():
            pooled = [max_pool(self._student(self._frames(block))) for block in audio.split(_BLOCK)]
        return torch.cat(pooled).to(audio.device)

    @override
    def embeddings(self, audio: Tensor) -> Tensor:
        self._student.eval()
        with torch.no_grad():
            features = [self._student.trunk(self._frames(block)) for block in audio.split(_BLOCK)]
        return torch.cat(features).transpose(1, 2).to(audio.device)

    def _frames(self, audio: Tensor) -> Tensor:
        return self._front_end(as_float(audio).cpu())
