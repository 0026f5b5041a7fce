"""Which views a head learns from: each voice is unheard by one head, unless there are too few."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from wakelark.corpus.clip import Clip
from wakelark.pipeline.teacher import in_fold
from wakelark.training.view_store import ViewStore


def store(voices: int) -> ViewStore:
    """Two views of a positive and one of a negative per voice."""
    clips = tuple(
        Clip(id=f"{voice}{label}", path="x", samples=1, label=label, kind="alone" if label else "sentence",
             voice=f"v{voice}")
        for voice in range(voices) for label in (0, 1)
    )  # fmt: skip
    clip = np.array([index for index, c in enumerate(clips) for _ in range(1 + c.label)], np.int32)
    return ViewStore(
        shards=(Path("x"),), shard=np.zeros_like(clip), row=np.arange(clip.size, dtype=np.int32), clips=clips,
        clip=clip, view=np.zeros_like(clip),
    )  # fmt: skip


def test_every_voice_is_left_out_of_exactly_one_fold() -> None:
    views = store(40)
    left_out = np.array([~in_fold(views, number, 4) for number in range(4)])
    positive = views.labels == 1
    assert (left_out.sum(axis=0)[positive] == 1).all()
    assert not left_out[:, ~positive].any()  # negatives are everybody's
    voices = views.of_clips(lambda clip: clip.voice)
    for fold in left_out:
        assert not set(voices[fold]) & set(voices[~fold & positive])
        assert 0 < len(set(voices[fold])) < 20


def test_few_voices_are_all_heard() -> None:
    assert in_fold(store(11), 0, 4).all()


def test_one_head_hears_everybody() -> None:
    assert in_fold(store(40), 0, 1).all()
