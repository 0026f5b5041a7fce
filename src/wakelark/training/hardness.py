"""Hard by what the teacher says of it: it knows better than a list of kinds which negatives sound like the phrase."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from wakelark.losses.supervised import log_odds
from wakelark.training.teacher import Teacher
from wakelark.training.view_store import ViewStore

_PORTION = 512


def scores_of_views(teacher: Teacher, store: ViewStore) -> NDArray[np.float32]:
    """The teacher's log-odds of every view; seconds where it has heard them before. Shape: `-> [V]`

    Raises:
        ModelError: the teacher has more than two classes.
    """
    scores = np.empty(len(store), np.float32)
    with torch.no_grad():
        for first in range(0, len(store), _PORTION):
            rows = np.arange(first, min(first + _PORTION, len(store)))
            scores[rows] = log_odds(teacher.logits(torch.from_numpy(store.audio(rows)))).cpu().numpy()
    return scores


def hard_by_score(labels: NDArray[np.int8], scores: NDArray[np.float32], *, share: float) -> NDArray[np.bool_]:
    """Flags of the negatives that the teacher scores highest; of equal scores the earlier view.

    Args:
        labels: 1 for the phrase.
        scores: the teacher's logits.
        share: of the negatives that are flagged.

    Shape: `[V], [V] -> [V]`

    >>> labels, scores = np.array([0, 1, 0, 0, 0], np.int8), np.array([-5.0, 9.0, -1.0, -3.0, -7.0], np.float32)
    >>> hard_by_score(labels, scores, share=0.5).tolist()
    [False, False, True, True, False]
    """
    negatives = np.flatnonzero(labels == 0)
    ranked = negatives[np.argsort(-scores[negatives], kind="stable")]
    flags = np.zeros(labels.size, bool)
    flags[ranked[: round(share * negatives.size)]] = True
    return flags
