"""How much each example counts: hardness, balance of the classes, and how well it is known already."""

from __future__ import annotations

import torch
from torch import Tensor

from wakelark.losses.supervised import is_one_logit, is_positive


def hardness_weights(targets: Tensor, is_hard_negative: Tensor | None, weight: float) -> Tensor:
    """`weight` for flagged negatives and exactly 1.0 for all others; a flag on a positive is ignored.

    Shape: targets and flags (bool) `[B]` `-> [B]`

    >>> hardness_weights(torch.tensor([0, 0, 1]), torch.tensor([False, True, True]), 1.5).tolist()
    [1.0, 1.5, 1.0]
    """
    if is_hard_negative is None:
        return torch.ones(targets.shape, device=targets.device)
    return torch.where(is_hard_negative & ~is_positive(targets), weight, 1.0)


def balance_weights(targets: Tensor, *, progress: float, end: float) -> Tensor:
    """Weight of the classes, which shifts during the training: negatives go linearly from 1 to `end`, positives keep 1.

    Few false alarms are wanted in the end; with a high weight from the start, a network learns to be silent first.

    Args:
        targets: 0/1 or the class.
        progress: 0 at the first step, 1 at the last.
        end: weight of negatives at the last step.

    Shape: `[B] -> [B]`

    >>> balance_weights(torch.tensor([0, 1]), progress=0.5, end=3.0).tolist()
    [2.0, 1.0]
    """
    return torch.where(is_positive(targets), 1.0, 1.0 + (end - 1.0) * progress)


def focal_weights(outputs: Tensor, targets: Tensor, gamma: float) -> Tensor:
    """`(1 - p)^gamma`, p being the probability that the model gives to the right class (Lin et al. 2017, 1708.02002).

    Examples that are known already count less. The weight has a gradient of its own.

    Shape: outputs `[B]`, `[B, 1]` or `[B, C]`, targets `[B]` `-> [B]`

    >>> focal_weights(torch.zeros(2), torch.tensor([0, 1]), gamma=2.0).tolist()
    [0.25, 0.25]
    """
    if is_one_logit(outputs):
        logits = outputs.reshape(-1)
        wrong = torch.where(is_positive(targets), -logits, logits).sigmoid()
    else:
        wrong = 1.0 - outputs.softmax(dim=1).gather(1, targets.long()[:, None])[:, 0]
    return wrong**gamma
