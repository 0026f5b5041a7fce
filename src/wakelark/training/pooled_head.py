"""A head for a backbone that knows speech and not the phrase: a regularised logistic regression on pooled features.

The problem is convex and starts from zeros, so the head is a function of the data alone: there is no seed.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from wakelark.errors import DataError, ModelError

RIDGE = 1e-2
"""Pull towards zero: with more values than clips the classes are always separable, and the weights would run away."""
_STEPS = 100
_SMALLEST_DEVIATION = 1e-4


class PooledHead:
    """`logit = weight . (pooled - mean) / deviation + bias`.

    Shape: mean, deviation and weight `[F]`, bias `[]`
    """

    def __init__(self, *, mean: Tensor, deviation: Tensor, weight: Tensor, bias: Tensor) -> None:
        self._mean, self._deviation, self._weight, self._bias = mean, deviation, weight, bias

    def state(self) -> Mapping[str, Tensor]:
        """All that it consists of, by name."""
        return {"mean": self._mean, "deviation": self._deviation, "weight": self._weight, "bias": self._bias}

    def __call__(self, pooled: Tensor) -> Tensor:
        """Logits of pooled features. Shape: `[B, F] -> [B]`"""
        return (pooled.cpu() - self._mean) / self._deviation @ self._weight + self._bias


def pooled(hidden: Tensor) -> Tensor:
    """Mean and maximum over time: the clip as a whole, and its most striking moment.

    Shape: `[B, E, D] -> [B, 2 D]`
    """
    return torch.cat([hidden.mean(dim=1), hidden.amax(dim=1)], dim=1)


def fit_pooled_head(features: NDArray[np.float32], labels: NDArray[np.integer]) -> PooledHead:
    """Fit on training views; both classes weigh the same.

    Shape: `[V, F]`, `[V]` (0/1)

    Raises:
        DataError: only one class.
        ModelError: features that are not finite.
    """
    if not (labels == 1).any() or not (labels == 0).any():
        raise DataError("a head for the backbone needs views with and without the phrase; the corpus lacks one of them")
    inputs = torch.from_numpy(np.ascontiguousarray(features, np.float32))
    if not bool(torch.isfinite(inputs).all()):
        raise ModelError("the backbone's features are not finite; its weights are damaged or not meant for speech")
    targets = torch.from_numpy(labels.astype(np.float32))
    weights = torch.where(targets == 1, 0.5 / targets.sum(), 0.5 / (1 - targets).sum())
    mean, deviation = inputs.mean(dim=0), inputs.std(dim=0, correction=0).clamp_min(_SMALLEST_DEVIATION)
    inputs = (inputs - mean) / deviation
    solution = torch.zeros(inputs.shape[1] + 1, requires_grad=True)
    optimizer = torch.optim.LBFGS(
        [solution], max_iter=_STEPS, tolerance_grad=1e-6, history_size=20, line_search_fn="strong_wolfe"
    )

    def loss() -> Tensor:
        optimizer.zero_grad()
        logits = inputs @ solution[:-1] + solution[-1]
        value = functional.binary_cross_entropy_with_logits(logits, targets, weights, reduction="sum")
        value = value + 0.5 * RIDGE * solution[:-1].square().sum()
        value.backward()
        return value

    optimizer.step(loss)
    found = solution.detach()
    return PooledHead(mean=mean, deviation=deviation, weight=found[:-1].clone(), bias=found[-1].clone())
