"""Steps and embeddings at the same right edge."""

from __future__ import annotations

import pytest

from wakelark.audio import HOP_SAMPLES, SAMPLE_RATE
from wakelark.features.embedding import EMBEDDING_HOP_SAMPLES, EMBEDDING_SPAN_SAMPLES, embedding_count
from wakelark.features.spectrum import WINDOW_SAMPLES
from wakelark.models.trunk import STEP_FRAMES, STEP_SAMPLES, Trunk
from wakelark.training.alignment import Grid, aligned_steps

SPEECH = Grid(EMBEDDING_HOP_SAMPLES, EMBEDDING_SPAN_SAMPLES)


def steps_of(kernels: tuple[int, ...]) -> tuple[Grid, int]:
    """The grid of a trunk, and how many steps it makes of two seconds."""
    frames = Trunk(channels=8, kernels=kernels).receptive_field_frames
    in_view = (2 * SAMPLE_RATE - WINDOW_SAMPLES) // HOP_SAMPLES + 1
    return Grid(STEP_SAMPLES, (frames - 1) * HOP_SAMPLES + WINDOW_SAMPLES), (in_view - frames) // STEP_FRAMES + 1


def test_step_two_e_belongs_to_embedding_e() -> None:
    steps, count = steps_of((3, 3, 5, 5, 7))
    assert (steps.span_samples, count) == (12_560, 31)
    pairs = aligned_steps(steps, SPEECH, step_count=count, embedding_count=embedding_count(2 * SAMPLE_RATE))
    assert pairs == [(2 * index, index) for index in range(16)]
    assert {steps.end(step) - SPEECH.end(index) for step, index in pairs} == {48}  # 3 ms


@pytest.mark.parametrize("kernels", [(3,), (3, 5), (3, 3, 5, 5, 7), (9, 9, 9)])
def test_right_edges_are_within_half_a_step_for_every_trunk(kernels: tuple[int, ...]) -> None:
    steps, count = steps_of(kernels)
    pairs = aligned_steps(steps, SPEECH, step_count=count, embedding_count=16)
    assert pairs
    assert all(abs(steps.end(step) - SPEECH.end(index)) <= STEP_SAMPLES / 2 for step, index in pairs)


def test_embeddings_without_a_step_are_left_out() -> None:
    # Steps end at 100, 110, 120; embeddings at 80, 100, 120, 140.
    assert aligned_steps(Grid(10, 100), Grid(20, 80), step_count=3, embedding_count=4) == [(0, 1), (2, 2)]
    assert aligned_steps(Grid(10, 100), Grid(20, 80), step_count=3, embedding_count=1) == []
