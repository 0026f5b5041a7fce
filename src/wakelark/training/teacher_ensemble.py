"""Several teachers as one: per clip, those that are sure count more."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional
from typing_extensions import override

from wakelark.corpus.cache import content_key
from wakelark.errors import ModelError
from wakelark.losses.supervised import is_one_logit
from wakelark.training.teacher import EmbeddingGrid, Teacher

ENTROPY_OFFSET = 0.1
"""Nats. Bounds how much more than an undecided member (ln 2 = 0.69) a sure one counts: about eight times."""


class TeacherEnsemble(Teacher):
    """The mean of the members' log-odds, per clip weighted by the inverse entropy of each member's prediction.

    Args:
        members: teachers with one logit; the first one's embeddings are the ensemble's.

    Raises:
        ModelError: no members.
    """

    def __init__(self, members: Sequence[Teacher]) -> None:
        if not members:
            raise ModelError("an ensemble needs at least one teacher")
        self._members = tuple(members)

    @property
    @override
    def fingerprint(self) -> str:
        return content_key("ensemble", [member.fingerprint for member in self._members])

    @property
    @override
    def grid(self) -> EmbeddingGrid:
        return self._members[0].grid

    @override
    def logits(self, audio: Tensor) -> Tensor:
        """The weighted mean. Shape: `[B, N] -> [B]`

        Raises:
            ModelError: a member has more than one logit per clip.
        """
        said = [member.logits(audio) for member in self._members]
        for member, logits in zip(self._members, said, strict=True):
            if not is_one_logit(logits):
                raise ModelError(
                    f"an ensemble needs one logit per clip, but {type(member).__name__} gave {list(logits.shape)}"
                )
        return combined_log_odds(torch.stack([logits.reshape(-1).float() for logits in said]))

    @override
    def embeddings(self, audio: Tensor) -> Tensor:
        return self._members[0].embeddings(audio)


def combined_log_odds(log_odds: Tensor) -> Tensor:
    """Mean over the members, per clip weighted by `1 / (entropy + 0.1)` of each member's prediction.

    Log-odds are averaged and not probabilities, so that a member that is sure keeps saying how sure it is. The members
    should be calibrated: an overconfident one is sure of everything.

    Shape: `[M, B] -> [B]`

    >>> combined_log_odds(torch.tensor([[3.0, 0.0], [3.0, 0.0]]))
    tensor([3., 0.])
    """
    weights = 1.0 / (bernoulli_entropy(log_odds) + ENTROPY_OFFSET)
    return (weights * log_odds).sum(dim=0) / weights.sum(dim=0)


def bernoulli_entropy(log_odds: Tensor) -> Tensor:
    """Entropy in nats of "holds the phrase", `-p log p - (1 - p) log(1 - p)` with `p = sigmoid(log_odds)`.

    Shape: `[*] -> [*]`

    >>> bernoulli_entropy(torch.tensor([0.0, 100.0])).round(decimals=4)
    tensor([0.6931, 0.0000])
    """
    present, absent = log_odds.sigmoid(), (-log_odds).sigmoid()
    return -(present * functional.logsigmoid(log_odds) + absent * functional.logsigmoid(-log_odds))
