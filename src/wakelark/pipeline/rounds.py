"""Mining rounds: finding what fools a model and training it again, each round kept only if it helps.

The accurate model is mined first, then the tiny one, each by what fools itself: `learners.py` has the two.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np

from wakelark.config import Config
from wakelark.corpus.cache import content_key
from wakelark.corpus.clip import Clip
from wakelark.pipeline.corpus import Corpus
from wakelark.pipeline.mined_file import MinedLine, MinedRound, read_rounds, write_rounds
from wakelark.pipeline.mining import Catch, TrainStream, Witness, harvest, mined_clips
from wakelark.pipeline.networks import Network
from wakelark.pipeline.views import mined_views
from wakelark.training.stream_features import Progress
from wakelark.training.view_store import ViewStore

Trained = TypeVar("Trained")


class Learner(ABC, Generic[Trained]):
    """What is trained, mined with, and trained again.

    Attributes:
        model: in reports: "accurate" or "tiny".
        name: of its stages: "teacher" gives "teacher-mined-1".
    """

    model: str
    name: str

    @abstractmethod
    def train(self, store: ViewStore, *, data_key: str, name: str) -> Trained:
        """Train on `store`, going on from checkpoints; `name` is the stage's."""

    @abstractmethod
    def figure(self, trained: Trained) -> float:
        """Mean miss rate on development clips over 0.5 to 4 false alarms per hour. Without the margin that decides
        between equals elsewhere: a round must lower the misses."""

    @abstractmethod
    def finders(self, trained: Trained) -> Sequence[Network]:
        """The networks whose false alarms are looked for."""

    @abstractmethod
    def witnesses(self, trained: Trained) -> Sequence[Witness]:
        """Who is asked whether an event may be the phrase."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """One mining round: what was found, how loud it was, and the development figure before and after.

    Attributes:
        model: that was mined with and trained again, "accurate" or "tiny".
        loud: events above `mining.score_min`.
        groups: groups of look-alikes among those that were looked at.
        look_alikes: events left out because their group had enough.
        quarantined: events left out because they may be the phrase.
        events: hard negatives that were trained on.
        mean_score: of them.
        figure_before, figure_after: mean miss rate on development clips over 0.5 to 4 false alarms per hour.
    """

    model: str
    loud: int
    groups: int
    look_alikes: int
    quarantined: int
    events: int
    mean_score: float
    figure_before: float
    figure_after: float

    @property
    def kept(self) -> bool:
        return self.figure_after < self.figure_before


@dataclass(slots=True)
class Mined(Generic[Trained]):
    """A model before, between or after rounds, the views it was trained on, and what was mined.

    Attributes:
        trained: what the learner's `train` gave.
        store: the views.
        data_key: of the views.
        clips: what was mined and kept.
        rounds: what happened.
    """

    trained: Trained
    store: ViewStore
    data_key: str
    clips: list[Clip] = field(default_factory=list)
    rounds: list[Round] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """Where rounds look, and where they keep their work.

    Attributes:
        config: of the run.
        corpus: for beds.
        streams: the training recordings.
        views: folder of the views of mined clips.
        found: file of what was found; see `mined_file`.
        known: what was mined before, with another model: it is not taken again.
        progress: called with (done, total, what).
        warn: is told what was undone.
    """

    config: Config
    corpus: Corpus
    streams: Sequence[TrainStream]
    views: Path
    found: Path
    known: Sequence[Clip]
    progress: Progress
    warn: Callable[[str], None]


def mine(learner: Learner[Trained], start: Mined[Trained], *, rounds: int, ground: Ground) -> Mined[Trained]:
    """Run `rounds` rounds; one that does not lower the development figure ends the mining, is undone and said.

    What a round has found is read back from `ground.found` when the run is resumed.
    """
    state, data_key = start, start.data_key
    figure = learner.figure(state.trained)
    earlier = read_rounds(ground.found)
    found: list[MinedRound] = []
    for number in range(1, rounds + 1):
        key = content_key(data_key, number, [clip.id for clip in (*ground.known, *state.clips)])
        known = [entry for entry in earlier if (entry.number, entry.data) == (number, key)]
        entry = known[0] if known else _search(learner, state, ground, number=number, key=key)
        found.append(entry)
        write_rounds(found, ground.found)
        clips = entry.of("keep", "undone")
        if not clips:
            if suspects := entry.of("quarantine"):
                state.rounds.append(_result(learner.model, entry, before=figure, after=figure))
                ground.warn(f"mining round {number} trained on nothing: all {len(suspects)} events are quarantined")
            break
        views = mined_views(ground.config, ground.corpus, clips, ground.views, progress=ground.progress)
        larger = ViewStore.concat([state.store, views])
        larger_key = content_key(data_key, [clip.id for clip in (*state.clips, *clips)])
        trained = learner.train(larger, data_key=larger_key, name=f"{learner.name}-mined-{number}")
        result = _result(learner.model, entry, before=figure, after=learner.figure(trained))
        state.rounds.append(result)
        if not result.kept:
            found[-1] = entry.undone()
            ground.warn(undone_text(number, result))
            break
        state = Mined(trained, larger, larger_key, [*state.clips, *clips], state.rounds)
        figure = result.figure_after
    write_rounds(found, ground.found)
    return state


def _search(learner: Learner[Trained], state: Mined[Trained], ground: Ground, *, number: int, key: str) -> MinedRound:
    got = harvest(
        learner.finders(state.trained), ground.streams, witnesses=learner.witnesses(state.trained),
        mining=ground.config.mining, evaluation=ground.config.evaluation, known=state.clips, elsewhere=ground.known,
    )  # fmt: skip
    suspects = mined_clips([catch.event for catch in got.quarantined], ground.streams)
    lines = [_line("keep", catch, clip) for catch, clip in zip(got.kept, got.clips, strict=True)]
    lines += [_line("quarantine", catch, clip) for catch, clip in zip(got.quarantined, suspects, strict=True)]
    return MinedRound(
        number=number, data=key, loud=got.loud, groups=got.groups, look_alikes=got.look_alikes,
        over_share=got.over_share, lines=tuple(sorted(lines, key=lambda line: -line.score)),
    )  # fmt: skip


def _line(status: str, catch: Catch, clip: Clip) -> MinedLine:
    return MinedLine(status, catch.event.score, catch.witnesses, catch.group, clip)


def _result(model: str, entry: MinedRound, *, before: float, after: float) -> Round:
    scores = [line.score for line in entry.lines if line.status != "quarantine"]
    return Round(
        model=model, loud=entry.loud, groups=entry.groups, look_alikes=entry.look_alikes,
        quarantined=len(entry.of("quarantine")), events=len(scores),
        mean_score=float(np.mean(scores)) if scores else 0.0,
        figure_before=before, figure_after=after,
    )  # fmt: skip


def undone_text(number: int, result: Round) -> str:
    """What the report says about a round that did not help."""
    return (
        f"mining round {number} was undone: after training on its {result.events} events the {result.model} model "
        f"missed {100 * result.figure_after:.2f} % of the development clips (mean over 0.5 to 4 false alarms per "
        f"hour), before {100 * result.figure_before:.2f} %; the models are those from before it"
    )
