"""What `evaluate` tells beside the two rates: conditions, groups, near misses, latency, kinds of audio."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from wakelark.errors import ConfigError
from wakelark.evaluation.groups import (
    ScoredClip,
    ScoredStream,
    alarm_groups,
    det_curve,
    miss_figures,
    total_hours,
    trait_groups,
)
from wakelark.evaluation.latency import latency_of_clips
from wakelark.evaluation.near_misses import near_miss_figures
from wakelark.pipeline.clip_lists import Traits
from wakelark.pipeline.clip_measures import ClipMeasure, measured_traits, word_ends
from wakelark.pipeline.sources import ClipSource, NoiseSource


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """How the positives are played.

    Attributes:
        snr_db: level of the speech over noise; None for no noise.
        distance_m: how far away the speaker is put, in a simulated room; None for as recorded.
    """

    snr_db: float | None = None
    distance_m: float | None = None

    def sources(self, clips: Sequence[ClipSource]) -> list[ClipSource]:
        """The clips at this distance."""
        return [replace(clip, distance_m=self.distance_m) for clip in clips]

    def noise(self, noise: NoiseSource | None) -> NoiseSource | None:
        """The noise at this level."""
        return None if noise is None or self.snr_db is None else replace(noise, snr_db=self.snr_db)

    def facts(self) -> dict[str, float | None]:
        """For the result."""
        return {"snr_db": self.snr_db, "distance_m": self.distance_m}


def conditions(snrs_db: Sequence[float], distances_m: Sequence[float]) -> tuple[Condition, ...]:
    """Every distance with every level of noise; as recorded and without noise where nothing is asked for.

    An infinite level is no noise, so that both can be measured at once.

    >>> [str(c.distance_m) + " " + str(c.snr_db) for c in conditions([10.0, 0.0], [3.0])]
    ['3.0 10.0', '3.0 0.0']
    >>> [c.snr_db for c in conditions([math.inf, 10.0], [])]
    [None, 10.0]
    """
    for snr_db in snrs_db:
        check_snr(snr_db)
    return tuple(
        Condition(snr_db=None if snr_db == math.inf else snr_db, distance_m=distance_m)
        for distance_m in (distances_m or [None]) for snr_db in (snrs_db or [None])
    )  # fmt: skip


def check_snr(snr_db: float) -> None:
    """Refuse what is no level.

    Raises:
        ConfigError: not a number, or -inf.
    """
    if math.isnan(snr_db) or snr_db == -math.inf:
        raise ConfigError(f"--snr {snr_db:g}: give the level of the speech over the noise in dB; inf is without noise")


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """Everything that was scored.

    Attributes:
        trials: the positives, once per condition.
        near_misses: clips that only sound like the phrase.
        streams: recordings without it, with their events from `floor` up.
        measures, traits: of the positives, by name.
        threshold, seed: of the evaluation.
    """

    trials: Sequence[tuple[Condition, Sequence[ScoredClip]]]
    near_misses: Sequence[ScoredClip]
    streams: Sequence[ScoredStream]
    floor: float
    measures: Mapping[str, ClipMeasure]
    traits: Traits
    threshold: float
    seed: int


def breakdown(heard: Heard) -> dict[str, Any]:
    """`conditions, latency, near_misses`, and `groups` with `kinds` and `traits`; docs/evaluation.md has the keys."""
    first = heard.trials[0][1]
    traits = {**measured_traits(heard.measures), **heard.traits}
    return {
        "conditions": [_condition(condition, clips, heard) for condition, clips in heard.trials],
        "latency": _latency(first, heard),
        "near_misses": near_miss_figures(
            heard.near_misses, threshold=heard.threshold, rng=np.random.default_rng(heard.seed)
        ),
        "groups": {
            "kinds": alarm_groups(heard.streams, lambda stream: stream.kind, threshold=heard.threshold),
            "traits": trait_groups(first, traits, threshold=heard.threshold),
        },
    }


def _condition(condition: Condition, clips: Sequence[ScoredClip], heard: Heard) -> dict[str, object]:
    figures = miss_figures(clips, threshold=heard.threshold, rng=np.random.default_rng(heard.seed))
    matched: list[dict[str, object]] = []
    if total_hours(heard.streams):
        curve = det_curve(clips, heard.streams, floor=heard.floor)
        matched = [
            {"fa_per_hour_budget": budget, "miss_rate": point.miss_rate} for budget, point in curve.operating_points()
        ]
    return {**condition.facts(), **figures, "latency": _latency(clips, heard), "matched": matched}


def _latency(clips: Sequence[ScoredClip], heard: Heard) -> dict[str, object]:
    return latency_of_clips(clips, word_ends(heard.measures), threshold=heard.threshold)
