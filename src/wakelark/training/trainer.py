"""The trainer: how outputs and targets become the loss. How the steps follow each other is `training_loop`'s part."""

from __future__ import annotations

import inspect

import torch
from torch import Tensor, nn

from wakelark.errors import ConfigError, DataError
from wakelark.losses.pooling import all_steps_negative
from wakelark.losses.supervised import is_positive, supervised_loss
from wakelark.training.counters import Counters


class Trainer:
    """Supervised training: cross entropy in which flagged negatives weigh more.

    A subclass may override `compute_loss`, with exactly this signature (checked when the class is made), and
    `supervised_share`. An override must pass all five arguments on to `super().compute_loss`.

    Args:
        model: the student; maps a batch's features to one logit per step, `[B, L]`.
        optimizer: over the model's parameters.
        hard_negative_weight: of a flagged negative; all others weigh 1.0.
        all_steps_weight: of the term that asks every step of a negative to be silent.

    Raises:
        ConfigError: a weight is negative.
    """

    def __init__(
        self,
        *,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        hard_negative_weight: float,
        all_steps_weight: float,
    ) -> None:
        _check_signature(type(self))  # again: the method may have been replaced after the class was made
        for name, value in (("hard_negative_weight", hard_negative_weight), ("all_steps_weight", all_steps_weight)):
            if not 0 <= value < float("inf"):
                raise ConfigError(f"loss.{name} must be a number of at least 0, not {value}")
        self.model = model
        self.optimizer = optimizer
        self.hard_negative_weight = hard_negative_weight
        self.all_steps_weight = all_steps_weight
        self.counters = Counters()
        self.parts: dict[str, Tensor] = {}  # of the last loss, detached, for the metrics

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

        `w_i` is `hard_negative_weight` for a flagged negative and 1 otherwise; a flag on a positive is ignored and
        counted. None and all zeros give the same bits.

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
        losses = supervised_loss(outputs, targets)
        self.counters.batches += 1
        self.counters.examples += len(losses)
        if is_hard_negative is not None:
            flags = _flags(is_hard_negative, targets)
            positive = is_positive(targets)
            self.counters.weighted_examples += int((flags & ~positive).sum())
            self.counters.flagged_positives += int((flags & positive).sum())
        loss = self._weighted_mean(losses, targets, is_hard_negative)
        self.parts = {"supervised": loss.detach()}
        return loss

    def supervised_share(self, inputs: Tensor | None) -> float:
        """The factor of the supervised loss in this batch's total: 1 here, `1 - alpha` where a teacher takes part."""
        return 1.0

    def step_penalty(
        self,
        step_logits: Tensor,
        targets: Tensor,
        inputs: Tensor | None,
        is_hard_negative: Tensor | None,
        valid_steps: Tensor | None,
    ) -> Tensor:
        """The supervised loss's second part, which pooled outputs cannot hold: every step of a negative is to be
        silent.

        It is weighted like the first part (hard negatives, `supervised_share`) and added to `compute_loss` by the
        training loop, so that `compute_loss` stays the plain formula.

        Shape: step_logits and valid_steps `[B, L]`, targets and is_hard_negative `[B]` `->` a scalar
        """
        if self.all_steps_weight == 0:
            return step_logits.new_zeros(())
        losses = all_steps_negative(step_logits, targets, valid_steps)
        factor = self.all_steps_weight * self.supervised_share(inputs)
        return factor * self._weighted_mean(losses, targets, is_hard_negative)

    def _weighted_mean(self, losses: Tensor, targets: Tensor, is_hard_negative: Tensor | None) -> Tensor:
        if is_hard_negative is not None:
            weighted = _flags(is_hard_negative, targets) & ~is_positive(targets)
            # A factor of exactly 1.0 keeps the bits of an example, so all zeros equal None.
            losses = losses * torch.where(weighted, self.hard_negative_weight, 1.0).to(losses.dtype)
        return losses.sum() / len(losses)


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
