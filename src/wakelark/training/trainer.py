"""The trainer: how outputs and targets become the loss. How the steps follow each other is `training_loop`'s part."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from wakelark.errors import DataError
from wakelark.losses.pooling import all_steps_negative, max_pool
from wakelark.losses.supervised import is_positive, supervised_loss
from wakelark.losses.weights import balance_weights, focal_weights, hardness_weights
from wakelark.training.batch import Batch, ForwardPass
from wakelark.training.counters import Counters
from wakelark.training.loss_terms import LossTerms

if TYPE_CHECKING:
    from wakelark.config import LossConfig


class Trainer:
    """Supervised training: cross entropy in which flagged negatives weigh more.

    A subclass may override `compute_loss`, with exactly this signature (checked when the class is made), passing all
    five arguments on to `super().compute_loss`; and `forward` and `auxiliary_loss`, for terms that need more than
    pooled outputs.

    Args:
        model: the student; maps a batch's features to one logit per step, `[B, L]`.
        optimizer: over the parameters of the model and of the companions.
        loss: the weights of the supervised loss.

    Attributes:
        terms: of the last loss, for the metrics.
        companions: modules that are trained and saved with the model and never leave the trainer.
        progress: of the training, from 0 at the first step to 1 at the last; the loop sets it.
    """

    def __init__(self, *, model: nn.Module, optimizer: torch.optim.Optimizer, loss: LossConfig) -> None:
        _check_signature(type(self))  # again: the method may have been replaced after the class was made
        self.model = model
        self.optimizer = optimizer
        self.loss = loss
        self.counters = Counters()
        self.terms = LossTerms()
        self.companions = nn.ModuleDict()
        self.progress = 0.0

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        _check_signature(cls)

    def compute_loss(
        self,
        outputs: Tensor,
        targets: Tensor,
        inputs: Tensor | None = None,
        processed_inputs: Tensor | None = None,
        is_hard_negative: Tensor | None = None,
    ) -> Tensor:
        """The loss of one batch: `sum(w_i * l_i) / B`.

        `w_i` is `loss.hard_negative_weight` for a flagged negative and 1 otherwise; a flag on a positive is ignored and
        counted. None and all zeros give the same bits. `loss.label_smoothing`, `loss.focal_gamma` and
        `loss.negative_weight_end` change `l_i` and `w_i`; they are off by default.

        Args:
            outputs: logits, pooled over time: `[B]` or `[B, 1]` (one logit), or `[B, C]`.
            targets: `[B]`, 0/1 or the class; class 0 is the negative one.
            inputs: raw audio `[B, N]` or `[B, 1, N]`; not used here, a distilling trainer's teacher hears it.
            processed_inputs: the features the outputs were computed from; not used here.
            is_hard_negative: `[B]`, 0/1 or bool.

        Returns:
            A scalar.

        Raises:
            ModelError: the outputs have none of these shapes.
            DataError: targets or flags do not fit the outputs.
        """
        losses = supervised_loss(outputs, targets, self.loss.label_smoothing)
        if self.loss.focal_gamma > 0:
            losses = losses * focal_weights(outputs, targets, self.loss.focal_gamma)
        self.counters.batches += 1
        self.counters.examples += len(losses)
        if is_hard_negative is not None:
            flags = _flags(is_hard_negative, targets)
            positive = is_positive(targets)
            self.counters.weighted_examples += int((flags & ~positive).sum())
            self.counters.flagged_positives += int((flags & positive).sum())
        self.terms.clear()
        return self.terms.add("supervised", self._weighted_mean(losses, targets, is_hard_negative), 1.0)

    def forward(self, batch: Batch) -> ForwardPass:
        """What the model makes of a batch."""
        step_logits = self.model(batch.features)
        return ForwardPass(outputs=max_pool(step_logits, batch.valid_steps), step_logits=step_logits)

    def auxiliary_loss(self, forward: ForwardPass, batch: Batch) -> Tensor:
        """What the loop adds to `compute_loss` of the same batch: the terms that pooled outputs cannot hold.

        So `compute_loss` stays the plain formula. Here it is the supervised loss's second part, every step of a
        negative is to be silent, weighted like the first part: hard negatives, and the factor the first part got.

        Returns:
            A scalar, 0 where no such term is on.
        """
        if self.loss.all_steps_weight == 0:
            return forward.step_logits.new_zeros(())
        losses = all_steps_negative(forward.step_logits, batch.targets, batch.valid_steps)
        weight = self.loss.all_steps_weight * self.terms.weights["supervised"]
        return self.terms.add("steps", self._weighted_mean(losses, batch.targets, batch.is_hard_negative), weight)

    def _weighted_mean(self, losses: Tensor, targets: Tensor, is_hard_negative: Tensor | None) -> Tensor:
        # A factor of exactly 1.0 keeps the bits of an example, so all zeros equal None.
        weights = self._hardness(targets, is_hard_negative)
        weights = weights * balance_weights(targets, progress=self.progress, end=self.loss.negative_weight_end)
        return (losses * weights.to(losses.dtype)).sum() / len(losses)

    def _hardness(self, targets: Tensor, is_hard_negative: Tensor | None) -> Tensor:
        flags = None if is_hard_negative is None else _flags(is_hard_negative, targets)
        return hardness_weights(targets, flags, self.loss.hard_negative_weight)


def _flags(is_hard_negative: Tensor, targets: Tensor) -> Tensor:
    if is_hard_negative.shape != targets.shape:
        raise DataError(
            f"is_hard_negative must have the shape {list(targets.shape)} of the targets, one flag per example, not "
            f"{list(is_hard_negative.shape)}"
        )
    return is_hard_negative.bool()


def _check_signature(cls: type[Trainer]) -> None:
    """Refuse a `compute_loss` whose signature differs from the base's, wherever the class got it from.

    `follow_wrapped=False`: a decorator that takes `*args, **kwargs` could drop an argument behind a copied signature.
    """
    expected = _parameters(Trainer.__dict__["compute_loss"])
    found = _parameters(cls.compute_loss)
    if found == expected:
        return
    home = next(base for base in cls.__mro__ if "compute_loss" in base.__dict__)
    want = ", ".join(f"{name}=None" if default is None else name for name, _, default in expected)
    missing = [name for name, _, _ in expected if name not in [other for other, _, _ in found]]
    detail = f" (missing: {', '.join(missing)})" if missing else ""
    raise TypeError(
        f"{cls.__qualname__}.compute_loss, defined in {home.__qualname__}, must have the signature "
        f"({want}){detail}, but has {inspect.signature(cls.compute_loss, follow_wrapped=False)}; the training loop "
        f"passes all of them by keyword. See docs/knowledge_distillation_guide.md, Issue #7"
    )


def _parameters(function: object) -> list[tuple[str, object, object]]:
    if not callable(function):
        raise TypeError(f"compute_loss must be a method, not {function!r}")
    parameters = inspect.signature(function, follow_wrapped=False).parameters.values()
    return [(parameter.name, parameter.kind, parameter.default) for parameter in parameters]
