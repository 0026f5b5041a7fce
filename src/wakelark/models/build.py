"""The registry of students: a literal dict, and the type of whatever comes out of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

from wakelark.errors import ConfigError
from wakelark.models.bc_resnet import BcResNet
from wakelark.models.student import Student
from wakelark.models.trunk import LOGMEL, FrontEnd
from wakelark.models.trunk_file import load_trunk

if TYPE_CHECKING:
    from wakelark.config import StudentConfig

AnyStudent: TypeAlias = Student | BcResNet
"""Any student. All have `trunk` (with `channels` and `receptive_field_frames`), `step_samples`,
`receptive_field_frames`, `receptive_field_samples`, `state_size` and `stream`, and map log-mel `[B, 40, T]` to logits
`[B, L]`; a type checker holds every use of this type to what all of them have."""


def build_student(config: StudentConfig, *, front_end: FrontEnd = LOGMEL) -> AnyStudent:
    """A new student: its trunk as `config.trunk` says, the rest random, drawn from torch's global generator.

    Args:
        config: its shape and its trunk.
        front_end: what it hears through.

    Raises:
        ConfigError: there is no such architecture, it cannot start from a trunk, or the trunk hears through another
            front end.
        ModelError: the trunk's file is missing or damaged.
    """
    if config.architecture not in STUDENTS:
        known = ", ".join(STUDENTS)
        raise ConfigError(f"student.architecture: {config.architecture!r} is unknown; choose one of: {known}")
    return STUDENTS[config.architecture](config, front_end)


def _ds_tcn(config: StudentConfig, front_end: FrontEnd) -> Student:
    trained = None if config.trunk == "none" else load_trunk(config.trunk)
    if trained and trained.front_end != front_end:
        raise ConfigError(
            f"the trunk {config.trunk} was made for the front end {trained.front_end.name}, but the student hears "
            f"through {front_end.name}; name another trunk, or none"
        )
    student = Student(
        channels=trained.channels if trained else config.channels,
        kernels=trained.kernels if trained else config.kernels,
        rank=config.head_rank,
        templates=config.head_templates,
        taps=config.head_taps,
        dilation=config.head_dilation,
        dropout=config.dropout,
        front_end=front_end,
    )
    if trained:
        student.trunk.load_state_dict(trained.weights)
        student.trunk.statistics_fixed = True
    return student


def _bc_resnet(config: StudentConfig, front_end: FrontEnd) -> BcResNet:
    if front_end != LOGMEL:
        raise ConfigError(f"student.architecture bc_resnet hears through logmel only, not {front_end.name}; use ds_tcn")
    if config.trunk != "none":
        raise ConfigError(
            f"student.trunk is {config.trunk!r}, but trunks that come trained are for student.architecture ds_tcn; "
            f"with bc_resnet, set student.trunk: none"
        )
    return BcResNet(width=config.width, dropout=config.dropout)


STUDENTS: dict[str, Callable[[StudentConfig, FrontEnd], AnyStudent]] = {"ds_tcn": _ds_tcn, "bc_resnet": _bc_resnet}
