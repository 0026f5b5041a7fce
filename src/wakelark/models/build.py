"""The registry of students: a literal dict, and the type of whatever comes out of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

from wakelark.errors import ConfigError
from wakelark.models.bc_resnet import BcResNet
from wakelark.models.student import Student
from wakelark.models.trunk_file import load_trunk

if TYPE_CHECKING:
    from wakelark.config import StudentConfig

AnyStudent: TypeAlias = Student | BcResNet
"""Any student. All have `trunk` (with `channels` and `receptive_field_frames`), `step_samples`,
`receptive_field_frames`, `receptive_field_samples`, `state_size` and `stream`, and map log-mel `[B, 40, T]` to logits
`[B, L]`; a type checker holds every use of this type to what all of them have."""


def build_student(config: StudentConfig) -> AnyStudent:
    """A new student: its trunk as `config.trunk` says, the rest random, drawn from torch's global generator.

    Raises:
        ConfigError: there is no such architecture, or it cannot start from a trunk.
        ModelError: the trunk's file is missing or damaged.
    """
    if config.architecture not in STUDENTS:
        known = ", ".join(STUDENTS)
        raise ConfigError(f"student.architecture: {config.architecture!r} is unknown; choose one of: {known}")
    return STUDENTS[config.architecture](config)


def _ds_tcn(config: StudentConfig) -> Student:
    trained = None if config.trunk == "none" else load_trunk(config.trunk)
    student = Student(
        channels=trained.channels if trained else config.channels,
        kernels=trained.kernels if trained else config.kernels,
        rank=config.head_rank,
        templates=config.head_templates,
        taps=config.head_taps,
        dilation=config.head_dilation,
        dropout=config.dropout,
    )
    if trained:
        student.trunk.load_state_dict(trained.weights)
        student.trunk.statistics_fixed = True
    return student


def _bc_resnet(config: StudentConfig) -> BcResNet:
    if config.trunk != "none":
        raise ConfigError(
            f"student.trunk is {config.trunk!r}, but trunks that come trained are for student.architecture ds_tcn; "
            f"with bc_resnet, set student.trunk: none"
        )
    return BcResNet(width=config.width, dropout=config.dropout)


STUDENTS: dict[str, Callable[[StudentConfig], AnyStudent]] = {"ds_tcn": _ds_tcn, "bc_resnet": _bc_resnet}
