"""Distillation on logits: `T^2 * KL(teacher || student)`, one value per example.

A head with one logit has two classes, "silent" with logit 0 and "phrase". A softmax over its single column is 1
whatever the logit is, so the KL divergence would be 0 for every student, without any error. One-logit heads therefore
use the Bernoulli form.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from wakelark.errors import ModelError
from wakelark.losses.supervised import is_one_logit, log_odds


def distillation_kl(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """`temperature^2 * KL(teacher || student)` of every example, the form chosen by the shapes.

    A two-class side is turned into one logit by the difference `logits[:, 1] - logits[:, 0]` when the other side has
    one logit.

    Shape: student and teacher each `[B]`, `[B, 1]` or `[B, C]` `-> [B]`

    Raises:
        ModelError: the two sides disagree in the number of examples or classes.
    """
    for name, logits in (("student", student), ("teacher", teacher)):
        if logits.ndim not in (1, 2) or logits.shape[0] != student.shape[0]:
            raise ModelError(
                f"distillation needs logits [B], [B, 1] or [B, C] with B = {student.shape[0]} on both sides, but the "
                f"{name} gave {list(logits.shape)}"
            )
    if is_one_logit(student) or is_one_logit(teacher):
        return bernoulli_kl(log_odds(student), log_odds(teacher), temperature)
    if student.shape != teacher.shape:
        raise ModelError(
            f"student and teacher must have the same classes, but their logits are {list(student.shape)} and "
            f"{list(teacher.shape)}; train the teacher for the same classes"
        )
    return softmax_kl(student, teacher, temperature)


def bernoulli_kl(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """`T^2 * KL(sigmoid(teacher / T) || sigmoid(student / T))` for one logit per example.

    It is exactly 0 where the logits are equal, and equals the two-class form for the logits `[0, logit]`.

    Shape: `[B], [B] -> [B]`
    """
    own, soft = student / temperature, teacher / temperature
    present = soft.sigmoid() * (functional.logsigmoid(soft) - functional.logsigmoid(own))
    absent = (-soft).sigmoid() * (functional.logsigmoid(-soft) - functional.logsigmoid(-own))
    return (present + absent) * temperature**2


def softmax_kl(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """`T^2 * KL(softmax(teacher / T) || softmax(student / T))`, summed over the classes (not averaged).

    Shape: `[B, C], [B, C] -> [B]`, C >= 2

    Raises:
        ModelError: one column only; its softmax is always 1 and would hide every difference.
    """
    if student.ndim != 2 or student.shape[1] < 2:
        raise ModelError(
            f"the softmax form of the distillation loss needs [B, C] with C >= 2, not {list(student.shape)}: with "
            f"one column it is 0 for every student; use bernoulli_kl"
        )
    own = (student / temperature).log_softmax(dim=1)
    soft = (teacher / temperature).log_softmax(dim=1)
    return (soft.exp() * (soft - own)).sum(dim=1) * temperature**2
