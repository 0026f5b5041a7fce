"""Batches: pure, balanced, capped."""

from __future__ import annotations

import numpy as np
import pytest

from wakelark.config import TrainingConfig
from wakelark.corpus.clip import Clip
from wakelark.errors import DataError
from wakelark.training.batches import batches
from wakelark.training.view_store import ViewStore


def store_of(*groups: tuple[int, dict[str, object]]) -> ViewStore:
    """A store without shards: `count` clips, one view each, per group."""
    clips = []
    for count, values in groups:
        for _ in range(count):
            known = {"id": f"{len(clips):016x}", "path": "x.flac", "samples": 9, "label": 0, "kind": "sentence"}
            clips.append(Clip(**(known | values)))
    order = np.arange(len(clips), dtype=np.int32)
    zeros = np.zeros(len(clips), np.int32)
    return ViewStore(shards=(), shard=zeros, row=zeros, clips=tuple(clips), clip=order, view=zeros)


def phrase(engine: str, voice: str = "") -> dict[str, object]:
    return {"label": 1, "kind": "alone", "engine": engine, "voice": f"{engine}/{voice}"}


FULL = store_of(
    (600, phrase("espeak", "a")), (90, phrase("piper", "joe")), (10, phrase("piper", "amy")), (50, phrase("flite")),
    (200, {"kind": "sentence", "voice": "espeak/a"}),
    (200, {"kind": "near_miss", "hard_negative": 1, "voice": "espeak/a"}),
    (30, {"kind": "mined", "hard_negative": 1, "source": "big"}),
    (3000, {"kind": "recording", "source": "big"}), (300, {"kind": "recording", "source": "b"}),
    (300, {"kind": "music", "source": "c"}), (100, {"kind": "own_negative", "source": "mine"}),
)  # fmt: skip
MIX = TrainingConfig(positive_share=0.3, near_miss_share=0.1, mined_share=0.1, source_share=0.5)


def epoch_of(store: ViewStore, *, seed: int = 1, epoch: int = 2, steps: int = 50, **changes: float) -> list[np.ndarray]:
    mix = MIX.model_copy(update=changes)
    return list(batches(store, mix=mix, seed=seed, epoch=epoch, steps=steps, batch_size=100))


def kind_of(store: ViewStore) -> np.ndarray:
    """Engine of the positives, kind of the negatives. Shape: `-> [V]`"""
    return store.of_clips(lambda clip: f"{clip.engine} phrase" if clip.label else clip.kind)


def counts_of(store: ViewStore, drawn: list[np.ndarray]) -> dict[str, int]:
    kinds, counts = np.unique(kind_of(store)[np.concatenate(drawn)], return_counts=True)
    return dict(zip(kinds.tolist(), counts.tolist(), strict=True))


def test_same_seed_and_epoch_same_batches() -> None:
    first = epoch_of(FULL)
    assert all(np.array_equal(a, b) for a, b in zip(first, epoch_of(FULL), strict=True))
    assert not np.array_equal(first[0], epoch_of(FULL, epoch=3)[0])
    assert not np.array_equal(first[0], epoch_of(FULL, seed=2)[0])


def test_every_batch_has_its_size_and_its_share_of_positives() -> None:
    labels = FULL.labels
    for batch in epoch_of(FULL):
        assert batch.shape == (100,)
        assert labels[batch].sum() == 30


def test_natural_engines_are_not_drowned() -> None:
    counts = counts_of(FULL, epoch_of(FULL))  # 1,500 positives
    assert counts["espeak phrase"] == pytest.approx(1500 * 0.35, rel=0.03)
    assert counts["piper phrase"] == pytest.approx(1500 * 0.325, rel=0.03)
    assert counts["flite phrase"] == pytest.approx(1500 * 0.325, rel=0.03)


def test_voices_of_an_engine_are_even() -> None:
    drawn = np.concatenate(epoch_of(FULL))
    voices = FULL.of_clips(lambda clip: clip.voice)[drawn]
    assert (voices == "piper/joe").sum() == pytest.approx((voices == "piper/amy").sum(), rel=0.1)


def test_every_batch_has_the_same_number_of_each_part() -> None:
    """70 negatives: 7 near misses, 7 that fooled a model, and of the other 56, 39 recordings and 17 sentences."""
    for batch in epoch_of(FULL):
        counts = counts_of(FULL, [batch])
        assert counts["near_miss"] == counts["mined"] == 7
        assert sum(counts.get(kind, 0) for kind in ("recording", "music", "own_negative")) == 39
        assert counts["sentence"] == 17


def test_a_share_above_zero_is_at_least_one_view_of_every_batch() -> None:
    for batch in epoch_of(FULL, near_miss_share=0.001, mined_share=0.0):
        counts = counts_of(FULL, [batch])
        assert counts["near_miss"] == 1
        assert "mined" not in counts


