"""Which known clips something sounds like, against the definition written out."""

from __future__ import annotations

import numpy as np
import pytest

from wakelark.evaluation.neighbours import STEPS, SoundIndex, votes


def sequences(*lengths: int, seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [(rng.standard_normal((length, 6)) + 2.0).astype(np.float16) for length in lengths]


def by_definition(known: list[np.ndarray], asked: np.ndarray) -> list[float]:
    """Take the mean off everything, then try every shift of every clip."""
    mean = np.concatenate(known).astype(np.float32).mean(axis=0)
    best = []
    for sequence in known:
        rows = sequence.astype(np.float64) - mean
        if len(rows) < STEPS:
            rows = np.concatenate([np.zeros((STEPS - len(rows), 6)), rows])
        stretches = [rows[start : start + STEPS].ravel() for start in range(len(rows) - STEPS + 1)]
        flat = asked.astype(np.float64).ravel()
        best.append(max(float(x @ flat / np.linalg.norm(x) / np.linalg.norm(flat)) for x in stretches))
    return best


@pytest.mark.parametrize("lengths", [(12, 30, 10), (4, 11, 25), (10,), (3,), (25, 3)])
def test_the_similarity_is_the_best_over_all_shifts(lengths: tuple[int, ...]) -> None:
    known = sequences(*lengths)
    index = SoundIndex(known)
    asked = index.stretches(sequences(17, seed=1)[0])
    found = index.similarities(asked)
    assert found.shape == (8, len(lengths))
    for stretch, row in zip(asked, found, strict=True):
        assert row == pytest.approx(by_definition(known, stretch), abs=1e-4)


def test_a_clip_is_most_like_itself_whatever_is_before_it() -> None:
    known = sequences(20, 20, 20)
    index = SoundIndex(known)
    asked = index.stretches(np.concatenate([sequences(7, seed=5)[0], known[1]]))[[11]]
    assert int(index.similarities(asked)[0].argmax()) == 1
    assert index.similarities(asked)[0, 1] == pytest.approx(1.0, abs=1e-3)


def test_many_questions_are_answered_like_one() -> None:
    index = SoundIndex(sequences(15, 40))
    asked = index.stretches(sequences(120, seed=2)[0])
    together = index.similarities(asked)
    assert together[77] == pytest.approx(index.similarities(asked[77:78])[0], abs=1e-5)


def test_an_index_needs_clips() -> None:
    with pytest.raises(ValueError, match="at least one"):
        SoundIndex([])


def test_votes_count_the_nearest_that_may_vote() -> None:
    labels = np.array([1, 1, 0, 0, 1])
    alike = np.array([[0.9, 0.1, 0.8, 0.7, -1.0], [-1, -1, -1, -1, -1], [-1, -1, 0.1, -1, 0.2]], np.float32)
    assert votes(alike, labels, neighbours=3).tolist() == pytest.approx([1 / 3, np.nan, 1 / 2], nan_ok=True)
