"""The registry of students: a literal dict."""

from __future__ import annotations

from collections.abc import Sequence

from wakelark.errors import ConfigError
from wakelark.models.student import Student

STUDENTS: dict[str, type[Student]] = {"ds_tcn": Student}


def build_student(*, architecture: str, channels: int, kernels: Sequence[int], dropout: float) -> Student:
    """A new student with random weights, drawn from torch's global generator; arguments as in `config.student`.

    Raises:
        ConfigError: there is no such architecture.
    """
    if architecture not in STUDENTS:
        known = ", ".join(STUDENTS)
        raise ConfigError(f"student.architecture: {architecture!r} is unknown; choose one of: {known}")
    return STUDENTS[architecture](channels=channels, kernels=kernels, dropout=dropout)
