"""What was found out about a recording, in plain words: the verdict of `wakelark diagnose`."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from wakelark.evaluation.events import log_odds
from wakelark.evaluation.sound_check import Fault

CLOSE = 1.0
"""In log-odds: a score that misses the threshold by less only just misses it."""
GAIN = 0.7
"""In log-odds: a change that raises the score by less does not matter."""
FAR = 4.0
"""In log-odds: a changed sound that stays farther below the threshold explains nothing."""
UNLIKE = 0.5
"""A similarity below this is that of clips that have nothing in common (docs/diagnose.md)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WhatIf:
    """The highest smoothed score of the same sound, changed, and as it is."""

    change: str
    peak: float
    as_it_is: float

    @property
    def gain(self) -> float:
        """By how much the log-odds rise."""
        changed, before = log_odds(np.array([self.peak, self.as_it_is]))
        return float(changed - before)


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbours:
    """The clips of the run that the 1.5 s before the peak sound like.

    Attributes:
        nearest: `text, what, holds_phrase, voice, similarity` of each, the most similar first.
        compared_with: clips of the run.
        text, what, votes: what most of the nearest say, and how many they are.
        phrase_votes: how many of the nearest hold the phrase.
        phrase_similarity: of the most similar clip with the phrase.
    """

    nearest: tuple[dict[str, object], ...]
    compared_with: int
    text: str
    what: str
    votes: int
    phrase_votes: int
    phrase_similarity: float

    @property
    def similarity(self) -> float:
        """Of the nearest."""
        return float(str(self.nearest[0]["similarity"]))

    @property
    def is_phrase(self) -> bool:
        """Whether most of the nearest hold the phrase."""
        return self.phrase_votes * 2 > len(self.nearest)

    def sentence(self) -> str:
        """What it sounds like."""
        if self.similarity < UNLIKE:
            return f"nothing in the run's clips sounds like it (the nearest: {self.text!r}, {self.similarity:.2f})"
        often = "" if self.votes == 1 else f" in {self.votes} of the {len(self.nearest)} nearest clips"
        return (
            f"it sounds most like {self.text!r} ({self.what}){often} (similarity {self.similarity:.2f}; the nearest "
            f"clip with the phrase {self.phrase_similarity:.2f})"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Everything a verdict rests on.

    Attributes:
        phrase, threshold: of the model.
        fired_s: when it fired.
        peak, peak_s: the highest score that decides, smoothed, and when it was known; with a judge, of its verdict.
        raw_peak, raw_peak_s: the same of the scores before smoothing.
        ungated_peak: the highest smoothed score of the model if the voice gate were always open.
        wakes_at: the smoothed score of the model that wakes its judge; None without a judge.
        own_peak: the highest smoothed score of the model itself.
        presets: name and threshold of the model's presets, strict first.
        above_s: how long the smoothed score was at or above the threshold.
        seconds: of the recording.
        faults: of the sound around the peak.
        what_if: scores of changed sound.
        neighbours: None where they were left out.
        run, file: for commands; `run` is None where it is not known.
    """

    phrase: str
    threshold: float
    fired_s: tuple[float, ...]
    peak: float
    peak_s: float
    raw_peak: float
    raw_peak_s: float
    ungated_peak: float
    wakes_at: float | None
    own_peak: float
    presets: tuple[tuple[str, float], ...]
    above_s: float
    seconds: float
    faults: tuple[Fault, ...]
    what_if: tuple[WhatIf, ...]
    neighbours: Neighbours | None
    run: str | None
    file: str


def explain(facts: Facts) -> dict[str, object]:
    """`headline` and `reasons`: `[{"code", "what", "remedy"}]`, what matters most first."""
    reasons = list(_why_fired(facts) if facts.fired_s else _why_silent(facts))
    return {
        "headline": _headline(facts),
        "reasons": [{"code": code, "what": what, "remedy": remedy} for code, what, remedy in reasons],
    }


def _headline(facts: Facts) -> str:
    if facts.fired_s:
        times = ", ".join(f"{time_s:.2f} s" for time_s in facts.fired_s[:5])
        more = f" and {len(facts.fired_s) - 5} times more" if len(facts.fired_s) > 5 else ""
        limit = _score(facts.threshold)
        return f"It fired at {times}{more}: the score rose to {_score(facts.peak)}, the threshold is {limit}."
    if facts.peak == 0 and facts.wakes_at is not None:
        return "It did not fire: nothing woke the judge."
    return (
        f"It did not fire: the score peaked at {_score(facts.peak)} at {facts.peak_s:.2f} s, the threshold is "
        f"{_score(facts.threshold)}."
    )


_Reason = tuple[str, str, str]


def _why_fired(facts: Facts) -> Iterator[_Reason]:
    near = facts.neighbours
    if near is not None and near.is_phrase and near.similarity >= UNLIKE:
        yield "phrase", near.sentence(), f"nothing to do if somebody said it; if nobody did: {_as_hard_negative(facts)}"
    elif near is not None:
        yield "near-miss", near.sentence(), _as_hard_negative(facts)
    if _short_of(facts, facts.threshold) < CLOSE:
        yield (
            "barely",
            f"only just: the score passed the threshold by {facts.peak - facts.threshold:.3f}, "
            f"for {facts.above_s:.2f} s",
            f"if this must not fire, {_stricter(facts)}; `wakelark evaluate` with the same option says what else it "
            "would miss",
        )
    elif near is None:
        yield (
            "clearly",
            f"clearly: the score stayed at or above the threshold for {facts.above_s:.2f} s",
            f"if nobody said {facts.phrase!r}: {_as_hard_negative(facts)}",
        )
    yield from _sound_reasons(facts)


def _why_silent(facts: Facts) -> Iterator[_Reason]:
    if facts.faults and facts.faults[0].code == "silent":
        yield "silent", facts.faults[0].what, facts.faults[0].remedy
        return
    for change in sorted(facts.what_if, key=lambda change: -change.peak):
        # A rise far below the threshold is none that matters.
        if change.gain >= GAIN and _above(change.peak, facts.threshold) > -FAR:
            outcome = "and would fire" if change.peak >= facts.threshold else "which is still not enough"
            yield (
                "recording",
                f"{change.change} the same sound scores {_score(change.peak)} instead of {_score(change.as_it_is)}, "
                f"{outcome}",
                "mend how it is recorded: "
                + (facts.faults[0].remedy if facts.faults else "see the figures of the sound"),
            )
    yield from _sound_reasons(facts)
    yield from _why_below(facts)
    yield from _what_was_said(facts)


def _why_below(facts: Facts) -> Iterator[_Reason]:
    """What stood between the model's scores and the threshold: the first of these that holds."""
    wanted = facts.threshold if facts.wakes_at is None else facts.wakes_at
    if facts.wakes_at is not None and facts.own_peak >= wanted:
        yield (
            "judge",
            f"the model's own score of {_score(facts.own_peak)} woke the judge (from {_score(wanted)}), which did not "
            f"agree: the verdict of both reached {_score(facts.peak)} of {_score(facts.threshold)}",
            f"if {facts.phrase!r} was said, ask the judge itself: `wakelark diagnose` with its model file",
        )
    elif facts.ungated_peak >= wanted:
        yield (
            "gate",
            f"the model did hear it (smoothed score {_score(facts.ungated_peak)}), but the voice gate was shut: "
            "nothing in the band of speech stood far enough above the background",
            "speak louder or nearer; or train with a lower evaluation.gate_db (0 switches the gate off)",
        )
    elif facts.raw_peak >= wanted:
        yield (
            "brief",
            f"a single score reached {_score(facts.raw_peak)} at {facts.raw_peak_s:.2f} s, but the mean over the "
            "smoothing time did not: it was heard for too short a moment",
            "speak a little slower, or lower the threshold",
        )
    elif facts.wakes_at is not None:
        yield (
            "asleep",
            f"nothing woke the judge: the model's own score peaked at {_score(facts.own_peak)}, it wakes at "
            f"{_score(wanted)}",
            "lower what wakes it (--threshold): that costs computing, and only the judge's own false alarms",
        )
    elif _short_of(facts, facts.threshold) < CLOSE:
        yield (
            "close",
            f"it only just missed the threshold, by {facts.threshold - facts.peak:.3f}",
            f"{_more_eager(facts)} would have fired; `wakelark evaluate` with the same option says how many false "
            "alarms that costs",
        )


def _what_was_said(facts: Facts) -> Iterator[_Reason]:
    near = facts.neighbours
    if near is None:
        if facts.peak < 0.01:
            yield (
                "unlike",
                f"nothing in it sounds like {facts.phrase!r} to the model",
                "check that the phrase is in the recording, whole and as it was trained",
            )
    elif near.similarity < UNLIKE:
        yield "unlike", near.sentence(), "check that the phrase is in the recording, whole and in the run's language"
    elif near.is_phrase:
        yield (
            "unheard-voice",
            near.sentence() + ", but the model does not know it in this voice or room",
            _as_positive(facts),
        )
    else:
        yield (
            "other-words",
            near.sentence(),
            f"if {facts.phrase!r} was said here: {_as_positive(facts)}; else it is right not to fire",
        )


def _sound_reasons(facts: Facts) -> Iterator[_Reason]:
    for fault in facts.faults:
        yield "sound-" + fault.code, f"the sound is {fault.what}", fault.remedy


def _stricter(facts: Facts) -> str:
    """What would not have fired: a preset where there is one, the least strict; else a threshold."""
    names = [name for name, threshold in facts.presets if threshold > facts.peak]
    if names:
        return f"the preset {names[-1]} is enough (--preset {names[-1]})"
    return f"a threshold just above {_score(facts.peak)} is enough (--threshold)"


def _more_eager(facts: Facts) -> str:
    """What would have fired: a preset where there is one, the strictest; else a threshold."""
    names = [name for name, threshold in facts.presets if threshold <= facts.peak]
    if names:
        return f"the preset {names[0]} (--preset {names[0]})"
    return f"a threshold of {_score(facts.peak)} (--threshold)"


def _short_of(facts: Facts, threshold: float) -> float:
    """Distance of the peak from the threshold in log-odds, either way."""
    return abs(_above(facts.peak, threshold))


def _above(score: float, threshold: float) -> float:
    """How far a score lies above a threshold, in log-odds."""
    found, limit = log_odds(np.array([score, threshold]))
    return float(found - limit)


def _as_positive(facts: Facts) -> str:
    return _add(facts, "positive", "such recordings teach it")


def _as_hard_negative(facts: Facts) -> str:
    return _add(facts, "hard-negative", "such false alarms teach it")


def _add(facts: Facts, role: str, why: str) -> str:
    run = "RUN" if facts.run is None else shlex.quote(facts.run)
    return (
        f"{why}: put it into a folder and run `wakelark add {run} FOLDER --as {role}`, then `wakelark train --resume`"
    )


def _score(value: float) -> str:
    """A score as people compare it: enough digits near 0 and 1.

    >>> _score(0.31234), _score(0.00012), _score(0.99987), _score(0.0)
    ('0.312', '0.00012', '0.99987', '0')
    """
    if 0.01 <= value <= 0.99:
        return f"{value:.3f}"
    if value < 0.01:
        return f"{value:.2g}"
    return f"{value:.5f}"
