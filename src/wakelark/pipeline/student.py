"""The tiny model: a student distilled from the heads, on the very audio they heard."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from wakelark.config import Config
from wakelark.models.build import AnyStudent, build_student
from wakelark.models.heads import HeadEnsemble
from wakelark.models.trunk import LOGMEL, FrontEnd
from wakelark.pipeline.development import DevelopmentSet
from wakelark.pipeline.networks import TinyNetwork
from wakelark.pipeline.teacher import weights_of
from wakelark.pipeline.teachers import asks_teacher, build_teacher, hear_views
from wakelark.training.batch import Batch
from wakelark.training.batches import batches as draw_batches
from wakelark.training.build import build_regression, build_trainer, loop_settings, run_identity
from wakelark.training.checkpoint import CheckpointFolder
from wakelark.training.hardness import hard_by_score, scores_of_views
from wakelark.training.metrics_log import Metrics, MetricsLog
from wakelark.training.micro_features import micro_views
from wakelark.training.parallel import run_trainings
from wakelark.training.stream_features import Progress
from wakelark.training.teacher import Teacher
from wakelark.training.training_loop import TrainingPlan, TrainingResult, run_training
from wakelark.training.view_store import ViewStore

SELECT_EVERY = 2
_SEED_STEP = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class StudentJob:
    """Everything the student's training is a function of; see `TeacherJob`. `teacher` is used when distilling.

    `name` is that of the stage: "student", "scouts" for those that are trained to mine with, or "micro" for devices.
    What the student hears through is `front_end`; the development set has features of the same. It begins as `start`;
    None: as `config.student` says.
    """

    config: Config
    store: ViewStore
    development: DevelopmentSet
    teacher: HeadEnsemble
    data_key: str
    folder: Path
    metrics: Path
    device: str
    name: str
    resume_command: str
    front_end: FrontEnd = LOGMEL
    start: AnyStudent | None = None

    def new_student(self) -> AnyStudent:
        """A student before its first step; where it is random, drawn from torch's global generator."""
        if self.start is not None:
            return copy.deepcopy(self.start)
        return build_student(self.config.student, front_end=self.front_end)

    def frames(self) -> NDArray[np.float16]:
        """What the student hears of all views, in memory. Shape: `-> [V, 40, 198]`"""
        return self.store.logmel() if self.front_end == LOGMEL else micro_views(self.store)


@dataclass(frozen=True, slots=True)
class TrainedStudent:
    """A candidate: its best averaged weights, how its training went, what it had to say."""

    weights: dict[str, NDArray[np.generic]]
    result: TrainingResult
    warnings: list[str]


@dataclass(frozen=True, slots=True)
class StudentTraining:
    """The training of one candidate; a pure function of the job and the candidate's number."""

    job: StudentJob
    number: int

    @property
    def steps(self) -> int:
        """Optimiser steps."""
        return self.job.config.training.steps

    def run(self, on_step: Callable[[int, int], None]) -> TrainedStudent:
        """Train, going on from the newest checkpoint."""
        job = self.job
        config = job.config.model_copy(update={"seed": job.config.seed + _SEED_STEP * self.number})
        warnings: list[str] = []
        teacher = None
        if asks_teacher(config):
            teacher = build_teacher(
                config, heads=job.teacher, store=job.store, device=job.device, progress=lambda done, total, what: None
            )
        torch.manual_seed(config.seed)
        student = job.new_student()
        regression = None
        if _learns_embeddings(config):
            regression = build_regression(config, model=student, embeddings=job.store.embeddings())
        identity = run_identity(config, model=student, teacher=teacher, data_key=job.data_key, regression=regression)
        student.to(job.device)
        if regression is not None:
            regression.to(job.device)
        plan = TrainingPlan(
            settings=loop_settings(config, select_every=SELECT_EVERY),
            batches=_batches(job, config, teacher),
            select=_selector(job.development),
            checkpoints=CheckpointFolder(job.folder / f"student-{self.number}", keep=2, report=warnings.append),
            identity=identity,
            metrics=MetricsLog(job.metrics, stage=f"{job.name}/{self.number}"),
            on_step=on_step,
            on_epoch=_tensorboard(job, self.number) if config.training.tensorboard else lambda line: None,
            resume_command=job.resume_command,
        )
        result = run_training(build_trainer(config, model=student, teacher=teacher, regression=regression), plan)
        if result.why_not_distilled:
            warnings.append(result.why_not_distilled)
        return TrainedStudent(weights_of(student), result, warnings)


