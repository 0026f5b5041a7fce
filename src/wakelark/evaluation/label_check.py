"""Which labels are likely wrong, judged by what did not learn from the clip: its neighbours, or a head without it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from wakelark.evaluation.neighbours import votes

NEIGHBOURS = 7
WRONG_BELOW = 0.3
"""A label is doubted when fewer of the nearest clips have it: at most two of seven."""
ODD_BELOW = 0.75
"""Where there is only one label: a clip is odd when it is less similar to its nearest than this share of the usual."""


def own_votes(
    similarities: NDArray[np.float32],
    labels: NDArray[np.integer],
    own_labels: NDArray[np.integer],
    *,
    excluded: Sequence[Sequence[int]],
) -> NDArray[np.float64]:
    """The share of the nearest clips that have a clip's own label.

    Shape: `[Q, clips], [clips], [Q] -> [Q]`, NaN where nobody may vote

    Args:
        similarities: of each questioned clip to all known clips.
        labels: 0 or 1 of the known clips.
        own_labels: of the questioned ones.
        excluded: per question, known clips that may not vote: the clip itself, its copies, those of the same voice.
    """
    may_vote = similarities.copy()
    for row, others in enumerate(excluded):
        may_vote[row, list(others)] = -1.0
    positive = votes(may_vote, labels, neighbours=NEIGHBOURS)
    return np.where(own_labels == 1, positive, 1.0 - positive)


def odd_ones(similarities: NDArray[np.float32], *, excluded: Sequence[Sequence[int]]) -> NDArray[np.float64]:
    """How similar each clip of one label is to its nearest five, as a share of the median of all.

    Shape: `[clips, clips] -> [clips]`, NaN where no other clip is left

    Args:
        similarities: of each clip to all.
        excluded: per clip, those that do not count, the clip itself among them.
    """
    alike = similarities.copy()
    for row, others in enumerate(excluded):
        alike[row, list(others)] = -1.0
    nearest = np.sort(alike, axis=1)[:, ::-1][:, :5]
    means = np.array([row[row > -1].mean() if (row > -1).any() else np.nan for row in nearest], np.float64)
    return means / np.nanmedian(means)


def cross_entropy(logits: NDArray[np.floating], labels: NDArray[np.integer]) -> NDArray[np.float64]:
    """-log of the probability of the label, for one logit each. Shape: `[N], [N] -> [N]`

    >>> cross_entropy(np.array([0.0, 100.0]), np.array([1, 1])).round(3).tolist()
    [0.693, 0.0]
    """
    signed = np.where(labels == 1, logits, -logits).astype(np.float64)
    return np.logaddexp(0.0, -signed)
