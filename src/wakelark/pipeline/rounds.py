"""Stage "mining": rounds of finding what fools the accurate model and training it again, each kept only if it helps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from wakelark.corpus.cache import content_key
from wakelark.corpus.clip import Clip
from wakelark.corpus.manifest import write_manifest
from wakelark.models.heads import HeadEnsemble
from wakelark.pipeline.corpus import Corpus
from wakelark.pipeline.mining import TrainStream, loudest_events, mean_score, mined_clips
from wakelark.pipeline.networks import AccurateNetwork
from wakelark.pipeline.run_folder import RunFolder
from wakelark.pipeline.teacher import TeacherJob, train_heads
from wakelark.pipeline.views import mined_views
from wakelark.training.stream_features import Progress
from wakelark.training.view_store import ViewStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """One mining round: how much was found, how loud it was, and the development figure before and after."""

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
    """Run `mining.rounds` rounds; a round that does not lower the development figure ends the mining and is undone."""
    state = Mined(heads, job.store)
    config = job.config
    figure = job.development.figure(AccurateNetwork(heads))
    for number in range(1, config.mining.rounds + 1):
        events = loudest_events(
            AccurateNetwork(state.heads), streams, mining=config.mining, evaluation=config.evaluation
        )
        found = [clip for clip in mined_clips(events, streams) if clip not in state.clips]
        if not found:
            break
        views = mined_views(config, corpus, found, folder.views, progress=progress)
        store = ViewStore.concat([state.store, views])
        key = content_key(job.data_key, [clip.id for clip in (*state.clips, *found)])
        name = f"teacher-mined-{number}"
        again = replace(job, store=store, data_key=key, name=name, folder=folder.checkpoints / name)
        trained = train_heads(again, progress=progress, warn=warn)
        after = job.development.figure(AccurateNetwork(trained))
        result = Round(events=len(found), mean_score=mean_score(events), figure_before=figure, figure_after=after)
        state.rounds.append(result)
        if not result.kept:
            break
        state = Mined(trained, store, [*state.clips, *found], state.rounds)
        figure = after
    write_manifest(state.clips, folder.mined)
    return state
