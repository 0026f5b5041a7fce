"""Knowledge distillation: the student also learns how sure a stronger teacher is of every clip.

`Total = (1 - alpha) * Weighted_Student_Loss + alpha * KL_Divergence`, where `KL_Divergence = T^2 * KL(teacher ||
student)`, mean over the batch.

Beside that formula, off by default: a gate that lets the teacher speak only where it is right, a regression of its
log-odds, and one of its embeddings.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from typing_extensions import override

from wakelark.errors import ConfigError, DataError, ModelError
from wakelark.losses.kl import distillation_kl
from wakelark.losses.logit import logit_regression, teacher_is_right
from wakelark.losses.pooling import max_pool
from wakelark.models.build import AnyStudent
from wakelark.training.batch import Batch, ForwardPass
from wakelark.training.embedding_regression import EmbeddingRegression
from wakelark.training.teacher import ModuleTeacher, Teacher, check_teacher_logits
from wakelark.training.trainer import Trainer

if TYPE_CHECKING:
    from wakelark.config import DistillationConfig, LossConfig

logger = logging.getLogger(__name__)

# Past this share of batches with NaN or infinite teacher logits, the run is not the one that was asked for.
BROKEN_TEACHER_SHARE = 0.01
BROKEN_TEACHER_GRACE_BATCHES = 100
EMBEDDING_FADE_SHARE = 0.25
"""Over this last share of the training the embedding's term fades out: the student ends on its own task."""


class DistillationTrainer(Trainer):
    """A trainer whose student listens to a teacher, too.

    The teacher hears raw audio. A batch without it (no `inputs`, or spectrograms) gets the plain weighted loss; that
    is counted in `counters`, logged once per reason, or refused with `on_missing_audio="error"`.

    Args:
        model, optimizer, loss: as for `Trainer`.
        teacher: a `Teacher`, or a torch module from float audio `[B, N]` to logits, which is put into evaluation mode.
            It is called without gradients and never trained.
        distillation: `alpha` is the teacher's share (0 is the plain trainer to the bit, 1 only the teacher),
            `temperature` softens both sides (its square keeps the size of the gradients).
        regression: needed when `distillation.embedding_weight` is above 0; the optimizer must hold its parameters.

    Raises:
        ConfigError: no teacher, or embeddings are to be learned without a regression or by a model without a trunk.
    """

    def __init__(
        self,
        *,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        loss: LossConfig,
        distillation: DistillationConfig,
        teacher: Teacher | nn.Module,
        regression: EmbeddingRegression | None = None,
    ) -> None:
        super().__init__(model=model, optimizer=optimizer, loss=loss)
        if isinstance(teacher, nn.Module):
            teacher = ModuleTeacher(teacher)
        if not isinstance(teacher, Teacher):
            raise ConfigError(
                f"distillation needs a teacher, not {teacher!r}: train one first, or switch it off with "
                f"distillation.enabled: false"
            )
        self.teacher = teacher
        self.distillation = distillation
        self._regression = None
        if distillation.embedding_weight > 0:
            if regression is None or not isinstance(model, AnyStudent):
                raise ConfigError(
                    f"distillation.embedding_weight is {distillation.embedding_weight}, but the "
                    + (f"model {type(model).__name__} has no trunk" if regression else "trainer has no regression")
                    + "; set it to 0, or train a student of wakelark.models with a regression (see build_regression)"
                )
            self._regression = self.companions["embedding"] = regression
        self._said: Tensor | None = None  # the teacher's logits of the batch that compute_loss saw last

    @override
    def compute_loss(
        self,
        outputs: Tensor,
        targets: Tensor,
        inputs: Tensor | None = None,
        processed_inputs: Tensor | None = None,
        is_hard_negative: Tensor | None = None,
    ) -> Tensor:
        """`(1 - alpha) * super().compute_loss(...) + alpha * T^2 * KL(teacher || student)`; arguments as there.

        With `distillation.gated`, the divergence of an example is 0 where the teacher's logit has not the sign of the
        label.
        """
        supervised = super().compute_loss(outputs, targets, inputs, processed_inputs, is_hard_negative)
        alpha = self.distillation.alpha
        self._said = None
        if alpha == 0 and self.distillation.logit_weight == 0:
            if self._regression is None:
                self.counters.batches_without_teacher += 1
            return supervised
        said = self._teacher_logits(inputs, len(targets))
        if said is None:
            return supervised
        self._said = said = said.to(outputs.device)
        right = teacher_is_right(said, targets)
        self.counters.distilled_examples += len(targets)
        self.terms.note("teacher_right_share", right.float().mean())
        if alpha == 0:
            return supervised
        divergences = distillation_kl(outputs, said, self.distillation.temperature)
        if self.distillation.gated:
            divergences = divergences * right
        own = self.terms.add("supervised", supervised, 1 - alpha)
        taught = self.terms.add("distillation", divergences.mean(), alpha)
        return taught if alpha == 1 else own + taught

    @override
    def forward(self, batch: Batch) -> ForwardPass:
        if self._regression is None:
            return super().forward(batch)
        assert isinstance(self.model, AnyStudent)
        trunk = self.model.trunk(batch.features)
        step_logits = self.model.head(trunk)
        return ForwardPass(outputs=max_pool(step_logits, batch.valid_steps), step_logits=step_logits, trunk=trunk)

    @override
    def auxiliary_loss(self, forward: ForwardPass, batch: Batch) -> Tensor:
        """As in `Trainer`, and the regressions of the teacher's log-odds and embeddings."""
        total = super().auxiliary_loss(forward, batch)
        if self.distillation.logit_weight > 0 and self._said is not None:
            total = total + self._logit_term(forward.outputs, self._said, batch)
        if self._regression is not None:
            total = total + self._embedding_term(forward, batch, self._regression)
        return total

    def _logit_term(self, outputs: Tensor, said: Tensor, batch: Batch) -> Tensor:
        """Gated, hard negatives weigh more here, too: without that, a sure teacher drowns their weight."""
        losses = logit_regression(outputs, said)
        if self.distillation.gated:
            hardness = self._hardness(batch.targets, batch.is_hard_negative)
            losses = losses * teacher_is_right(said, batch.targets) * hardness
        return self.terms.add("logit", losses.mean(), self.distillation.logit_weight)

    def _embedding_term(self, forward: ForwardPass, batch: Batch, regression: EmbeddingRegression) -> Tensor:
        if batch.teacher_embeddings is None or forward.trunk is None:
            raise DataError(
                "the batch has no teacher embeddings, but distillation.embedding_weight is above 0: give them with "
                "the batch, or set it to 0"
            )
        losses = regression(forward.trunk, batch.teacher_embeddings)
        if self.distillation.alpha == 0 and self.distillation.logit_weight == 0:
            self.counters.distilled_examples += len(losses)
        fade = min(1.0, (1.0 - self.progress) / EMBEDDING_FADE_SHARE)
        return self.terms.add("embedding", losses.mean(), fade * self.distillation.embedding_weight)

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
        if self.distillation.on_missing_audio == "error":
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
