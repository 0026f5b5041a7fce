"""From one logit per step to one per example, and the term that asks every step of a negative to be silent."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from wakelark.errors import DataError, ModelError
from wakelark.losses.supervised import is_positive


def max_pool(step_logits: Tensor, valid: Tensor | None = None) -> Tensor:
    """The loudest valid step: a clip holds the phrase when one moment of it does.

    Shape: step_logits `[B, L]`, valid `[B, L]` (bool; None means all) `-> [B]`

    Raises:
        ModelError: `step_logits` is not `[B, L]`.
        DataError: `valid` has another shape, or a row without any valid step.

    >>> max_pool(torch.tensor([[1.0, 3.0], [2.0, 0.0]])).tolist()
    [3.0, 2.0]
    """
    return _masked(step_logits, valid).amax(dim=1)


def all_steps_negative(step_logits: Tensor, targets: Tensor, valid: Tensor | None = None) -> Tensor:
    """Mean over the valid steps of a negative of the binary cross entropy against "silent"; 0 for a positive.

    The maximum sends a gradient through one step only; a detector decides 25 times per second, and all of them must be
    silent.

    Shape: step_logits `[B, L]`, targets `[B]`, valid `[B, L]` (bool; None means all) `-> [B]`

    Raises:
        ModelError, DataError: as for `max_pool`.

    >>> all_steps_negative(torch.zeros(2, 5), torch.tensor([0, 1]))
    tensor([0.6931, 0.0000])
    """
    _check(step_logits, valid)
    loss = functional.softplus(step_logits)
    mean = loss.mean(dim=1) if valid is None else torch.where(valid, loss, 0.0).sum(dim=1) / valid.sum(dim=1)
    return torch.where(is_positive(targets), 0.0, mean)


def _masked(step_logits: Tensor, valid: Tensor | None) -> Tensor:
    _check(step_logits, valid)
    return step_logits if valid is None else step_logits.masked_fill(~valid, -math.inf)


def _check(step_logits: Tensor, valid: Tensor | None) -> None:
    if step_logits.ndim != 2 or step_logits.shape[1] == 0:
        raise ModelError(f"pooling needs one logit per step [B, L], but the model gave {list(step_logits.shape)}")
    if valid is None:
        return
    if valid.shape != step_logits.shape or valid.dtype != torch.bool:
        raise DataError(
            f"the mask of valid steps must be bool {list(step_logits.shape)}, not {valid.dtype} {list(valid.shape)}"
        )
    if not bool(valid.any(dim=1).all()):
        row = int((~valid.any(dim=1)).nonzero()[0])
        raise DataError(f"example {row} of the batch has no valid step to pool over; leave it out")
