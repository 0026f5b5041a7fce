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
from wakelark.training.batches import batches as draw_batches
from wakelark.training.build import build_optimizer
from wakelark.training.checkpoint import CheckpointFolder
from wakelark.training.metrics_log import MetricsLog
from wakelark.training.schedule import LoopSettings
from wakelark.training.stream_features import Progress
from wakelark.training.trainer import Trainer
from wakelark.training.training_loop import run_training
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
    """Train, calibrate and average the heads. Interrupted, it goes on from the last checkpoint of each head."""
    teacher = job.config.teacher
    embeddings = torch.from_numpy(job.store.embeddings())
    done = 0

    def on_step(step: int, _: int) -> None:
        progress(done + step, teacher.heads * teacher.steps, job.name)

    heads = []
    for number in range(teacher.heads):
        heads.append(_train_head(job, number, embeddings, on_step, warn))
        done += teacher.steps
    calibrations = [fit_calibration(AccurateNetwork(_alone(head)), job.development) for head in heads]
    return HeadEnsemble(
        heads, temperatures=[fit.temperature for fit in calibrations], biases=[fit.bias for fit in calibrations]
    )


def _train_head(
    job: TeacherJob,
    number: int,
    embeddings: torch.Tensor,
    on_step: Callable[[int, int], None],
    warn: Callable[[str], None],
) -> EmbeddingHead:
    config, teacher = job.config, job.config.teacher
    seed = config.seed * 100 + number
    torch.manual_seed(seed)
    head = EmbeddingHead(context_steps=teacher.context_steps, hidden=teacher.hidden, dropout=teacher.dropout)
    rows = np.flatnonzero(in_fold(job.store, number, teacher.heads))
    head.set_statistics(embeddings[torch.from_numpy(rows)])
    trainer = Trainer(
        model=head,
        optimizer=build_optimizer(head, learning_rate=teacher.learning_rate, weight_decay=teacher.weight_decay),
        hard_negative_weight=config.loss.hard_negative_weight,
        all_steps_weight=config.loss.all_steps_weight,
    )
    run_training(
        trainer,
        settings=LoopSettings(
            steps=teacher.steps, steps_per_epoch=min(STEPS_PER_EPOCH, teacher.steps), select_every=SELECT_EVERY,
            learning_rate=teacher.learning_rate, warmup_share=config.training.warmup_share,
            clip_norm=config.training.clip_norm, ema_decay=config.training.ema_decay, seed=seed,
        ),
        batches=_batches(job, rows, embeddings, seed),
        select=_selector(job.development),
        checkpoints=CheckpointFolder(job.folder / f"head-{number}", keep=1, report=warn),
        identity={
            "stage": job.name, "head": number, "seed": seed, "data": job.data_key,
            "teacher": teacher.model_dump_json(), "loss": config.loss.model_dump_json(),
            "hard_share": config.training.hard_share, "positive_share": config.training.positive_share,
        },
        metrics=MetricsLog(job.metrics, stage=f"{job.name}/head-{number}"),
        on_step=on_step,
        on_epoch=lambda line: None,
        resume_command=job.resume_command,
    )  # fmt: skip
    return head


def in_fold(store: ViewStore, number: int, folds: int) -> NDArray[np.bool_]:
    """The views head `number` learns from: all but the positives of every `folds`-th voice. Shape: `-> [V]`

    With few voices (fewer than three per fold) nothing is left out: the loss would be greater than the gain.
    """
    fold_of = {clip.voice: int(hashlib.sha256(clip.voice.encode()).hexdigest(), 16) % folds for clip in store.clips}
    voices = {clip.voice for clip in store.clips if clip.label == 1}
    if len(voices) < 3 * folds:
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
            store, seed=seed, epoch=epoch, steps=min(STEPS_PER_EPOCH, config.teacher.steps),
            batch_size=config.teacher.batch_size, positive_share=config.training.positive_share,
            hard_share=config.training.hard_share, source_share=config.training.source_share,
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
