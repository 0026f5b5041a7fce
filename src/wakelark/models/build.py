"""The registry of students: a literal dict."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from wakelark.errors import ConfigError
from wakelark.models.student import Student
from wakelark.models.trunk_file import load_trunk

if TYPE_CHECKING:
    from wakelark.config import StudentConfig


def build_student(config: StudentConfig) -> Student:
    """A new student: its trunk as `config.trunk` says, the rest random, drawn from torch's global generator.

    Raises:
        ConfigError: there is no such architecture.
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


STUDENTS: dict[str, Callable[[StudentConfig], Student]] = {"ds_tcn": _ds_tcn}
