"""Audio-level mining: what in the training recordings fools the model becomes hard negatives, through a manifest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from wakelark.audio import SAMPLE_RATE
from wakelark.config import EvaluationConfig, MiningConfig
from wakelark.corpus.cache import content_key
from wakelark.corpus.clip import Clip
from wakelark.evaluation.events import smoothing_steps
from wakelark.evaluation.stream import stream_events
from wakelark.pipeline.networks import Network
from wakelark.training.stream_features import StreamFeatures

BEFORE_S = 1.7
AFTER_S = 0.1
"""A mined clip reaches from 1.7 s before its peak to 0.1 s after: as much as the networks saw when they fired."""


@dataclass(frozen=True, slots=True)
class TrainStream:
    """A recording that may be mined: its manifest line and its features."""

    clip: Clip
    features: StreamFeatures


@dataclass(frozen=True, slots=True)
class MinedEvent:
    """One event: where it is and how loud."""

    stream: int
    time_s: float
    score: float


def loudest_events(
    network: Network, streams: Sequence[TrainStream], *, mining: MiningConfig, evaluation: EvaluationConfig
) -> list[MinedEvent]:
    """The loudest events of all streams, at most `mining.events_per_round`, capped per source."""
    steps = smoothing_steps(step_s=network.step_s, smoothing_s=evaluation.smoothing_s)
    found: list[MinedEvent] = []
    for index, stream in enumerate(streams):
        events = stream_events(
            network.scores(stream.features), step_s=network.step_s, smoothing_steps=steps,
            refractory_s=evaluation.refractory_s, floor=mining.score_min,
        )  # fmt: skip
        # stream_events counts steps from the first score; that step ends at first_s.
        start_s = network.first_s - network.step_s
        found += [MinedEvent(index, start_s + t, s) for t, s in zip(events.times_s, events.scores, strict=True)]
    cap = max(1, round(mining.share_per_source * mining.events_per_round))
    taken: dict[str, int] = {}
    chosen: list[MinedEvent] = []
    for event in sorted(found, key=lambda event: (-event.score, event.stream, event.time_s)):
        source = streams[event.stream].clip.source
        if taken.get(source, 0) < cap and len(chosen) < mining.events_per_round:
            taken[source] = taken.get(source, 0) + 1
            chosen.append(event)
    return chosen


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


def mean_score(events: Sequence[MinedEvent]) -> float:
    """Mean score of the events, 0 for none: how loud a round's harvest was."""
    return float(np.mean([event.score for event in events])) if events else 0.0
