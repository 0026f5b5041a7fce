"""Which step of the student has heard what an embedding of the teacher has heard, to the same right edge.

Both are causal: embedding e covers the samples from `hop * e` to `hop * e + span`, and so do steps with a hop and a
span of their own. At the same right edge neither knows of sound that the other has not heard yet.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Grid:
    """Values at regular times: number i covers the samples `hop_samples * i` to `hop_samples * i + span_samples`."""

    hop_samples: int
    span_samples: int

    def end(self, index: int) -> int:
        """First sample that value `index` has not heard."""
        return self.hop_samples * index + self.span_samples


def aligned_steps(steps: Grid, embeddings: Grid, *, step_count: int, embedding_count: int) -> list[tuple[int, int]]:
    """Pairs (step, embedding) that end at the same time, to half a hop of the steps.

    An embedding that ends before the first or after the last step has no partner and is left out. For the speech
    embedding (hop 1,280, span 12,512) and the default trunk (640, 12,560) step 2 e belongs to embedding e, 3 ms apart:

    >>> aligned_steps(Grid(640, 12_560), Grid(1280, 12_512), step_count=31, embedding_count=16)[-2:]
    [(28, 14), (30, 15)]
    """
    pairs = []
    for index in range(embedding_count):
        step = round((embeddings.end(index) - steps.span_samples) / steps.hop_samples)
        if 0 <= step < step_count:
            pairs.append((step, index))
    return pairs
