"""Stage "mining": rounds of finding what fools the accurate model and training it again, each kept only if it helps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from wakelark.corpus.cache import content_key
from wakelark.corpus.clip import Clip
from wakelark.models.heads import HeadEnsemble
from wakelark.pipeline.corpus import Corpus
from wakelark.pipeline.mined_file import MinedLine, MinedRound, read_rounds, write_rounds
from wakelark.pipeline.mining import Catch, TrainStream, Witness, harvest, mined_clips
from wakelark.pipeline.networks import AccurateNetwork
from wakelark.pipeline.run_folder import RunFolder
from wakelark.pipeline.teacher import TeacherJob, train_heads
from wakelark.pipeline.views import mined_views
from wakelark.training.stream_features import Progress
from wakelark.training.view_store import ViewStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """One mining round: what was found, how loud it was, and the development figure before and after.

    Attributes:
        loud: events above `mining.score_min`.
        groups: groups of look-alikes among those that were looked at.
        look_alikes: events left out because their group had enough.
        quarantined: events left out because they may be the phrase.
        events: hard negatives that were trained on.
        mean_score: of them.
        figure_before, figure_after: mean miss rate on development clips over 0.5 to 4 false alarms per hour.
    """

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
class Mined:
    """The accurate model after all rounds, the views it was trained on, and what was mined."""

    heads: HeadEnsemble
    store: ViewStore
    clips: list[Clip] = field(default_factory=list)
    rounds: list[Round] = field(default_factory=list)


def mine(
    job: TeacherJob,
    heads: HeadEnsemble,
    corpus: Corpus,
    streams: Sequence[TrainStream],
    folder: RunFolder,
    *,
    progress: Progress,
    warn: Callable[[str], None],
) -> Mined:
    """Run `mining.rounds` rounds; one that does not lower the development figure ends the mining, is undone and said.

    What a round has found is read back from `corpus/mined.jsonl` when the run is resumed.
    """
    state = Mined(heads, job.store)
    config = job.config
    figure = job.development.figure(AccurateNetwork(heads))
    earlier = read_rounds(folder.mined)
    found: list[MinedRound] = []
    for number in range(1, config.mining.rounds + 1):
        key = content_key(job.data_key, number, [clip.id for clip in state.clips])
        known = [entry for entry in earlier if (entry.number, entry.data) == (number, key)]
        entry = known[0] if known else _search(job, state, streams, number=number, key=key)
        found.append(entry)
        write_rounds(found, folder.mined)
        clips = entry.of("keep", "undone")
        if not clips:
            if suspects := entry.of("quarantine"):
                state.rounds.append(_result(entry, before=figure, after=figure))
                warn(f"mining round {number} trained on nothing: all {len(suspects)} events are quarantined")
            break
        views = mined_views(config, corpus, clips, folder.views, progress=progress)
        store = ViewStore.concat([state.store, views])
        name = f"teacher-mined-{number}"
        again = replace(
            job, store=store, name=name, folder=job.folder.with_name(name),
            data_key=content_key(job.data_key, [clip.id for clip in (*state.clips, *clips)]),
        )  # fmt: skip
        trained = train_heads(again, progress=progress, warn=warn)
        result = _result(entry, before=figure, after=job.development.figure(AccurateNetwork(trained)))
        state.rounds.append(result)
        if not result.kept:
            found[-1] = entry.undone()
            warn(undone_text(number, result))
            break
        state = Mined(trained, store, [*state.clips, *clips], state.rounds)
        figure = result.figure_after
    write_rounds(found, folder.mined)
    return state


def _search(job: TeacherJob, state: Mined, streams: Sequence[TrainStream], *, number: int, key: str) -> MinedRound:
    """One harvest. Every head alone is a witness: a recording may hold the phrase where all of them hear it."""
    heads, sure = state.heads, job.config.mining.quarantine_score
    alone = [
        Witness(AccurateNetwork(HeadEnsemble([head], temperatures=[temperature], biases=[bias])), sure)
        for head, temperature, bias in zip(
            heads.heads, heads.temperatures.tolist(), heads.biases.tolist(), strict=True
        )
    ]  # fmt: skip
    got = harvest(
        [AccurateNetwork(heads)], streams, witnesses=alone, mining=job.config.mining,
        evaluation=job.config.evaluation, known=state.clips,
    )  # fmt: skip
    suspects = mined_clips([catch.event for catch in got.quarantined], streams)
    lines = [_line("keep", catch, clip) for catch, clip in zip(got.kept, got.clips, strict=True)]
    lines += [_line("quarantine", catch, clip) for catch, clip in zip(got.quarantined, suspects, strict=True)]
    return MinedRound(
        number=number, data=key, loud=got.loud, groups=got.groups, look_alikes=got.look_alikes,
        over_share=got.over_share, lines=tuple(sorted(lines, key=lambda line: -line.score)),
    )  # fmt: skip


def _line(status: str, catch: Catch, clip: Clip) -> MinedLine:
    return MinedLine(status, catch.event.score, catch.witnesses, catch.group, clip)


def _result(entry: MinedRound, *, before: float, after: float) -> Round:
    scores = [line.score for line in entry.lines if line.status != "quarantine"]
    return Round(
        loud=entry.loud, groups=entry.groups, look_alikes=entry.look_alikes,
        quarantined=len(entry.of("quarantine")), events=len(scores),
        mean_score=float(np.mean(scores)) if scores else 0.0,
        figure_before=before, figure_after=after,
    )  # fmt: skip


def undone_text(number: int, result: Round) -> str:
    """What the report says about a round that did not help."""
    return (
        f"mining round {number} was undone: after training on its {result.events} events the accurate model missed "
        f"{100 * result.figure_after:.2f} % of the development clips (mean over 0.5 to 4 false alarms per hour), "
        f"before {100 * result.figure_before:.2f} %; the models are those from before it"
    )
