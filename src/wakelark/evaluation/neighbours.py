"""Which known clips a piece of audio sounds like: the cosine between stretches of speech embeddings, at the best shift.

The embedding was trained to tell spoken words apart whoever says them, so the nearest clips say the same words more
often than they have the same voice (docs/data_health.md has the figures).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

STEPS = 10
"""Embeddings (80 ms apart, each of 0.78 s) in a stretch: together 1.5 s."""
_ROWS_AT_ONCE = 400


class SoundIndex:
    """Known clips, to be asked what something sounds like.

    All embeddings point much the same way; without the mean of all known ones taken off, everything would be alike.

    Args:
        sequences: the embeddings of each clip, `[E, D]`, with enough silence around the clip for `STEPS` of them. Of a
            shorter sequence the start is taken as the mean.
    """

    def __init__(self, sequences: Sequence[NDArray[np.floating]]) -> None:
        if not sequences:
            raise ValueError("an index needs at least one known clip")
        self.mean = np.concatenate(sequences).astype(np.float32).mean(axis=0)
        rows = [self._padded(sequence) for sequence in sequences]
        lengths = np.array([len(row) for row in rows])
        self._rows = np.concatenate(rows)
        self._starts = np.concatenate([[0], np.cumsum(lengths)[:-1]])
        energy = np.concatenate([[0.0], np.cumsum(np.square(self._rows, dtype=np.float64).sum(axis=1))])
        self._norms = np.sqrt(np.maximum(energy[STEPS:] - energy[:-STEPS], 1e-12)).astype(np.float32)
        # A stretch must not begin in one clip and end in the next.
        self._broken = np.zeros(len(self._norms), bool)
        for start in self._starts[1:]:
            self._broken[start - STEPS + 1 : start] = True

    def __len__(self) -> int:
        return len(self._starts)

    def stretches(self, sequence: NDArray[np.floating]) -> NDArray[np.float32]:
        """All stretches of a sequence, to be looked up. Shape: `[E, D] -> [max(1, E - STEPS + 1), STEPS, D]`"""
        rows = self._padded(sequence)
        return np.lib.stride_tricks.sliding_window_view(rows, STEPS, axis=0).transpose(0, 2, 1)

    def similarities(self, stretches: NDArray[np.float32]) -> NDArray[np.float32]:
        """The cosine with the most similar stretch of each known clip.

        Shape: `[Q, STEPS, D] -> [Q, clips]`
        """
        found = np.empty((len(stretches), len(self)), np.float32)
        for first in range(0, len(stretches), _ROWS_AT_ONCE // STEPS):
            part = stretches[first : first + _ROWS_AT_ONCE // STEPS]
            found[first : first + len(part)] = self._similarities(part)
        return found

    def _similarities(self, stretches: NDArray[np.float32]) -> NDArray[np.float32]:
        count = len(self._rows) - STEPS + 1
        products = stretches @ self._rows.T  # [Q, STEPS, rows]: one product for all shifts
        total = np.zeros((len(stretches), count), np.float32)
        for step in range(STEPS):
            total += products[:, step, step : step + count]
        lengths = np.sqrt(np.square(stretches).sum(axis=(1, 2)))
        total /= self._norms * np.maximum(lengths, 1e-6)[:, None]
        total[:, self._broken] = -1.0
        return np.maximum.reduceat(total, self._starts, axis=1)

    def _padded(self, sequence: NDArray[np.floating]) -> NDArray[np.float32]:
        rows = sequence.astype(np.float32) - self.mean
        missing = STEPS - len(rows)
        return np.concatenate([np.zeros((missing, rows.shape[1]), np.float32), rows]) if missing > 0 else rows


def votes(similarities: NDArray[np.float32], labels: NDArray[np.integer], *, neighbours: int) -> NDArray[np.float64]:
    """The share of the nearest clips that hold the phrase. Clips of similarity -1 or less have no vote.

    Shape: `[Q, clips], [clips] -> [Q]`, NaN where nobody may vote

    >>> votes(np.array([[0.9, 0.8, 0.1, -1.0]], np.float32), np.array([1, 0, 0, 1]), neighbours=2).tolist()
    [0.5]
    """
    order = np.argsort(-similarities, axis=1, kind="stable")[:, :neighbours]
    voting = np.take_along_axis(similarities, order, axis=1) > -1
    holding = (labels[order] * voting).sum(axis=1)
    voters = voting.sum(axis=1)
    return np.where(voters > 0, holding / np.maximum(voters, 1), np.nan)
