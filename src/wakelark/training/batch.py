"""What one training step sees, and what the student makes of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """One batch, all on the model's device.

    Attributes:
        targets: `[B]`, 0/1.
        features: `[B, ...]`, what the model takes.
        raw_audio: `[B, N]`, 16 kHz, int16 or float in [-1, 1], the very audio the features were computed from; None
            trains the batch without the teacher.
        teacher_embeddings: `[B, E, D]`, the teacher's embeddings of that audio; needed when the student learns them.
        is_hard_negative: `[B]`, 0/1 or bool; None means none.
        valid_steps: `[B, L]`, bool: the model's steps that are pooled; None means all.
        examples: for each row, where it comes from (clip id or index), named when the batch breaks the training.
    """

    targets: Tensor
    features: Tensor
    raw_audio: Tensor | None = None
    teacher_embeddings: Tensor | None = None
    is_hard_negative: Tensor | None = None
    valid_steps: Tensor | None = None
    examples: Sequence[str | int] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ForwardPass:
    """What a student made of a batch.

    Attributes:
        outputs: `[B]`, pooled over time.
        step_logits: `[B, L]`.
        trunk: `[B, C, S]`, the features its head saw; only where a term of the loss asks for them.
    """

    outputs: Tensor
    step_logits: Tensor
    trunk: Tensor | None = None
