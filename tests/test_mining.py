"""Mining: what is loud is found, no source takes more than its share, the clip is what the network heard."""

from __future__ import annotations

import pytest

from wakelark.audio import SAMPLE_RATE
from wakelark.config import EvaluationConfig, MiningConfig
from wakelark.corpus.clip import Clip
from wakelark.pipeline.mining import AFTER_S, BEFORE_S, MinedEvent, TrainStream, loudest_events, mean_score, mined_clips

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
    return loudest_events(WrittenNetwork(), streams, mining=mining, evaluation=RULE)


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


def test_mean_score() -> None:
    assert mean_score([]) == 0.0
    assert mean_score([MinedEvent(0, 1, 0.2), MinedEvent(0, 2, 0.4)]) == pytest.approx(0.3)
