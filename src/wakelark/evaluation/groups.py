"""Scored clips and scored streams, and what they add up to: as a whole, by voice engine and kind, by recording."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

import numpy as np

from wakelark.evaluation.events import Events
from wakelark.evaluation.intervals import (
    Interval,
    bootstrap_by_group,
    bootstrap_ratio,
    poisson_interval,
    wilson_interval,
)
from wakelark.evaluation.operating_point import DetCurve
from wakelark.evaluation.trace import Trace

FEWEST_DRAWN = 5
"""Speakers, clips or blocks that a bootstrap draws from: of fewer, its interval is narrower than the truth."""

Item = TypeVar("Item")
UNKNOWN = "unknown"
"""The group of what is not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredClip:
    """One positive (or near miss) after scoring.

    Attributes:
        file: its name, as shown.
        score: the highest smoothed score in its hit window.
        speaker: who speaks; "" when not labelled.
        engine: "kokoro", "piper", ..., or "recording".
        kind: a kind of `corpus.clip`, such as "alone" or "near_miss".
        text: what is said, "" when unknown.
        trace: its smoothed scores; None where nobody asked for them.
    """

    file: str
    score: float
    speaker: str = ""
    engine: str = "recording"
    kind: str = "own_positive"
    text: str = ""
    trace: Trace | None = None

    def row(self) -> dict[str, object]:
        """All but the trace, as plain data."""
        return {
            "file": self.file, "score": self.score, "speaker": self.speaker, "engine": self.engine, "kind": self.kind,
            "text": self.text,
        }  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ScoredStream:
    """One long recording without the phrase, after scoring.

    Attributes:
        name: of the recording, for instance its package.
        kind: "speech", "music", "noise", ...
        seconds: its length.
        events: its false alarms at every threshold.
        synthetic: made by a synthesis engine; its rates are labelled so.
        live_alarms: how often a running detector fired at the model's own threshold (see `events.live_alarms`).
        judge_wakes, judge_heard_s: with a judge, how often it was woken, and seconds of audio that it listened to.
        parts: (start in seconds, file name) of each file in it, in the order of time; may be empty.
    """

    name: str
    kind: str
    seconds: float
    events: Events
    synthetic: bool = False
    live_alarms: int = 0
    judge_wakes: int = 0
    judge_heard_s: float = 0.0
    parts: Sequence[tuple[float, str]] = field(default_factory=tuple)

    def locate(self, time_s: float) -> tuple[str, float]:
        """The file that plays at `time_s`, and the time within it."""
        if not self.parts:
            return self.name, time_s
        starts = [start_s for start_s, _ in self.parts]
        # An event is known at the end of its step: exactly at a border it belongs to what was just heard.
        index = max(0, int(np.searchsorted(starts, time_s, side="left")) - 1)
        return self.parts[index][1], time_s - starts[index]


def det_curve(clips: Iterable[ScoredClip], streams: Iterable[ScoredStream], *, floor: float = 0.0) -> DetCurve:
    """The curve of all clips against all streams.

    Raises:
        DataError: the streams hold no audio.
    """
    heard = list(streams)
    events = np.concatenate([np.zeros(0), *(stream.events.scores for stream in heard)])
    return DetCurve([clip.score for clip in clips], events, hours=total_hours(heard), floor=floor)


def total_hours(streams: Iterable[ScoredStream]) -> float:
    """Hours of audio in all streams."""
    return sum(stream.seconds for stream in streams) / 3600


def miss_groups(
    clips: Iterable[ScoredClip], by: Callable[[ScoredClip], str], *, threshold: float
) -> list[dict[str, object]]:
    """One row per group, sorted by name: `name, positives, missed, miss_rate, miss_rate_ci`."""
    return [{"name": name} | _misses(members, threshold) for name, members in _grouped(clips, by)]


def trait_groups(
    clips: Sequence[ScoredClip], traits: Mapping[str, Mapping[str, str]], *, threshold: float
) -> dict[str, list[dict[str, object]]]:
    """`miss_groups` for each trait (trait -> clip -> value); clips that a trait does not know are a group of theirs."""
    return {
        name: miss_groups(clips, partial(_value_of, values), threshold=threshold) for name, values in traits.items()
    }


def _value_of(values: Mapping[str, str], clip: ScoredClip) -> str:
    return values.get(clip.file, UNKNOWN)


