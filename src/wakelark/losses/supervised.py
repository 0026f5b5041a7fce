"""The supervised loss: one value per example, so that weights can be applied before the reduction."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from wakelark.errors import DataError, ModelError


def supervised_loss(outputs: Tensor, targets: Tensor, smoothing: float = 0.0) -> Tensor:
    """Cross entropy of every example, not reduced.

    One logit per example (`[B]` or `[B, 1]`) is the logit of "holds the phrase" and gives the binary cross entropy;
    `[B, C]` with C >= 2 are the logits of C classes and give the softmax cross entropy. With smoothing, that share
    of every target is spread evenly over the classes (C = 2 for one logit): 0 and 1 become s / 2 and 1 - s / 2.

    Shape: outputs `[B]`, `[B, 1]` or `[B, C]`, targets `[B]` (0/1, or the class) `-> [B]`

    Raises:
        ModelError: the outputs have another shape.
        DataError: the targets have another shape, or one is no class of the outputs.

    >>> import torch
    >>> supervised_loss(torch.tensor([0.0, 0.0]), torch.tensor([0, 1]))
    tensor([0.6931, 0.6931])
    """
    check_shapes(outputs, targets)
    if is_one_logit(outputs):
        logits = outputs.reshape(-1)
        wanted = targets.to(logits.dtype) * (1.0 - smoothing) + 0.5 * smoothing
        return functional.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
    classes = outputs.shape[1]
    labels = targets.long()
    if bool(((labels < 0) | (labels >= classes)).any()):
        raise DataError(
            f"a target is outside the {classes} classes of the model's outputs [B, {classes}]: the targets reach from "
            f"{int(labels.min())} to {int(labels.max())}; train with as many outputs as there are classes"
        )
    return functional.cross_entropy(outputs, labels, reduction="none", label_smoothing=smoothing)


def is_one_logit(outputs: Tensor) -> bool:
    """True for `[B]` and `[B, 1]`: one logit per example."""
    return outputs.ndim == 1 or (outputs.ndim == 2 and outputs.shape[1] == 1)


def log_odds(logits: Tensor) -> Tensor:
    """One logit per example: itself, or the difference of two classes' logits.

    Shape: `[B]`, `[B, 1]` or `[B, 2] -> [B]`

    Raises:
        ModelError: more than two classes.

    >>> import torch
    >>> log_odds(torch.tensor([[1.0, 3.0]])).tolist()
    [2.0]
    """
    if is_one_logit(logits):
        return logits.reshape(-1)
    if logits.shape[1] != 2:
        raise ModelError(
            f"logits {list(logits.shape)} cannot be turned into one logit, only two classes can; train student and "
            f"teacher for the same classes"
        )
    return logits[:, 1] - logits[:, 0]


def is_positive(targets: Tensor) -> Tensor:
    """True where an example holds the phrase: target 1, or any class but class 0.

    Shape: `[B] -> [B]` (bool)

    >>> import torch
    >>> is_positive(torch.tensor([0.0, 1.0]))
    tensor([False,  True])
    """
    return targets > 0.5


def check_shapes(outputs: Tensor, targets: Tensor) -> None:
    """Refuse outputs that are not pooled logits and targets that do not belong to them.

    Raises:
        ModelError: the outputs are neither `[B]`, `[B, 1]` nor `[B, C]`.
        DataError: the targets are not `[B]`.
    """
    if outputs.ndim not in (1, 2) or outputs.shape[-1] == 0:
        raise ModelError(
            f"the loss needs one logit [B] or [B, 1], or C logits [B, C], per example, but the model gave "
            f"{list(outputs.shape)}; pool over time first (wakelark.losses.pooling)"
        )
    if targets.shape != outputs.shape[:1]:
        raise DataError(f"targets must have the shape [{outputs.shape[0]}], one per example, not {list(targets.shape)}")
