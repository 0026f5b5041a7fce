"""Distillation on log-odds themselves, and the gate that lets a teacher speak only where it is right."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from wakelark.losses.supervised import is_one_logit, is_positive, log_odds

CLIP = 6.0
"""Differences of log-odds beyond this count linearly: a teacher that is far away must not decide a batch."""


def logit_regression(student: Tensor, teacher: Tensor) -> Tensor:
    """`Huber(student - teacher, 6) / 4` of the log-odds.

    Within 6 this is `(student - teacher)^2 / 8`, the limit of `T^2 * KL(teacher || student)` for a high temperature.

    Shape: each `[B]`, `[B, 1]` or `[B, 2]` `-> [B]`

    Raises:
        ModelError: more than two classes.

    >>> import torch
    >>> logit_regression(torch.tensor([0.0, 0.0]), torch.tensor([2.0, 10.0])).tolist()
    [0.5, 10.5]
    """
    return functional.huber_loss(log_odds(student), log_odds(teacher), reduction="none", delta=CLIP) / 4.0


def teacher_is_right(teacher: Tensor, targets: Tensor) -> Tensor:
    """True where the teacher's logit has the sign of the label; with more than two classes, where its class is right.

    A teacher at exactly 0 says nothing and is not right.

    Shape: teacher `[B]`, `[B, 1]` or `[B, C]`, targets `[B]` `-> [B]` (bool)

    >>> import torch
    >>> teacher_is_right(torch.tensor([-1.0, 1.0, 0.0, 2.0]), torch.tensor([0, 0, 0, 1])).tolist()
    [True, False, False, True]
    """
    if not is_one_logit(teacher) and teacher.shape[1] > 2:
        return teacher.argmax(dim=1) == targets.long()
    odds, positive = log_odds(teacher), is_positive(targets)
    return (positive & (odds > 0)) | (~positive & (odds < 0))
