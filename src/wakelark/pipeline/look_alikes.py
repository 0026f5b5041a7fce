"""Groups of events that sound alike, so that one jingle that comes a hundred times is not a hundred hard negatives."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from wakelark.audio import SAMPLE_RATE
from wakelark.features.embedding import EMBEDDING_HOP_SAMPLES, EMBEDDING_SIZE, EMBEDDING_SPAN_SAMPLES
from wakelark.training.stream_features import StreamFeatures

STEPS = 10
"""Embeddings that describe an event: those that end with it, together the 1.5 s before its peak."""
SHIFTS = (-1, 0, 1)
"""Steps of 80 ms by which two events may be shifted against each other: a peak is not that exact."""
_MEAN_EVERY = 16


class LookAlikes:
    """Greedy leader clustering: an event joins the most similar group, or leads a new one.

    Similarity is the cosine between the speech embeddings of the 1.5 s before the two peaks, after the mean embedding
    of all streams is taken off (all embeddings point the same way: without that everything is alike).

    Args:
        streams: the recordings; events are named by their place in this list.
        similarity: a group is joined from this similarity with its leader on.
    """

    def __init__(self, streams: Sequence[StreamFeatures], *, similarity: float) -> None:
        self._streams = streams
        self._similarity = similarity
        some = [np.asarray(stream.embeddings[::_MEAN_EVERY], np.float32) for stream in streams]
        rows = np.concatenate([*some, np.zeros((0, EMBEDDING_SIZE), np.float32)])
        self._mean = rows.mean(0) if len(rows) else np.zeros(EMBEDDING_SIZE, np.float32)
        self._leaders = np.zeros((16, STEPS * EMBEDDING_SIZE), np.float32)
        self.count = 0

    def group(self, stream: int, time_s: float) -> int:
        """The group of the event that ends at `time_s`: one that is there, or a new one."""
        shifted = np.stack([self._describe(stream, time_s, shift) for shift in SHIFTS])
        if self.count:
            alike = (self._leaders[: self.count] @ shifted.T).max(1)
            best = int(alike.argmax())
            if alike[best] >= self._similarity:
                return best
        if self.count == len(self._leaders):
            self._leaders = np.concatenate([self._leaders, np.zeros_like(self._leaders)])
        self._leaders[self.count] = shifted[SHIFTS.index(0)]
        self.count += 1
        return self.count - 1

    def _describe(self, stream: int, time_s: float, shift: int) -> NDArray[np.float32]:
        """The event's embeddings without the mean, of length 1; zeros where the recording has none.

        Shape: `-> [STEPS * 96]`
        """
        embeddings = self._streams[stream].embeddings
        last = round((time_s * SAMPLE_RATE - EMBEDDING_SPAN_SAMPLES) / EMBEDDING_HOP_SAMPLES) + shift
        rows = np.zeros((STEPS, EMBEDDING_SIZE), np.float32)
        first = last - STEPS + 1
        start, stop = max(first, 0), min(last + 1, len(embeddings))
        if start < stop:
            rows[start - first : stop - first] = np.asarray(embeddings[start:stop], np.float32) - self._mean
        length = float(np.linalg.norm(rows))
        return (rows / length if length else rows).ravel()
