"""The terms a loss is made of, kept apart for the log: each as it is, and the weight with which it was added."""

from __future__ import annotations

from torch import Tensor

TERMS = ("supervised", "steps", "distillation", "logit", "embedding")
"""The names of all terms, in the order of the metrics."""


class LossTerms:
    """Terms of the last loss.

    Attributes:
        values: by name, detached and without the term's weight; also what was noted.
        weights: of the terms, by name: the factor in the total.
    """

    def __init__(self) -> None:
        self.values: dict[str, Tensor] = {}
        self.weights: dict[str, float] = {}

    def add(self, name: str, value: Tensor, weight: float) -> Tensor:
        """Remember a term, in place of an earlier one of that name, and weigh it.

        >>> import torch
        >>> terms = LossTerms()
        >>> terms.add("supervised", torch.tensor(3.0), 0.5), terms.values, terms.weights
        (tensor(1.5000), {'supervised': tensor(3.)}, {'supervised': 0.5})
        """
        self.values[name] = value.detach()
        self.weights[name] = weight
        return weight * value

    def note(self, name: str, value: Tensor) -> None:
        """Remember a number for the log that is no term."""
        self.values[name] = value.detach()

    def clear(self) -> None:
        """Forget all terms: another loss begins."""
        self.values.clear()
        self.weights.clear()
