"""The accurate model: small heads on the frozen embedding, each without one fold of voices, calibrated, averaged."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from wakelark.config import Config
from wakelark.models.heads import EmbeddingHead, HeadEnsemble
from wakelark.pipeline.calibration import fit_calibration
from wakelark.pipeline.development import DevelopmentSet
from wakelark.pipeline.networks import AccurateNetwork
from wakelark.training.batch import Batch
from wakelark.training.batches import MIX
from wakelark.training.batches import batches as draw_batches
from wakelark.training.build import build_optimizer
from wakelark.training.checkpoint import CheckpointFolder
from wakelark.training.metrics_log import MetricsLog
from wakelark.training.parallel import run_trainings
from wakelark.training.schedule import LoopSettings
from wakelark.training.stream_features import Progress
from wakelark.training.trainer import Trainer
from wakelark.training.training_loop import TrainingPlan, run_training
from wakelark.training.view_store import ViewStore

SELECT_EVERY = 2
STEPS_PER_EPOCH = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class TeacherJob:
    """Everything the training of the heads is a function of.

    Attributes:
        config: of the run.
        store: the training views.
        development: what the heads are selected and calibrated on.
        data_key: key of the views.
        folder: of the checkpoints.
        metrics: the run's `metrics.jsonl`.
        name: of the stage, "teacher" or "teacher-mined-1".
        resume_command: named when the training is interrupted.
    """

    config: Config
    store: ViewStore
    development: DevelopmentSet
    data_key: str
    folder: Path
    metrics: Path
    name: str
    resume_command: str


def train_heads(job: TeacherJob, *, progress: Progress, warn: Callable[[str], None]) -> HeadEnsemble:
    """Train the heads, one per core, calibrate and average them.

    Interrupted, it goes on from the last checkpoint of each head.
    """
    trainings = [HeadTraining(job, number) for number in range(job.config.teacher.heads)]
    trained = run_trainings(trainings, workers=job.config.training.processes, progress=progress, what=job.name)
    heads = []
    for result in trained:
        head = _new_head(job.config)
        head.load_state_dict({name: torch.from_numpy(value) for name, value in result.weights.items()})
        heads.append(head.eval())
        for message in result.warnings:
            warn(message)
    calibrations = [fit_calibration(AccurateNetwork(_alone(head)), job.development) for head in heads]
    return HeadEnsemble(
        heads, temperatures=[fit.temperature for fit in calibrations], biases=[fit.bias for fit in calibrations]
    )


@dataclass(frozen=True, slots=True)
class TrainedHead:
    """A head's best averaged weights, and what its training had to say."""

    weights: dict[str, NDArray[np.generic]]
    warnings: list[str]


@dataclass(frozen=True, slots=True)
class HeadTraining:
    """The training of one head; a pure function of the job and the head's number."""

    job: TeacherJob
    number: int

    @property
    def steps(self) -> int:
        """Optimiser steps."""
        return self.job.config.teacher.steps

    def run(self, on_step: Callable[[int, int], None]) -> TrainedHead:
        """Train, going on from the newest checkpoint."""
        job, config, teacher = self.job, self.job.config, self.job.config.teacher
        warnings: list[str] = []
        seed = config.seed * 100 + self.number
        torch.manual_seed(seed)
        embeddings = torch.from_numpy(job.store.embeddings())
        head = _new_head(config)
        rows = np.flatnonzero(in_fold(job.store, self.number, teacher.heads))
        head.set_statistics(embeddings[torch.from_numpy(rows)])
        trainer = Trainer(
            model=head,
            optimizer=build_optimizer(
                head, learning_rate=teacher.learning_rate, weight_decay=teacher.weight_decay, trunk_rate=1.0
            ),
            loss=config.loss,
        )
        plan = TrainingPlan(
            settings=LoopSettings(
                steps=teacher.steps, steps_per_epoch=min(STEPS_PER_EPOCH, teacher.steps), select_every=SELECT_EVERY,
                learning_rate=teacher.learning_rate, warmup_share=config.training.warmup_share,
                clip_norm=config.training.clip_norm, ema_decay=config.training.ema_decay, seed=seed,
            ),
            batches=_batches(job, rows, embeddings, seed),
            select=_selector(job.development),
            checkpoints=CheckpointFolder(job.folder / f"head-{self.number}", keep=1, report=warnings.append),
            identity={
                "stage": job.name, "head": self.number, "seed": seed, "data": job.data_key,
                "teacher": teacher.model_dump_json(),
                "loss": config.loss.model_dump_json(exclude={"teacher_hard_share"}),  # the student's alone
                "mix": config.training.model_dump(mode="json", include=set(MIX)),
            },
            metrics=MetricsLog(job.metrics, stage=f"{job.name}/head-{self.number}"),
            on_step=on_step,
            on_epoch=lambda line: None,
            resume_command=job.resume_command,
        )  # fmt: skip
        run_training(trainer, plan)
        return TrainedHead(weights_of(head), warnings)


def weights_of(model: nn.Module) -> dict[str, NDArray[np.generic]]:
    """A model's weights and buffers as arrays, which travel between processes without shared memory."""
    return {name: tensor.detach().cpu().numpy().copy() for name, tensor in model.state_dict().items()}


def _new_head(config: Config) -> EmbeddingHead:
    teacher = config.teacher
    return EmbeddingHead(context_steps=teacher.context_steps, hidden=teacher.hidden, dropout=teacher.dropout)


def in_fold(store: ViewStore, number: int, folds: int) -> NDArray[np.bool_]:
    """The views head `number` learns from: all but the positives of every `folds`-th voice. Shape: `-> [V]`

    With one head, or few voices (fewer than three per fold), nothing is left out: the loss would be greater than the
    gain.
    """
    fold_of = {clip.voice: int(hashlib.sha256(clip.voice.encode()).hexdigest(), 16) % folds for clip in store.clips}
    voices = {clip.voice for clip in store.clips if clip.label == 1}
    if folds == 1 or len(voices) < 3 * folds:
        return np.ones(len(store), bool)
    left_out = store.of_clips(lambda clip: clip.label == 1 and fold_of[clip.voice] == number)
    return ~left_out.astype(bool)


def _batches(
    job: TeacherJob, rows: NDArray[np.int64], embeddings: torch.Tensor, seed: int
) -> Callable[[int], Iterator[Batch]]:
    config = job.config
    store = job.store.select(rows)
    labels, hard = store.labels, store.hard

    def batches(epoch: int) -> Iterator[Batch]:
        drawn = draw_batches(
            store, mix=config.training, seed=seed, epoch=epoch, steps=min(STEPS_PER_EPOCH, config.teacher.steps),
            batch_size=config.teacher.batch_size,
        )  # fmt: skip
        for chosen in drawn:
            yield Batch(
                targets=torch.from_numpy(labels[chosen].astype(np.float32)),
                features=embeddings[torch.from_numpy(rows[chosen])].float(),
                is_hard_negative=torch.from_numpy(hard[chosen]),
                examples=[store.clips[index].id for index in store.clip[chosen]],
            )

    return batches


def _selector(development: DevelopmentSet) -> Callable[[nn.Module], float]:
    def select(model: nn.Module) -> float:
        assert isinstance(model, EmbeddingHead)
        return development.figure(AccurateNetwork(_alone(model)))

    return select


def _alone(head: EmbeddingHead) -> HeadEnsemble:
    """A head as an ensemble of one, uncalibrated."""
    return HeadEnsemble([head], temperatures=[1.0], biases=[0.0])
