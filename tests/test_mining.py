"""Mining: what is loud is found, no source takes more than its share, the clip is what the network heard; look-alikes
are limited, and what may be the phrase is set aside."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wakelark.audio import SAMPLE_RATE
from wakelark.config import EvaluationConfig, MiningConfig
from wakelark.corpus.clip import Clip
from wakelark.features.embedding import EMBEDDING_HOP_SAMPLES
from wakelark.pipeline.mining import (
    AFTER_S,
    BEFORE_S,
    Harvest,
    MinedEvent,
    TrainStream,
    Witness,
    harvest,
    mined_clips,
)

from .tiny_network import STEP_S, WrittenNetwork, written

RULE = EvaluationConfig(smoothing_s=STEP_S, refractory_s=1.0)
QUIET = -20.0


def stream(name: str, loud: dict[int, float], *, steps: int = 200, source: str = "") -> TrainStream:
    """A recording that is loud at some steps."""
    features = written([loud.get(step, QUIET) for step in range(steps)], name=name)
    clip = Clip(
        id=name, path=f"recordings/{name}.npy", samples=features.samples, label=0, kind="recording",
        voice=f"recording/{name}", source=source or name, licence="CC0",
    )  # fmt: skip
    return TrainStream(clip, features)


def find(streams: list[TrainStream], **settings: float) -> list[MinedEvent]:
    mining = MiningConfig(**{"events_per_round": 100, "share_per_source": 1.0, **settings})  # pyright: ignore
    got = harvest([WrittenNetwork()], streams, witnesses=[], mining=mining, evaluation=RULE)
    return [catch.event for catch in got.kept]


def test_the_loudest_come_first_with_their_times() -> None:
    events = find([stream("a", {10: 1.0, 50: 3.0}), stream("b", {20: 2.0})])
    assert [(event.stream, event.time_s) for event in events] == [(0, 25.5), (1, 10.5), (0, 5.5)]
    assert [event.score for event in events] == pytest.approx([0.953, 0.881, 0.731], abs=1e-3)


def test_quiet_events_are_left_out() -> None:
    assert len(find([stream("a", {10: -2.0, 50: -4.0})], score_min=0.05)) == 1  # 0.12 and 0.018


def test_a_round_has_its_size_and_a_source_its_share() -> None:
    """Both "a" recordings are of one source: together they get 30 % of ten, "b" the rest as far as it has any."""
    many = {step: 5.0 for step in range(0, 200, 5)}
    few = {step: 1.0 for step in range(0, 200, 5)}
    streams = [stream("a1", many, source="a"), stream("a2", many, source="a"), stream("b", few)]
    events = find(streams, events_per_round=10, share_per_source=0.3)
    assert [streams[event.stream].clip.source for event in events] == ["a"] * 3 + ["b"] * 3
    assert len(find(streams, events_per_round=10, share_per_source=0.5)) == 10
    assert len(find(streams, events_per_round=10)) == 10


def test_one_event_is_always_allowed() -> None:
    assert len(find([stream("a", {10: 1.0})], events_per_round=1, share_per_source=0.01)) == 1


def test_equal_scores_have_a_fixed_order() -> None:
    streams = [stream("a", {30: 2.0, 60: 2.0}), stream("b", {10: 2.0})]
    order = [(event.stream, event.time_s) for event in find(streams)]
    assert order == [(0, 15.5), (0, 30.5), (1, 5.5)]
    assert find(streams) == find(streams)


def test_a_mined_clip_is_what_the_network_heard() -> None:
    source = stream("a", {10: 1.0})
    (clip,) = mined_clips([MinedEvent(0, 5.5, 0.9)], [source])
    assert (clip.start, clip.start + clip.samples) == (
        round((5.5 - BEFORE_S) * SAMPLE_RATE), round((5.5 + AFTER_S) * SAMPLE_RATE),
    )  # fmt: skip
    assert (clip.label, clip.hard_negative, clip.kind, clip.split) == (0, 1, "mined", "train")
    assert (clip.path, clip.source, clip.licence, clip.voice) == (
        source.clip.path, source.clip.source, "CC0", "recording/a",
    )  # fmt: skip
    assert clip.is_stream


def test_clips_stay_within_the_recording() -> None:
    source = stream("a", {}, steps=20)
    first, last = mined_clips([MinedEvent(0, 0.5, 0.9), MinedEvent(0, 10.0, 0.8)], [source])
    assert (first.start, first.samples) == (0, round(0.6 * SAMPLE_RATE))
    assert last.start + last.samples == source.clip.samples


def test_the_same_event_is_the_same_clip() -> None:
    source = stream("a", {})
    once, again, other = mined_clips(
        [MinedEvent(0, 5.5, 0.9), MinedEvent(0, 5.5, 0.4), MinedEvent(0, 7, 0.9)], [source]
    )
    assert once == again
    assert once.id != other.id


def sounding(recording: TrainStream, sounds: dict[int, int]) -> TrainStream:
    """The recording with embeddings: around each of the given steps those of one of a few sounds, else noise."""
    rng = np.random.default_rng(len(sounds))
    rows = rng.normal(size=(recording.features.samples // EMBEDDING_HOP_SAMPLES, 96))
    for step, sound in sounds.items():
        last = round(((step + 1) * STEP_S * SAMPLE_RATE) / EMBEDDING_HOP_SAMPLES)
        rows[last - 24 : last] = np.random.default_rng(1000 + sound).normal(size=(24, 96))
    return TrainStream(recording.clip, replace(recording.features, embeddings=rows.astype(np.float16)))


def gather(
    streams: list[TrainStream], *, witnesses: int = 0, sure: float = 0.9, known: list[Clip] | None = None,
    events_per_round: int = 100, share_per_source: float = 1.0, events_per_group: int = 3,
) -> Harvest:  # fmt: skip
    """A harvest; witness n says what is written in band n + 1."""
    mining = MiningConfig(
        events_per_round=events_per_round, share_per_source=share_per_source, events_per_group=events_per_group
    )
    jury = [Witness(WrittenNetwork(band=number + 1), sure) for number in range(witnesses)]
    return harvest([WrittenNetwork()], streams, witnesses=jury, mining=mining, evaluation=RULE, known=known or ())


JINGLES = {10: 5.0, 30: 4.0, 50: 3.0, 70: 2.0, 90: 1.0, 110: 4.5}
SOUNDS = {10: 1, 30: 1, 50: 1, 70: 1, 90: 1, 110: 2}


@pytest.mark.parametrize("per_group", [1, 2, 3])
def test_look_alikes_are_limited_and_the_loudest_stay(per_group: int) -> None:
    got = gather([sounding(stream("a", JINGLES), SOUNDS)], events_per_group=per_group)
    times = [catch.event.time_s for catch in got.kept]
    jingle = [5.5, 15.5, 25.5][:per_group]
    assert sorted(times) == sorted([*jingle, 55.5])
    assert (got.groups, got.look_alikes, got.loud) == (2, 5 - per_group, 6)
    assert len({catch.group for catch in got.kept if catch.event.time_s != 55.5}) == 1
    assert [clip.start for clip in got.clips] == [round((t - BEFORE_S) * SAMPLE_RATE) for t in times]


def test_sounds_without_a_likeness_are_groups_of_their_own() -> None:
    different = {step: number for number, step in enumerate(JINGLES)}
    got = gather([sounding(stream("a", JINGLES), different)], events_per_group=1)
    assert (got.groups, len(got.kept), got.look_alikes) == (6, 6, 0)
    assert got.kept[0].event.time_s == 5.5  # the loudest first


def test_recordings_too_short_for_an_embedding_are_no_look_alikes() -> None:
    got = gather([stream("a", {10: 5.0}), stream("b", {10: 4.0})], events_per_group=1)
    assert (got.groups, len(got.kept)) == (2, 2)


def test_sources_have_their_share_and_a_round_its_size() -> None:
    many = {step: 5.0 for step in range(0, 200, 5)}
    streams = [stream("a1", many, source="a"), stream("a2", many, source="a"), stream("b", many)]
    got = gather(streams, events_per_round=10, share_per_source=0.3)
    assert [clip.source for clip in got.clips] == ["a"] * 3 + ["b"] * 3
    assert got.over_share == 3 * 40 - 6
    assert len(gather(streams, events_per_round=10).kept) == 10


def heard_by(witnesses: list[dict[int, float]], own: dict[int, float]) -> TrainStream:
    recording = stream("a", own)
    frames = recording.features.logmel.copy()
    for band, said in enumerate(witnesses, 1):
        frames[:, band] = [said.get(step, QUIET) for step in range(len(frames))]
    return TrainStream(recording.clip, replace(recording.features, logmel=frames))


def test_what_all_are_sure_of_is_quarantined() -> None:
    """The witnesses say 0.95 and 0.95, 0.95 and 0.5, nothing and 0.95."""
    sure = {10: 3.0, 50: 3.0, 90: 3.0}
    recording = heard_by([{10: 3.0, 50: 3.0}, {10: 3.0, 50: 0.0, 90: 3.0}], sure)
    got = gather([recording], witnesses=2, sure=0.9)
    assert [catch.event.time_s for catch in got.quarantined] == [5.5]
    assert sorted(catch.event.time_s for catch in got.kept) == [25.5, 45.5]
    assert got.quarantined[0].witnesses == pytest.approx((0.953, 0.953), abs=1e-3)
    assert len(got.clips) == len(got.kept)


def test_what_is_hardly_heard_is_set_aside_as_well_and_nobody_asked_means_nothing_is() -> None:
    recording = heard_by([{10: 9.0}], {10: -1.0})
    assert len(gather([recording], witnesses=1).quarantined) == 1
    assert gather([recording], witnesses=0).quarantined == []


def test_every_witness_has_its_own_measure() -> None:
    recording = heard_by([{10: 3.0}, {10: -2.0}], {10: 1.0})
    for sure, aside in ((0.1, 1), (0.2, 0)):  # the second says 0.12
        jury = [Witness(WrittenNetwork(band=1), 0.9), Witness(WrittenNetwork(band=2), sure)]
        got = harvest([WrittenNetwork()], [recording], witnesses=jury, mining=MiningConfig(), evaluation=RULE)
        assert len(got.quarantined) == aside


@given(low=st.floats(0.01, 1), high=st.floats(0.01, 1), seed=st.integers(0, 99))
@settings(max_examples=30)
def test_a_higher_quarantine_score_sets_fewer_aside(low: float, high: float, seed: int) -> None:
    low, high = min(low, high), max(low, high)
    logits = np.random.default_rng(seed).normal(1, 3, (3, 12))
    steps = range(10, 190, 15)
    recording = heard_by(
        [dict(zip(steps, row, strict=True)) for row in logits[1:].tolist()],
        dict(zip(steps, logits[0].tolist(), strict=True)),
    )
    strict, lax = (gather([recording], witnesses=2, sure=score) for score in (low, high))
    aside = [{catch.event.time_s for catch in got.quarantined} for got in (strict, lax)]
    assert aside[1] <= aside[0]
    for got in (strict, lax):
        assert not {c.event.time_s for c in got.kept} & {c.event.time_s for c in got.quarantined}
        assert len(got.kept) + len(got.quarantined) == got.loud


def test_two_finders_hear_one_event_once() -> None:
    """The second is louder one step (0.5 s) later, and alone at 45.5 s."""
    recording = heard_by([{11: 4.0, 90: 2.0}], {10: 3.0, 50: 3.0})
    networks = [WrittenNetwork(), WrittenNetwork(band=1)]
    mining = MiningConfig(events_per_round=9, share_per_source=1.0)
    got = harvest(networks, [recording], witnesses=[], mining=mining, evaluation=RULE)
    assert [catch.event.time_s for catch in got.kept] == [6.0, 25.5, 45.5]


def test_what_an_earlier_harvest_has_is_not_taken_again() -> None:
    recording = stream("a", {10: 3.0, 50: 2.0})
    first = gather([recording], events_per_round=1)
    again = gather([recording], known=first.clips)
    assert (again.known, [catch.event.time_s for catch in again.kept]) == (1, [25.5])
    assert gather([recording], known=[*first.clips, *again.clips]).kept == []


@pytest.mark.parametrize(("size", "share", "group", "kept"), [(3, 1.0, 9, 3), (100, 0.03, 9, 3), (100, 1.0, 2, 3)])
def test_the_same_harvest_twice_brings_nothing_new(size: int, share: float, group: int, kept: int) -> None:
    recording = sounding(stream("a", JINGLES), SOUNDS)
    first = gather([recording], events_per_round=size, share_per_source=share, events_per_group=group)
    again = gather(
        [recording], known=first.clips, events_per_round=size, share_per_source=share, events_per_group=group
    )
    assert len(first.kept) == kept
    assert (again.kept, again.known) == ([], len(first.kept))
