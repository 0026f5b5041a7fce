"""Batches: pure, balanced, capped."""

from __future__ import annotations

import numpy as np
import pytest

from wakelark.corpus.clip import Clip
from wakelark.errors import DataError
from wakelark.training.batches import batches, negative_weights, shares
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
SETTINGS = {
    "seed": 1, "epoch": 2, "steps": 50, "batch_size": 100, "positive_share": 0.3, "hard_share": 0.2, "source_share": 0.5
}  # fmt: skip


def epoch_of(store: ViewStore, **changes: object) -> list[np.ndarray]:
    return list(batches(store, **(SETTINGS | changes)))


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
    share = shares(FULL, epoch_of(FULL))
    assert share["espeak phrase"] == pytest.approx(0.3 * 0.35, abs=0.01)
    assert share["piper phrase"] == pytest.approx(0.3 * 0.325, abs=0.01)
    assert share["flite phrase"] == pytest.approx(0.3 * 0.325, abs=0.01)


def test_voices_of_an_engine_are_even() -> None:
    drawn = np.concatenate(epoch_of(FULL))
    voices = FULL.of_clips(lambda clip: clip.voice)[drawn]
    assert (voices == "piper/joe").sum() == pytest.approx((voices == "piper/amy").sum(), rel=0.1)


def test_kinds_of_negatives_have_their_shares() -> None:
    share = shares(FULL, epoch_of(FULL))
    assert share["near_miss"] == pytest.approx(0.7 * 0.1, abs=0.01)
    assert share["mined"] == pytest.approx(0.7 * 0.1, abs=0.01)
    real = share["recording"] + share["music"] + share["own_negative"]
    assert real == pytest.approx(0.7 * 0.8 * 0.7, abs=0.01)
    assert real > 0.5 * 0.7
    assert share["sentence"] == pytest.approx(0.7 * 0.8 * 0.3, abs=0.01)


def test_no_source_has_more_than_its_cap() -> None:
    drawn = np.concatenate(epoch_of(FULL, source_share=0.4))
    kinds = FULL.of_clips(lambda clip: clip.kind)[drawn]
    sources = FULL.of_clips(lambda clip: clip.source)[drawn][np.isin(kinds, ("recording", "music", "own_negative"))]
    assert (sources == "big").mean() == pytest.approx(0.4, abs=0.01)
    # b and c have 300 windows each, the user's folder 100: what is left is shared 3 : 3 : 1.
    assert (sources == "mine").mean() == pytest.approx(0.6 / 7, abs=0.01)


def test_mined_views_stay_below_a_quarter() -> None:
    without_near_misses = store_of(
        (10, phrase("piper")), (500, {"kind": "mined", "hard_negative": 1}), (5, {"kind": "recording"})
    )
    share = shares(without_near_misses, epoch_of(without_near_misses, hard_share=0.5))
    assert share["mined"] == pytest.approx(0.7 * 0.25, abs=0.01)


def test_what_is_missing_leaves_its_share_to_the_others() -> None:
    only_espeak = store_of((10, phrase("espeak")), (10, {"kind": "sentence"}))
    share = shares(only_espeak, epoch_of(only_espeak))
    assert share == {"espeak phrase": 0.3, "sentence": 0.7}
    no_hard = store_of((5, phrase("piper")), (10, {"kind": "sentence"}), (10, {"kind": "recording"}))
    assert shares(no_hard, epoch_of(no_hard))["recording"] == pytest.approx(0.7 * 0.7, abs=0.01)
    one_source = store_of((5, phrase("piper")), (10, {"kind": "recording", "source": "only"}))
    assert shares(one_source, epoch_of(one_source, source_share=0.1))["recording"] == 0.7
    only_near = store_of((5, phrase("piper")), (10, {"kind": "near_miss", "hard_negative": 1}))
    assert shares(only_near, epoch_of(only_near, hard_share=0.0))["near_miss"] == 0.7


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
@pytest.mark.parametrize("hard_share", [0.1, 0.3, 0.5])
def test_what_fooled_a_model_is_hard_and_never_more_than_a_quarter(added: int, mined: int, hard_share: float) -> None:
    store = fooling(added, mined)
    negatives = np.flatnonzero(store.labels == 0)
    weights = negative_weights(store, negatives, hard_share=hard_share, source_share=0.5)
    fooled = store.of_clips(lambda clip: clip.kind in ("mined", "own_negative") and clip.hard_negative == 1)
    assert weights[fooled[negatives]].sum() == pytest.approx(hard_share / 2)
    assert weights[fooled[negatives]].sum() <= 0.25 + 1e-9
    assert weights[store.hard[negatives]].sum() == pytest.approx(hard_share)
    drawn = np.concatenate(epoch_of(store, hard_share=hard_share))
    drawn = drawn[store.labels[drawn] == 0]
    assert fooled[drawn].mean() == pytest.approx(hard_share / 2, abs=0.01)
    assert (~store.hard[drawn]).mean() >= 0.5 - 0.01


def test_a_users_few_false_alarms_are_not_drowned_by_mined_ones() -> None:
    """Each is drawn as often as a mined view: both fooled a model."""
    store = fooling(40, 200)
    drawn = np.concatenate(epoch_of(store, hard_share=0.4, steps=200))
    sources = store.of_clips(lambda clip: clip.source if clip.hard_negative else "")[drawn]
    counts = {name: int((sources == name).sum()) for name in ("tv", "radio", "alarms")}
    assert counts["tv"] / sum(counts.values()) == pytest.approx(0.5, abs=0.02)  # the cap of a source
    assert counts["alarms"] / 40 == pytest.approx(counts["radio"] / 20, rel=0.1)
    assert counts["alarms"] / 40 > counts["tv"] / 200
