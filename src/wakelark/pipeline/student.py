"""The tiny model: a student distilled from the heads, on the very audio they heard."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from wakelark.config import Config
from wakelark.features.embedding import SpeechEmbedding
from wakelark.models.build import build_student
from wakelark.models.heads import HeadEnsemble
from wakelark.models.student import Student
from wakelark.pipeline.development import DevelopmentSet
from wakelark.pipeline.networks import TinyNetwork
from wakelark.training.batch import Batch
from wakelark.training.batches import batches as draw_batches
from wakelark.training.build import build_trainer, loop_settings, run_identity
from wakelark.training.checkpoint import CheckpointFolder
from wakelark.training.embedding_teacher import EmbeddingTeacher
from wakelark.training.metrics_log import Metrics, MetricsLog
from wakelark.training.stream_features import Progress
from wakelark.training.teacher import CachedTeacher, check_teacher
from wakelark.training.training_loop import TrainingResult, run_training
from wakelark.training.view_store import ViewStore

SELECT_EVERY = 2
_PORTION = 512
_PREFLIGHT_CLIPS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class StudentJob:
    """Everything the student's training is a function of; see `TeacherJob`. `teacher` is used when distilling."""

    config: Config
    store: ViewStore
    development: DevelopmentSet
    teacher: HeadEnsemble
    data_key: str
    folder: Path
    metrics: Path
    device: str
    resume_command: str


def train_student(
    job: StudentJob, *, progress: Progress, warn: Callable[[str], None]
) -> tuple[Student, TrainingResult]:
    """Train the student; interrupted, it goes on from the newest checkpoint.

    Returns:
        The student with its best averaged weights, on the CPU, and how the training went.
    """
    config = job.config
    teacher = prepare_teacher(job.teacher, job.store, progress=progress) if config.distillation.enabled else None
    torch.manual_seed(config.seed)
    student = build_student(
        architecture=config.student.architecture, channels=config.student.channels, kernels=config.student.kernels,
        dropout=config.student.dropout,
    )  # fmt: skip
    identity = run_identity(config, model=student, teacher=teacher, data_key=job.data_key)
    student.to(job.device)
    result = run_training(
        build_trainer(config, model=student, teacher=teacher),
        settings=loop_settings(config, select_every=SELECT_EVERY),
        batches=_batches(job),
        select=_selector(job.development),
        checkpoints=CheckpointFolder(job.folder, keep=2, report=warn),
        identity=identity,
        metrics=MetricsLog(job.metrics, stage="student"),
        on_step=lambda step, steps: progress(step, steps, "student"),
        on_epoch=_tensorboard(job) if config.training.tensorboard else lambda line: None,
        resume_command=job.resume_command,
    )
    return student.cpu(), result


def prepare_teacher(heads: HeadEnsemble, store: ViewStore, *, progress: Progress) -> CachedTeacher:
    """The heads as a teacher that has already heard every view: their embeddings are stored beside the audio.

    Raises:
        ModelError: the teacher's logits are of a wrong shape, not finite, or not reproducible.
    """
    teacher = EmbeddingTeacher(embedding=SpeechEmbedding(), heads=heads)
    few = store.audio(np.linspace(0, len(store) - 1, min(_PREFLIGHT_CLIPS, len(store))).astype(int))
    check_teacher(teacher, torch.from_numpy(few))
    cached = CachedTeacher(teacher)
    embeddings = store.embeddings()
    for first in range(0, len(store), _PORTION):
        rows = np.arange(first, min(first + _PORTION, len(store)))
        cached.remember(store.audio(rows), teacher.logits_of_embeddings(embeddings[rows]))
        progress(int(rows[-1]) + 1, len(store), "teacher's answers")
    return cached


def _batches(job: StudentJob) -> Callable[[int], Iterator[Batch]]:
    config = job.config
    labels, hard = job.store.labels, job.store.hard
    logmel = torch.from_numpy(job.store.logmel())

    def batches(epoch: int) -> Iterator[Batch]:
        drawn = draw_batches(
            job.store, seed=config.seed, epoch=epoch, steps=config.training.steps_per_epoch,
            batch_size=config.training.batch_size, positive_share=config.training.positive_share,
            hard_share=config.training.hard_share, source_share=config.training.source_share,
        )  # fmt: skip
        for chosen in drawn:
            yield Batch(
                targets=torch.from_numpy(labels[chosen].astype(np.float32)).to(job.device),
                features=logmel[torch.from_numpy(chosen)].float().to(job.device),
                raw_audio=torch.from_numpy(job.store.audio(chosen)) if config.distillation.enabled else None,
                is_hard_negative=torch.from_numpy(hard[chosen]).to(job.device),
                examples=[job.store.clips[index].id for index in job.store.clip[chosen]],
            )

    return batches


def _selector(development: DevelopmentSet) -> Callable[[nn.Module], float]:
    def select(model: nn.Module) -> float:
        assert isinstance(model, Student)
        return development.figure(TinyNetwork(model))

    return select


def _tensorboard(job: StudentJob) -> Callable[[Metrics], None]:
    from wakelark.training.metrics_log import tensorboard_writer

    return tensorboard_writer(job.metrics.parent / "tensorboard")
