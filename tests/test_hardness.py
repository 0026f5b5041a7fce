"""Flags from the teacher's scores."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from wakelark.corpus.clip import Clip
from wakelark.training.hardness import hard_by_score, scores_of_views
from wakelark.training.teacher import ModuleTeacher
from wakelark.training.view_store import RECORD, ViewStore, shard_bytes


@pytest.mark.parametrize(("share", "flagged"), [(0.0, 0), (0.1, 8), (0.5, 40), (0.99, 79)])
def test_the_highest_negatives_and_no_positive(share: float, flagged: int) -> None:
    rng = np.random.default_rng(0)
    labels = rng.permutation(np.repeat(np.array([0, 1], np.int8), [80, 20]))
    scores = rng.normal(size=100).astype(np.float32) + 10 * labels
    flags = hard_by_score(labels, scores, share=share)
    assert flags.sum() == flagged
    assert not flags[labels == 1].any()
    quiet = (labels == 0) & ~flags
    assert not flagged or scores[flags].min() >= scores[quiet].max()


def test_of_equal_scores_the_earlier_view() -> None:
    flags = hard_by_score(np.zeros(4, np.int8), np.zeros(4, np.float32), share=0.5)
    assert flags.tolist() == [True, True, False, False]


class Loudness(nn.Module):
    """A teacher with two classes; the difference of its logits is the mean sample."""

    def forward(self, audio: Tensor) -> Tensor:
        return torch.stack([torch.zeros(len(audio)), audio.mean(dim=1)], dim=1)


def test_the_scores_of_views_are_the_teachers_log_odds(tmp_path: Path) -> None:
    records = np.zeros(600, RECORD)  # more than one portion
    records["audio"] = np.arange(600, dtype=np.int16)[:, None] * 32
    (tmp_path / "a.npy").write_bytes(shard_bytes(records))
    clip = Clip(id="c", path="c.flac", samples=32_000, label=0, kind="sentence")
    order = np.arange(600, dtype=np.int32)
    store = ViewStore(
        shards=(tmp_path / "a.npy",), shard=0 * order, row=order, clips=(clip,), clip=0 * order, view=order
    )
    scores = scores_of_views(ModuleTeacher(Loudness()), store)
    assert scores.tolist() == pytest.approx((order / 1024).tolist())
    flags = hard_by_score(store.labels, scores, share=0.01)
    assert np.flatnonzero(flags).tolist() == list(range(594, 600))
