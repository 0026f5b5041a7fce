"""Audio-level mining: what in long recordings fools the models becomes hard negatives.

`harvest` does all of it, for the rounds of a training, for the ablation and for `wakelark mine`: the events that any of
the networks is loud at, grouped by how they sound, some of each group, no source with more than its share, and aside
what so many networks are so sure of that it may be the phrase itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from wakelark.audio import SAMPLE_RATE
from wakelark.config import EvaluationConfig, MiningConfig
from wakelark.corpus.cache import content_key
from wakelark.corpus.clip import Clip
from wakelark.evaluation.events import Float64Array, smooth, smoothing_steps
from wakelark.evaluation.stream import stream_events
from wakelark.pipeline.look_alikes import LookAlikes
from wakelark.pipeline.networks import Network
from wakelark.training.stream_features import StreamFeatures

BEFORE_S = 1.7
AFTER_S = 0.1
"""A mined clip reaches from 1.7 s before its peak to 0.1 s after: as much as the networks saw when they fired."""
NEAR_S = 0.4
"""Two networks hear the same event when their peaks are at most this far apart."""


@dataclass(frozen=True, slots=True)
class TrainStream:
    """A recording that may be mined: its manifest line and its features."""

    clip: Clip
    features: StreamFeatures


@dataclass(frozen=True, slots=True)
class Witness:
    """A network that is asked whether an event may be the phrase: yes, where its smoothed score reaches `sure`."""

    network: Network
    sure: float


@dataclass(frozen=True, slots=True)
class MinedEvent:
    """One event: where it is and how loud."""

    stream: int
    time_s: float
    score: float


@dataclass(frozen=True, slots=True)
class Catch:
    """An event that a harvest has looked at.

    Attributes:
        event: where and how loud.
        group: number of its group of look-alikes.
        witnesses: the score of every witness near it.
    """

    event: MinedEvent
    group: int
    witnesses: tuple[float, ...]


@dataclass(slots=True)
class Harvest:
    """What a harvest brought.

    Attributes:
        loud: how many events were loud enough.
        kept: the hard negatives, the loudest first.
        quarantined: events that may be the phrase itself; never trained on.
        look_alikes: how many were left out because their group had enough.
        over_share: how many were left out because their source had enough.
        known: how many were left out because an earlier harvest has them.
        groups: how many groups of look-alikes there were.
        clips: the manifest lines of `kept`.
    """

    loud: int = 0
    kept: list[Catch] = field(default_factory=list)
    quarantined: list[Catch] = field(default_factory=list)
    look_alikes: int = 0
    over_share: int = 0
    known: int = 0
    groups: int = 0
    clips: list[Clip] = field(default_factory=list)


def harvest(
    finders: Sequence[Network],
    streams: Sequence[TrainStream],
    *,
    witnesses: Sequence[Witness],
    mining: MiningConfig,
    evaluation: EvaluationConfig,
    known: Iterable[Clip] = (),
    elsewhere: Iterable[Clip] = (),
) -> Harvest:
    """The loudest events of `finders` in the streams: some of each group of look-alikes, capped, suspects set aside.

    Args:
        finders: what fools any of them is an event.
        streams: recordings without the phrase, as far as anyone knows.
        witnesses: an event is quarantined when every one of them is sure of it. For calibrated heads that is
            `mining.quarantine_score`, for a student its own threshold. Without witnesses nothing is quarantined.
        mining: sizes, caps and thresholds.
        evaluation: smoothing and refractory time.
        known: clips of earlier harvests; what begins within `evaluation.refractory_s` of one is not taken again, but
            counts in its group, its source and the size, so that the same harvest twice brings nothing new.
        elsewhere: clips of other networks' harvests; not taken again, and not counted.
    """
    events = _loud_events(finders, streams, mining=mining, evaluation=evaluation)
    jury = _Jury(witnesses, streams, evaluation)
    groups = LookAlikes([stream.features for stream in streams], similarity=mining.look_alike_similarity)
    cap = max(1, round(mining.share_per_source * mining.events_per_round))
    taken: Counter[str] = Counter()
    in_group: Counter[int] = Counter()
    before = _Starts(known, reach=round(evaluation.refractory_s * SAMPLE_RATE))
    others = _Starts(elsewhere, reach=round(evaluation.refractory_s * SAMPLE_RATE))
    result = Harvest(loud=len(events))
    for event in events:
        source = streams[event.stream].clip.source
        (clip,) = mined_clips([event], streams)
        if clip in others:
            continue
        if len(result.kept) + result.known == mining.events_per_round:
            break
        if taken[source] == cap:
            result.over_share += 1
            continue
        catch = Catch(event, groups.group(event.stream, event.time_s), jury.scores(event))
        if clip in before:
            result.known += 1
        elif jury.agrees(catch.witnesses):
            result.quarantined.append(catch)
            continue
        elif in_group[catch.group] == mining.events_per_group:
            result.look_alikes += 1
            continue
        else:
            result.kept.append(catch)
            result.clips.append(clip)
        taken[source] += 1
        in_group[catch.group] += 1
    result.groups = groups.count
    return result


def mined_clips(events: Sequence[MinedEvent], streams: Sequence[TrainStream]) -> list[Clip]:
    """Manifest lines of the events: windows of the stream that end just after the peak."""
    clips = []
    for event in events:
        parent = streams[event.stream].clip
        end = min(round((event.time_s + AFTER_S) * SAMPLE_RATE), parent.samples)
        start = max(0, end - round((BEFORE_S + AFTER_S) * SAMPLE_RATE))
        clips.append(
            Clip(
                id=content_key(parent.id, start, end)[:16],
                path=parent.path,
                start=parent.start + start,
                samples=end - start,
                label=0,
                hard_negative=1,
                kind="mined",
                voice=parent.voice,
                engine=parent.engine,
                source=parent.source,
                licence=parent.licence,
                split="train",
            )
        )
    return clips


def _loud_events(
    finders: Sequence[Network], streams: Sequence[TrainStream], *, mining: MiningConfig, evaluation: EvaluationConfig
) -> list[MinedEvent]:
    """All events of at least `mining.score_min`, the loudest first; of two that are near each other, the louder."""
    events: list[MinedEvent] = []
    for index, stream in enumerate(streams):
        found: list[MinedEvent] = []
        for network in finders:
            steps = smoothing_steps(step_s=network.step_s, smoothing_s=evaluation.smoothing_s)
            peaks = stream_events(
                network.scores(stream.features), step_s=network.step_s, smoothing_steps=steps,
                refractory_s=evaluation.refractory_s, floor=mining.score_min,
            )  # fmt: skip
            # stream_events counts steps from the first score; that step ends at first_s.
            start_s = network.first_s - network.step_s
            found += [MinedEvent(index, start_s + t, s) for t, s in zip(peaks.times_s, peaks.scores, strict=True)]
        events += found if len(finders) == 1 else _apart(found, evaluation.refractory_s)
    return sorted(events, key=_loudest_first)


def _loudest_first(event: MinedEvent) -> tuple[float, int, float]:
    return -event.score, event.stream, event.time_s


def _apart(events: Sequence[MinedEvent], refractory_s: float) -> list[MinedEvent]:
    """Without those that lie within `refractory_s` of a louder one: what two networks hear is one event."""
    chosen: list[MinedEvent] = []
    occupied: dict[int, list[float]] = {}
    for event in sorted(events, key=_loudest_first):
        bucket = int(event.time_s // refractory_s)
        near = (time_s for slot in (bucket - 1, bucket, bucket + 1) for time_s in occupied.get(slot, ()))
        if all(abs(event.time_s - time_s) >= refractory_s for time_s in near):
            occupied.setdefault(bucket, []).append(event.time_s)
            chosen.append(event)
    return chosen


class _Starts:
    """Where clips begin, to be asked whether another begins near one of them."""

    def __init__(self, clips: Iterable[Clip], *, reach: int) -> None:
        self._reach = reach
        self._starts: dict[str, list[int]] = {}
        for clip in clips:
            self._starts.setdefault(clip.path, []).append(clip.start)

    def __contains__(self, clip: Clip) -> bool:
        return any(abs(clip.start - start) < self._reach for start in self._starts.get(clip.path, ()))


class _Jury:
    """Asks the witnesses; each listens to a stream once, and only when it is asked about it."""

    def __init__(
        self, witnesses: Sequence[Witness], streams: Sequence[TrainStream], evaluation: EvaluationConfig
    ) -> None:
        self._witnesses, self._streams, self._evaluation = witnesses, streams, evaluation
        self._heard: dict[tuple[int, int], Float64Array] = {}

    def scores(self, event: MinedEvent) -> tuple[float, ...]:
        """The loudest smoothed score of every witness near an event."""
        return tuple(self._near(number, event) for number in range(len(self._witnesses)))

    def agrees(self, scores: Sequence[float]) -> bool:
        """Whether these scores are those of a jury that is sure, every one of it."""
        sure = [score >= witness.sure for score, witness in zip(scores, self._witnesses, strict=True)]
        return bool(sure) and all(sure)

    def _near(self, number: int, event: MinedEvent) -> float:
        network = self._witnesses[number].network
        smoothed = self._smoothed(number, event.stream)
        first = round((event.time_s - NEAR_S - network.first_s) / network.step_s)
        last = round((event.time_s + NEAR_S - network.first_s) / network.step_s)
        return float(smoothed[max(0, first) : max(0, last + 1)].max(initial=0.0))

    def _smoothed(self, number: int, stream: int) -> Float64Array:
        if (number, stream) not in self._heard:
            network = self._witnesses[number].network
            steps = smoothing_steps(step_s=network.step_s, smoothing_s=self._evaluation.smoothing_s)
            self._heard[number, stream] = smooth(network.scores(self._streams[stream].features), steps)
        return self._heard[number, stream]
