"""The two models as learners of mining rounds: the accurate model's heads, and scouts of the tiny one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from typing_extensions import override

from wakelark.evaluation.operating_point import selection_figure
from wakelark.models.build import AnyStudent
from wakelark.models.heads import HeadEnsemble
from wakelark.pipeline.mining import Witness
from wakelark.pipeline.networks import AccurateNetwork, Network, TinyNetwork
from wakelark.pipeline.rounds import Learner
from wakelark.pipeline.student import StudentJob, train_candidates
from wakelark.pipeline.teacher import TeacherJob, train_heads
from wakelark.training.stream_features import Progress
from wakelark.training.view_store import ViewStore


@dataclass(frozen=True, slots=True)
class Heads(Learner[HeadEnsemble]):
    """The accurate model. Every head alone is a witness: a recording may hold the phrase where all of them hear it."""

    job: TeacherJob
    progress: Progress
    warn: Callable[[str], None]
    model: str = "accurate"
    name: str = "teacher"

    @override
    def train(self, store: ViewStore, *, data_key: str, name: str) -> HeadEnsemble:
        folder = self.job.folder.with_name(name)
        again = replace(self.job, store=store, name=name, folder=folder, data_key=data_key)
        return train_heads(again, progress=self.progress, warn=self.warn)

    @override
    def figure(self, trained: HeadEnsemble) -> float:
        return selection_figure(self.job.development.curve(AccurateNetwork(trained)))

    @override
    def finders(self, trained: HeadEnsemble) -> Sequence[Network]:
        return [AccurateNetwork(trained)]

    @override
    def witnesses(self, trained: HeadEnsemble) -> Sequence[Witness]:
        sure = self.job.config.mining.quarantine_score
        calibration = zip(trained.temperatures.tolist(), trained.biases.tolist(), strict=True)
        return [
            Witness(AccurateNetwork(HeadEnsemble([head], temperatures=[temperature], biases=[bias])), sure)
            for head, (temperature, bias) in zip(trained.heads, calibration, strict=True)
        ]


@dataclass(frozen=True, slots=True)
class Scouts(Learner[list[AnyStudent]]):
    """Students that are trained briefly, one per candidate, to find what fools a student; the teacher is the witness.

    What fools the accurate model and what fools the tiny one are different sounds (docs/ablation.md, arm `A2`).
    """

    job: StudentJob
    progress: Progress
    model: str = "tiny"
    name: str = "scouts"

    @override
    def train(self, store: ViewStore, *, data_key: str, name: str) -> list[AnyStudent]:
        config = self.job.config
        steps = min(config.mining.scout_steps, config.training.steps)
        brief = config.training.model_copy(
            update={"steps": steps, "steps_per_epoch": min(config.training.steps_per_epoch, steps)}
        )
        job = replace(
            self.job, config=config.model_copy(update={"training": brief}), store=store, data_key=data_key,
            folder=self.job.folder.with_name(name), name=name,
        )  # fmt: skip
        return [student for student, _ in train_candidates(job, progress=self.progress)]

    @override
    def figure(self, trained: list[AnyStudent]) -> float:
        curves = [self.job.development.curve(network) for network in self.finders(trained)]
        return float(np.mean([selection_figure(curve) for curve in curves]))

    @override
    def finders(self, trained: list[AnyStudent]) -> Sequence[Network]:
        return [TinyNetwork(student) for student in trained]

    @override
    def witnesses(self, trained: list[AnyStudent]) -> Sequence[Witness]:
        return [Witness(AccurateNetwork(self.job.teacher), self.job.config.mining.quarantine_score)]