def alarm_groups(
    streams: Iterable[ScoredStream], by: Callable[[ScoredStream], str], *, threshold: float
) -> list[dict[str, object]]:
    """One row per group, sorted by name: `name, kind, hours, false_alarms, fa_per_hour, fa_per_hour_ci, synthetic`."""
    rows: list[dict[str, object]] = []
    for name, members in _grouped(streams, by):
        alarms = sum(len(stream.events.above(threshold)) for stream in members)
        hours = total_hours(members)
        if hours <= 0:
            continue
        rows.append(
            {
                "name": name,
                "kind": ", ".join(sorted({stream.kind for stream in members})),
                "hours": hours,
                "false_alarms": alarms,
                "fa_per_hour": alarms / hours,
                "fa_per_hour_ci": list(poisson_interval(alarms, hours)),
                "synthetic": all(stream.synthetic for stream in members),
            }
        )
    return rows


def miss_bootstrap(
    clips: Sequence[ScoredClip], *, threshold: float, rng: np.random.Generator
) -> tuple[Interval, str] | None:
    """Bootstrap interval of the miss rate and what was drawn: "speaker" when every clip names one, else "clip".

    None where drawing says nothing: fewer than `FEWEST_DRAWN` to draw from, or all of them alike.
    """
    labelled = all(clip.speaker for clip in clips)
    names = [clip.speaker if labelled else str(number) for number, clip in enumerate(clips)]
    missed = np.array([clip.score < threshold for clip in clips], dtype=bool)
    if len(set(names)) < FEWEST_DRAWN or missed.all() or not missed.any():
        return None
    return bootstrap_by_group(missed, names, rng=rng), ("speaker" if labelled else "clip")


def alarm_bootstrap(streams: Sequence[ScoredStream], *, threshold: float, rng: np.random.Generator) -> Interval | None:
    """Bootstrap interval of the false alarms per hour over ten-minute blocks: alarms come in clusters.

    None where drawing says nothing: fewer than `FEWEST_DRAWN` blocks, or not one alarm.
    """
    block_s = 600.0
    counts: list[int] = []
    hours: list[float] = []
    for stream in streams:
        times_s = stream.events.above(threshold).times_s
        for start_s in np.arange(0.0, stream.seconds, block_s):
            counts.append(int(np.sum((times_s > start_s) & (times_s <= start_s + block_s))))
            hours.append(min(block_s, stream.seconds - start_s) / 3600)
    if len(counts) < FEWEST_DRAWN or not any(counts):
        return None
    return bootstrap_ratio(counts, hours, rng=rng)


def miss_figures(clips: Sequence[ScoredClip], *, threshold: float, rng: np.random.Generator) -> dict[str, object]:
    """`positives, missed, miss_rate, miss_rate_ci, miss_rate_bootstrap_ci, bootstrap_unit`; None without clips."""
    bootstrap = miss_bootstrap(clips, threshold=threshold, rng=rng)
    return _misses(clips, threshold) | {
        "miss_rate_bootstrap_ci": list(bootstrap[0]) if bootstrap else None,
        "bootstrap_unit": bootstrap[1] if bootstrap else None,
    }


def alarm_figures(
    streams: Sequence[ScoredStream], curve: DetCurve, *, threshold: float, rng: np.random.Generator
) -> dict[str, object]:
    """`false_alarms, fa_per_hour, fa_per_hour_ci, fa_per_hour_bootstrap_ci` of streams, and of their curve."""
    point = curve.at(threshold)
    drawn = alarm_bootstrap(streams, threshold=threshold, rng=rng)
    return {
        "false_alarms": point.false_alarms,
        "fa_per_hour": point.fa_per_hour,
        "fa_per_hour_ci": list(point.fa_per_hour_ci),
        "fa_per_hour_bootstrap_ci": list(drawn) if drawn else None,
    }


def _misses(clips: Sequence[ScoredClip], threshold: float) -> dict[str, object]:
    missed = sum(clip.score < threshold for clip in clips)
    return {
        "positives": len(clips),
        "missed": missed,
        "miss_rate": missed / len(clips) if clips else None,
        "miss_rate_ci": list(wilson_interval(missed, len(clips))),
    }


def _grouped(items: Iterable[Item], by: Callable[[Item], str]) -> list[tuple[str, list[Item]]]:
    groups: dict[str, list[Item]] = {}
    for item in items:
        groups.setdefault(by(item), []).append(item)
    return sorted(groups.items())
