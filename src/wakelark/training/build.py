"""From the configuration to the trainer: every value by its name, in one hop."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from wakelark.audio import HOP_SAMPLES
from wakelark.config import Config
from wakelark.errors import ConfigError
from wakelark.features.embedding import EMBEDDING_HOP_SAMPLES, EMBEDDING_SPAN_SAMPLES
from wakelark.losses.embedding import Whitening
from wakelark.models.build import AnyStudent
from wakelark.models.student import Student
from wakelark.training.alignment import Grid
from wakelark.training.distillation_trainer import DistillationTrainer
from wakelark.training.embedding_regression import EmbeddingRegression
from wakelark.training.schedule import LoopSettings
from wakelark.training.teacher import Teacher, weights_fingerprint
from wakelark.training.trainer import Trainer

_WHITENING_ROWS = 50_000


def build_trainer(
    config: Config,
    *,
    model: nn.Module,
    teacher: Teacher | nn.Module | None,
    regression: EmbeddingRegression | None = None,
) -> Trainer:
    """The trainer the configuration asks for, with its optimizer.

    Args:
        config: `loss`, `distillation`, `training` and `student.trunk_rate` are used.
        model: the student. With `student.trunk_rate` 0 a trunk that comes trained is frozen: it has no gradients, which
            would cost half of the time and count in the clipping of the others.
        teacher: needed when `distillation.enabled`, ignored otherwise.
        regression: needed when the student learns embeddings, too; see `build_regression`.

    Raises:
        ConfigError: distillation is enabled and there is no teacher, or no regression where one is needed.
    """
    trunk_rate = 1.0
    if isinstance(model, Student) and model.trunk.statistics_fixed:  # its trunk comes trained
        trunk_rate = config.student.trunk_rate
        model.trunk.requires_grad_(trunk_rate > 0)
    optimizer = build_optimizer(
        model, learning_rate=config.training.learning_rate, weight_decay=config.training.weight_decay,
        trunk_rate=trunk_rate, companion=regression,
    )  # fmt: skip
    if not config.distillation.enabled:
        return Trainer(model=model, optimizer=optimizer, loss=config.loss)
    if teacher is None:
        raise ConfigError(
            "distillation.enabled is true, but there is no teacher: train one first, or set distillation.enabled: false"
        )
    return DistillationTrainer(
        model=model, optimizer=optimizer, loss=config.loss, distillation=config.distillation, teacher=teacher,
        regression=regression,
    )  # fmt: skip


def build_optimizer(
    model: nn.Module,
    *,
    learning_rate: float,
    weight_decay: float,
    trunk_rate: float,
    companion: nn.Module | None = None,
) -> torch.optim.AdamW:
    """AdamW; weights decay, biases and the scales of normalisations do not.

    Args:
        model: trained.
        learning_rate: before the first step; the loop sets the schedule's.
        weight_decay: of the weights.
        trunk_rate: the loop multiplies the learning rate of the parameters under `model.trunk` by this.
        companion: trained beside the model, at the full rate.
    """
    named = [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]
    # Where trunk and head learn alike they are one part.
    slow = [parameter for name, parameter in named if name.startswith("trunk.") and trunk_rate != 1.0]
    fast = [parameter for name, parameter in named if not (name.startswith("trunk.") and trunk_rate != 1.0)]
    fast += list(companion.parameters()) if companion is not None else []
    groups = [
        {"params": [p for p in part if (p.ndim > 1) == decays], "weight_decay": weight_decay * decays,
         "rate_factor": factor}
        for part, factor in ((fast, 1.0), (slow, trunk_rate))
        for decays in (True, False)
    ]  # fmt: skip
    return torch.optim.AdamW([group for group in groups if group["params"]], lr=learning_rate, fused=True)


def build_regression(config: Config, *, model: nn.Module, embeddings: NDArray[np.floating]) -> EmbeddingRegression:
    """What a student with a trunk needs to learn the speech embedding, on the CPU.

    Args:
        config: `trunk.components` (how many of the embedding are learned) and `seed` are used.
        model: the student.
        embeddings: of the training views; the whitening is computed from at most 50,000 of them.

    Shape: `[V, E, 96]`

    Raises:
        ConfigError: the model has no trunk.
    """
    if not isinstance(model, AnyStudent):
        raise ConfigError(
            f"distillation.embedding_weight is {config.distillation.embedding_weight}, but the model "
            f"{type(model).__name__} has no trunk; set it to 0, or train a student of wakelark.models"
        )
    # Whole views, so that every place in a view has its share.
    every = -(-embeddings.shape[0] * embeddings.shape[1] // _WHITENING_ROWS)
    few = embeddings[::every].reshape(-1, embeddings.shape[2])
    span = model.receptive_field_samples - HOP_SAMPLES * (
        model.receptive_field_frames - model.trunk.receptive_field_frames
    )
    return EmbeddingRegression(
        channels=model.trunk.channels,
        whitening=Whitening.fit(torch.from_numpy(few.astype(np.float32)), components=config.trunk.components),
        steps=Grid(model.step_samples, span),
        embeddings=Grid(EMBEDDING_HOP_SAMPLES, EMBEDDING_SPAN_SAMPLES),
        seed=config.seed,
    )


def loop_settings(config: Config, *, select_every: int) -> LoopSettings:
    """The loop's part of the configuration."""
    return LoopSettings(
        steps=config.training.steps,
        steps_per_epoch=config.training.steps_per_epoch,
        select_every=select_every,
        learning_rate=config.training.learning_rate,
        warmup_share=config.training.warmup_share,
        clip_norm=config.training.clip_norm,
        ema_decay=config.training.ema_decay,
        seed=config.seed,
    )


def run_identity(
    config: Config,
    *,
    model: nn.Module,
    teacher: Teacher | None,
    data_key: str,
    regression: EmbeddingRegression | None = None,
) -> Mapping[str, object]:
    """What a student's training is a function of; a checkpoint is only resumed where all of it is the same.

    Args:
        config: the sections the student's training reads.
        model: its architecture and its start weights (before the first step).
        teacher: its fingerprint.
        data_key: a key of the corpus and its views.
        regression: its whitening and start weights.
    """
    identity: dict[str, object] = {"seed": config.seed, "data": data_key}
    for name in ("student", "loss", "distillation", "training"):
        section = config.model_dump(mode="json")[name]
        identity.update({f"{name}.{key}": value for key, value in section.items()})
    for key in ("training.workers", "training.tensorboard"):  # neither changes a weight
        identity.pop(key)
    identity["teacher"] = teacher.fingerprint if teacher is not None else "none"
    identity["regression"] = weights_fingerprint(regression.state_dict()) if regression is not None else "none"
    identity["start_weights"] = weights_fingerprint(model.state_dict())
    return identity
