"""From the configuration to the trainer: every value by its name, in one hop."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from wakelark.config import Config
from wakelark.errors import ConfigError
from wakelark.training.distillation_trainer import DistillationTrainer
from wakelark.training.schedule import LoopSettings
from wakelark.training.teacher import Teacher, weights_fingerprint
from wakelark.training.trainer import Trainer


def build_trainer(config: Config, *, model: nn.Module, teacher: Teacher | nn.Module | None) -> Trainer:
    """The trainer the configuration asks for, with its optimizer.

    Args:
        config: `loss`, `distillation` and `training` are used.
        model: the student.
        teacher: needed when `distillation.enabled`, ignored otherwise.

    Raises:
        ConfigError: distillation is enabled and there is no teacher.
    """
    optimizer = build_optimizer(
        model, learning_rate=config.training.learning_rate, weight_decay=config.training.weight_decay
    )
    if not config.distillation.enabled:
        return Trainer(
            model=model,
            optimizer=optimizer,
            hard_negative_weight=config.loss.hard_negative_weight,
            all_steps_weight=config.loss.all_steps_weight,
        )
    if teacher is None:
        raise ConfigError(
            "distillation.enabled is true, but there is no teacher: train one first, or set distillation.enabled: false"
        )
    return DistillationTrainer(
        model=model,
        optimizer=optimizer,
        hard_negative_weight=config.loss.hard_negative_weight,
        all_steps_weight=config.loss.all_steps_weight,
        teacher=teacher,
        alpha=config.distillation.alpha,
        temperature=config.distillation.temperature,
        on_missing_audio=config.distillation.on_missing_audio,
    )


def build_optimizer(model: nn.Module, *, learning_rate: float, weight_decay: float) -> torch.optim.AdamW:
    """AdamW; weights decay, biases and the scales of normalisations do not."""
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = [
        {"params": [parameter for parameter in parameters if parameter.ndim > 1], "weight_decay": weight_decay},
        {"params": [parameter for parameter in parameters if parameter.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=learning_rate, fused=True)


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


def run_identity(config: Config, *, model: nn.Module, teacher: Teacher | None, data_key: str) -> Mapping[str, object]:
    """What a student's training is a function of; a checkpoint is only resumed where all of it is the same.

    Args:
        config: the sections the student's training reads.
        model: its architecture and its start weights (before the first step).
        teacher: its fingerprint.
        data_key: a key of the corpus and its views.
    """
    identity: dict[str, object] = {"seed": config.seed, "data": data_key}
    for name in ("student", "loss", "distillation", "training"):
        section = config.model_dump(mode="json")[name]
        identity.update({f"{name}.{key}": value for key, value in section.items()})
    for key in ("training.workers", "training.tensorboard"):  # neither changes a weight
        identity.pop(key)
    identity["teacher"] = teacher.fingerprint if teacher is not None else "none"
    identity["start_weights"] = weights_fingerprint(model.state_dict())
    return identity
