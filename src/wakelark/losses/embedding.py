"""Distillation on embeddings: the student's features are to hold what the teacher's embedding holds.

Raw embedding values reach 60 and are strongly correlated; a plain squared error would be about a few of them. So the
target is whitened: z-scores, clipped, turned into principal components of unit variance. The loss weighs a component by
the square root of its eigenvalue, which lies between all alike and as much as they vary.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional
from typing_extensions import override

CLIP = 4.0
"""z-scores beyond this are cut: rare values would decide the regression."""
COSINE_WEIGHT = 0.3
_MIN_DEVIATION = 1e-3
_MIN_EIGENVALUE = 1e-4


class Whitening(nn.Module):
    """Statistics that turn embeddings `[*, D]` into K components of unit variance.

    Args:
        mean, deviation: of every value. Shape: `[D]`
        components: orthonormal columns. Shape: `[D, K]`
        eigenvalues: variance of the z-scores along each of them, descending. Shape: `[K]`
        total_variance: of the z-scores, all D of them.
    """

    mean: Tensor
    deviation: Tensor
    components: Tensor
    eigenvalues: Tensor

    def __init__(
        self, *, mean: Tensor, deviation: Tensor, components: Tensor, eigenvalues: Tensor, total_variance: float
    ) -> None:
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("deviation", deviation)
        self.register_buffer("components", components)
        self.register_buffer("eigenvalues", eigenvalues)
        self.total_variance = total_variance

    @staticmethod
    def fit(embeddings: Tensor, *, components: int) -> Whitening:
        """Statistics of some embeddings, computed in float64.

        Shape: `[N, D] -> `
        """
        rows = embeddings.double()
        mean, deviation = rows.mean(0), rows.std(0, correction=0).clamp_min(_MIN_DEVIATION)
        scores = ((rows - mean) / deviation).clamp(-CLIP, CLIP)
        centred = scores - scores.mean(0)
        values, vectors = torch.linalg.eigh(centred.T @ centred / len(rows))
        order = torch.argsort(values, descending=True)[:components]
        vectors = vectors[:, order]
        # The sign of an eigenvector is arbitrary; its largest entry is made positive, so that runs agree.
        largest = vectors.gather(0, vectors.abs().argmax(0, keepdim=True))
        return Whitening(
            mean=mean.float(),
            deviation=deviation.float(),
            components=(vectors * largest.sign()).float(),
            eigenvalues=values[order].clamp_min(_MIN_EIGENVALUE).float(),
            total_variance=float(values.clamp_min(0).sum()),
        )

    @property
    def weights(self) -> Tensor:
        """Weight of each component in the loss: the root of its eigenvalue, mean 1. Shape: `-> [K]`"""
        roots = self.eigenvalues.sqrt()
        return roots / roots.mean()

    @override
    def forward(self, embeddings: Tensor) -> Tensor:
        """Whitened components. Shape: `[*, D] -> [*, K]`"""
        scores = ((embeddings - self.mean) / self.deviation).clamp(-CLIP, CLIP)
        return scores @ self.components / self.eigenvalues.sqrt()

    def explained_variance(self, predicted: Tensor, target: Tensor) -> float:
        """Share of the z-scores' whole variance that a prediction of the components explains.

        1 would need all components; a prediction of 0 explains 0.

        Shape: `[*, K], [*, K] ->`
        """
        left = ((predicted - target).square() * self.eigenvalues).sum(-1).mean()
        there = (target.square() * self.eigenvalues).sum(-1).mean()
        kept = float(self.eigenvalues.sum()) / self.total_variance
        return float(1.0 - left / there) * kept


def embedding_regression(predicted: Tensor, target: Tensor, weights: Tensor) -> Tensor:
    """Mean over steps of the weighted squared error, plus 0.3 times one minus the cosine.

    Shape: predicted and target `[B, S, K]`, weights `[K]` `-> [B]`

    >>> one = torch.tensor([[[1.0, 0.0]]])
    >>> embedding_regression(one, one, torch.ones(2)).tolist()
    [0.0]
    """
    squared = ((predicted - target).square() * weights).mean(-1)
    cosine = functional.cosine_similarity(predicted, target, dim=-1)
    return (squared + COSINE_WEIGHT * (1.0 - cosine)).mean(-1)