def train_student(
    job: StudentJob, *, progress: Progress, warn: Callable[[str], None]
) -> tuple[AnyStudent, TrainingResult]:
    """Train the candidates, one per core, and keep the best on development data.

    Returns:
        The student with its best averaged weights, on the CPU, and how its training went.
    """
    student, best = min(train_candidates(job, progress=progress), key=lambda pair: pair[1].result.best_figure)
    for message in best.warnings:
        warn(message)
    return student, best.result


def train_candidates(job: StudentJob, *, progress: Progress) -> list[tuple[AnyStudent, TrainedStudent]]:
    """Train all candidates, one per core: each with its best averaged weights, on the CPU."""
    if asks_teacher(job.config):
        hear_views(job.config, heads=job.teacher, store=job.store, device=job.device, progress=progress)
    trainings = [StudentTraining(job, number) for number in range(job.config.student.candidates)]
    # A GPU is used by one training at a time.
    workers = job.config.training.processes if job.device == "cpu" else 1
    candidates = run_trainings(trainings, workers=workers, progress=progress, what=job.name)
    trained = []
    for candidate in candidates:
        student = job.new_student()
        student.load_state_dict({name: torch.from_numpy(value) for name, value in candidate.weights.items()})
        trained.append((student.eval(), candidate))
    return trained


def _learns_embeddings(config: Config) -> bool:
    return config.distillation.enabled and config.distillation.embedding_weight > 0


def _batches(job: StudentJob, config: Config, teacher: Teacher | None) -> Callable[[int], Iterator[Batch]]:
    labels, hard = job.store.labels, job.store.hard
    if teacher is not None and config.loss.teacher_hard_share > 0:
        scores = scores_of_views(teacher, job.store)
        hard = hard | hard_by_score(labels, scores, share=config.loss.teacher_hard_share)
    frames = torch.from_numpy(job.frames())
    embeddings = torch.from_numpy(job.store.embeddings()) if _learns_embeddings(config) else None

    def batches(epoch: int) -> Iterator[Batch]:
        drawn = draw_batches(
            job.store, mix=config.training, seed=config.seed, epoch=epoch, steps=config.training.steps_per_epoch,
            batch_size=config.training.batch_size,
        )  # fmt: skip
        for chosen in drawn:
            rows = torch.from_numpy(chosen)
            yield Batch(
                targets=torch.from_numpy(labels[chosen].astype(np.float32)).to(job.device),
                features=frames[rows].float().to(job.device),
                raw_audio=torch.from_numpy(job.store.audio(chosen)) if config.distillation.enabled else None,
                teacher_embeddings=None if embeddings is None else embeddings[rows].float().to(job.device),
                is_hard_negative=torch.from_numpy(hard[chosen]).to(job.device),
                examples=[job.store.clips[index].id for index in job.store.clip[chosen]],
            )

    return batches


def _selector(development: DevelopmentSet) -> Callable[[nn.Module], float]:
    def select(model: nn.Module) -> float:
        assert isinstance(model, AnyStudent)
        return development.figure(TinyNetwork(model))

    return select


def _tensorboard(job: StudentJob, number: int) -> Callable[[Metrics], None]:
    from wakelark.training.metrics_log import tensorboard_writer

    return tensorboard_writer(job.metrics.parent / "tensorboard" / f"{job.name}-{number}")