def test_no_source_has_more_than_its_cap() -> None:
    drawn = np.concatenate(epoch_of(FULL, source_share=0.4))
    kinds = FULL.of_clips(lambda clip: clip.kind)[drawn]
    sources = FULL.of_clips(lambda clip: clip.source)[drawn][np.isin(kinds, ("recording", "music", "own_negative"))]
    assert (sources == "big").mean() == pytest.approx(0.4, abs=0.01)
    # b and c have 300 windows each, the user's folder 100: what is left is shared 3 : 3 : 1.
    assert (sources == "mine").mean() == pytest.approx(0.6 / 7, abs=0.01)


def test_mined_views_stay_below_a_quarter() -> None:
    few_others = store_of(
        (10, phrase("piper")), (500, {"kind": "mined", "hard_negative": 1}), (5, {"kind": "recording"})
    )
    for batch in epoch_of(few_others, mined_share=0.25):
        assert counts_of(few_others, [batch])["mined"] == 17  # of 70


def test_what_is_missing_leaves_its_share_to_the_ordinary_ones() -> None:
    def per_batch(store: ViewStore, **changes: float) -> dict[str, int]:
        (counts,) = {tuple(counts_of(store, [batch]).items()) for batch in epoch_of(store, **changes)}
        return dict(counts)

    only_espeak = store_of((10, phrase("espeak")), (10, {"kind": "sentence"}))
    assert per_batch(only_espeak) == {"espeak phrase": 30, "sentence": 70}
    no_hard = store_of((5, phrase("piper")), (10, {"kind": "sentence"}), (10, {"kind": "recording"}))
    assert per_batch(no_hard)["recording"] == 49
    one_source = store_of((5, phrase("piper")), (10, {"kind": "recording", "source": "only"}))
    assert per_batch(one_source, source_share=0.1)["recording"] == 70
    only_near = store_of((5, phrase("piper")), (10, {"kind": "near_miss", "hard_negative": 1}))
    assert per_batch(only_near, near_miss_share=0.0)["near_miss"] == 70
    only_mined = store_of((5, phrase("piper")), (10, {"kind": "mined", "hard_negative": 1}))
    assert per_batch(only_mined)["mined"] == 70


def test_draws_are_as_even_as_whole_numbers_allow() -> None:
    store = store_of((7, phrase("piper")), (11, {"kind": "sentence"}))
    counts = np.bincount(np.concatenate(epoch_of(store, steps=10)), minlength=18)
    assert counts.sum() == 1000
    assert set(counts[:7]) <= {300 // 7, 300 // 7 + 1}
    assert set(counts[7:]) <= {700 // 11, 700 // 11 + 1}


@pytest.mark.parametrize(("group", "missing"), [((3, phrase("piper")), "negative"), ((3, {}), "positive")])
def test_one_class_alone_is_refused(group: tuple[int, dict[str, object]], missing: str) -> None:
    with pytest.raises(DataError, match=f"no {missing} views"):
        epoch_of(store_of(group))


def fooling(added: int, mined: int) -> ViewStore:
    """Mined sounds of two sources and false alarms that a user brought, beside everything else."""
    return store_of(
        (300, phrase("piper", "joe")), (200, {"kind": "sentence", "voice": "piper/joe"}),
        (200, {"kind": "near_miss", "hard_negative": 1, "voice": "piper/joe"}),
        (3000, {"kind": "recording", "source": "big"}), (100, {"kind": "own_negative", "source": "mine"}),
        (mined, {"kind": "mined", "hard_negative": 1, "source": "tv"}),
        (mined // 10, {"kind": "mined", "hard_negative": 1, "source": "radio"}),
        (added, {"kind": "own_negative", "hard_negative": 1, "source": "alarms"}),
    )  # fmt: skip


@pytest.mark.parametrize(("added", "mined"), [(1, 0), (30, 0), (5, 1000), (400, 400), (0, 30)])
@pytest.mark.parametrize(("mined_share", "views"), [(0.05, 4), (0.1, 7), (0.25, 17)])
def test_what_fooled_a_model_is_never_more_than_a_quarter(
    added: int, mined: int, mined_share: float, views: int
) -> None:
    store = fooling(added, mined)
    fooled = store.of_clips(lambda clip: clip.kind in ("mined", "own_negative") and clip.hard_negative == 1)
    for batch in epoch_of(store, mined_share=mined_share, near_miss_share=0.25):
        assert fooled[batch].sum() == views
        assert (~store.hard[batch] & (store.labels[batch] == 0)).sum() >= 35  # at least half of them are ordinary


def test_a_users_few_false_alarms_are_not_drowned_by_mined_ones() -> None:
    """Each is drawn as often as a mined view: both fooled a model."""
    store = fooling(40, 200)
    drawn = np.concatenate(epoch_of(store, mined_share=0.2, steps=200))
    sources = store.of_clips(lambda clip: clip.source if clip.hard_negative else "")[drawn]
    counts = {name: int((sources == name).sum()) for name in ("tv", "radio", "alarms")}
    assert counts["tv"] / sum(counts.values()) == pytest.approx(0.5, abs=0.02)  # the cap of a source
    assert counts["alarms"] / 40 == pytest.approx(counts["radio"] / 20, rel=0.1)
    assert counts["alarms"] / 40 > counts["tv"] / 200
