"""Knowledge distillation: the student also learns how sure a stronger teacher is of every clip.

`Total = (1 - alpha) * Weighted_Student_Loss + alpha * KL_Divergence`, where `KL_Divergence = T^2 * KL(teacher ||
student)`, mean over the batch.
"""

from __future__ import annotations

import logging
from typing import Literal

import torch
from torch import Tensor, nn
from typing_extensions import override

from wakelark.errors import ConfigError, ModelError
from wakelark.losses.kl import distillation_kl
from wakelark.training.teacher import ModuleTeacher, Teacher, check_teacher_logits
from wakelark.training.trainer import Trainer

logger = logging.getLogger(__name__)

# Past this share of batches with NaN or infinite teacher logits, the run is not the one that was asked for.
BROKEN_TEACHER_SHARE = 0.01
BROKEN_TEACHER_GRACE_BATCHES = 100


class DistillationTrainer(Trainer):
    """A trainer whose student listens to a teacher, too.

    The teacher hears raw audio. A batch without it (no `inputs`, or spectrograms) gets the plain weighted loss; that
    is counted in `counters`, logged once per reason, or refused with `on_missing_audio="error"`.

    Args:
        model, optimizer, hard_negative_weight, all_steps_weight: as for `Trainer`.
        teacher: a `Teacher`, or a torch module from float audio `[B, N]` to logits, which is put into evaluation mode.
            It is called
            without gradients and never trained.
        alpha: share of the teacher; 0 is the plain trainer to the bit, 1 only the teacher.
        temperature: softens both sides; the factor `temperature ** 2` keeps the size of the gradients.
        on_missing_audio: "count" or "error".

    Raises:
        ConfigError: no teacher, or a value outside its range.
    """

    def __init__(
        self,
        *,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        hard_negative_weight: float,
        all_steps_weight: float,
        teacher: Teacher | nn.Module,
        alpha: float,
        temperature: float,
        on_missing_audio: Literal["count", "error"],
    ) -> None:
        super().__init__(
            model=model,
            optimizer=optimizer,
            hard_negative_weight=hard_negative_weight,
            all_steps_weight=all_steps_weight,
        )
        if isinstance(teacher, nn.Module):
            teacher = ModuleTeacher(teacher)
        if not isinstance(teacher, Teacher):
            raise ConfigError(
                f"distillation needs a teacher, not {teacher!r}: train one first, or switch it off with "
                f"distillation.enabled: false"
            )
        if not 0 <= alpha <= 1:
            raise ConfigError(f"distillation.alpha must be between 0 and 1, not {alpha}")
        if not 0 < temperature < float("inf"):
            raise ConfigError(f"distillation.temperature must be above 0, not {temperature}")
        if on_missing_audio not in ("count", "error"):
            raise ConfigError(f'distillation.on_missing_audio must be "count" or "error", not {on_missing_audio!r}')
        self.teacher = teacher
        self.alpha = alpha
        self.temperature = temperature
        self.on_missing_audio = on_missing_audio

    @override
    def compute_loss(
        self,
        outputs: Tensor,
        targets: Tensor,
        inputs: Tensor | None = None,
        processed_inputs: Tensor | None = None,
        is_hard_negative: Tensor | None = None,
    ) -> Tensor:
        """`(1 - alpha) * super().compute_loss(...) + alpha * T^2 * KL(teacher || student)`; arguments as there."""
        supervised = super().compute_loss(outputs, targets, inputs, processed_inputs, is_hard_negative)
        if self.alpha == 0:
            self.counters.batches_without_teacher += 1
            return supervised
        teacher_logits = self._teacher_logits(inputs, len(targets))
        if teacher_logits is None:
            return supervised
        divergence = distillation_kl(outputs, teacher_logits.to(outputs.device), self.temperature).mean()
        self.counters.distilled_examples += len(targets)
        self.parts["distillation"] = divergence.detach()
        if self.alpha == 1:
            return divergence
        return (1 - self.alpha) * supervised + self.alpha * divergence

    @override
    def supervised_share(self, inputs: Tensor | None) -> float:
        return 1.0 if raw_audio(inputs) is None else 1.0 - self.alpha

    def _teacher_logits(self, inputs: Tensor | None, examples: int) -> Tensor | None:
        """What the teacher says, or None, counted and logged, where it cannot say anything."""
        audio = raw_audio(inputs)
        if audio is None:
            self._count_missing_audio(inputs)
            return None
        if len(audio) != examples:
            raise ModelError(f"the raw audio holds {len(audio)} clips, but the batch has {examples} targets")
        with torch.no_grad():
            logits = self.teacher.logits(audio).float()
        check_teacher_logits(logits, examples)
        if not bool(torch.isfinite(logits).all()):
            self._count_broken_teacher(logits)
            return None
        return logits

    def _count_missing_audio(self, inputs: Tensor | None) -> None:
        if inputs is None:
            first = self.counters.batches_without_audio == 0
            self.counters.batches_without_audio += 1
            why = "the batch has no raw audio (inputs is None)"
        else:
            first = self.counters.batches_with_spectrograms == 0
            self.counters.batches_with_spectrograms += 1
            why = f"inputs {list(inputs.shape)} are spectrograms, not raw audio [B, N] or [B, 1, N]"
        if self.on_missing_audio == "error":
            raise ConfigError(
                f"the teacher cannot hear this batch: {why}. Pass the raw audio as `inputs`, or set "
                f"distillation.on_missing_audio: count to train such batches without the teacher"
            )
        if first:
            logger.warning("trained without the teacher: %s; further such batches are only counted", why)

    def _count_broken_teacher(self, logits: Tensor) -> None:
        self.counters.batches_with_broken_teacher += 1
        broken, batches = self.counters.batches_with_broken_teacher, self.counters.batches
        bad = int((~torch.isfinite(logits)).sum())
        logger.warning("the teacher gave %d logits that are not finite; this batch trains without it", bad)
        if batches >= BROKEN_TEACHER_GRACE_BATCHES and broken > BROKEN_TEACHER_SHARE * batches:
            raise ModelError(
                f"the teacher's logits were not finite in {broken} of {batches} batches (allowed: "
                f"{BROKEN_TEACHER_SHARE:.0%}); train the teacher again, or switch it off with distillation.enabled: "
                f"false"
            )


def raw_audio(inputs: Tensor | None) -> Tensor | None:
    """The raw audio in `inputs` as `[B, N]`, or None where there is none.

    `[B, N]` and `[B, 1, N]` are audio; whatever has a frequency axis (`[B, F, T]` with F > 1, `[B, 1, F, T]`) is a
    spectrogram.

    >>> raw_audio(torch.zeros(4, 1, 32000)).shape, raw_audio(torch.zeros(4, 40, 198))
    (torch.Size([4, 32000]), None)

    Raises:
        ModelError: a shape that is neither.
    """
    if inputs is None:
        return None
    if inputs.ndim == 2:
        return inputs
    if inputs.ndim == 3:
        return inputs[:, 0] if inputs.shape[1] == 1 else None
    if inputs.ndim == 4:
        return None
    raise ModelError(
        f"inputs {list(inputs.shape)} are neither raw audio ([B, N], [B, 1, N]) nor spectrograms ([B, F, T], [B, 1, "
        f"F, T])"
    )
