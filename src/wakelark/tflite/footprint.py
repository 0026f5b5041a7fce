"""What a model for ESPHome will take on the chip, known before it is trained: weights change no size.

The file is written, with random weights, so its size is exact. The arena and the time are estimates.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from wakelark.models.student import Student
from wakelark.tflite.micro_graph import MAX_VARIABLES, MicroFacts
from wakelark.tflite.micro_student import build_micro_student

MAX_FILE_BYTES = 240_000
MAX_ARENA_BYTES = 111_000
MAX_STEP_MS = 20.0
"""Limits: three times what okay_nabu takes, the model that every ESPHome voice device runs (80,824 bytes, an arena of
37,000 in its manifest, 6.8 ms per step of 30 ms on an ESP32-S3)."""

_ARENA_BYTES, _ARENA_BYTES_PER_OPERATOR, _ARENA_BYTES_PER_CHANNEL = 735, 280.5, 8
"""Found from the smallest arenas in which the `tflite-micro` wheel (x86-64, where pointers are twice as long as on the
chip) runs five shapes of students, 15 to 32 kB: within 16 bytes of all of them. A channel's 8 bytes are its
multiplier and shift."""
_US_PER_MULTIPLICATION = 6800 / 24_700
"""okay_nabu on an ESP32-S3: 6.8 ms per step (ESPHome's log) for about 24,700 multiplications; the share of the
operators is in there, so a network of few operators takes less."""
_FRONT_END_MS = 0.74
"""Of the front end per step of 30 ms, in the same log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MicroFootprint:
    """What a model takes.

    Attributes:
        file_bytes: of the `.tflite`, in flash.
        arena_bytes: of memory, estimated.
        variables: resource variables.
        step_ms: CPU time per step on an ESP32-S3, front end included, a rough estimate.
        period_ms: how often a step comes.
    """

    file_bytes: int
    arena_bytes: int
    variables: int
    step_ms: float
    period_ms: int

    @property
    def text(self) -> str:
        """For people, in one line."""
        return (
            f"file {self.file_bytes:,} bytes, arena about {self.arena_bytes:,}, {self.variables} of {MAX_VARIABLES} "
            f"variables, about {self.step_ms:.0f} ms of every {self.period_ms} ms on an ESP32-S3"
        )

    def problems(self) -> list[str]:
        """What does not fit, each with the number and the limit."""
        limits = (
            ("the file has {:,.0f} bytes", self.file_bytes, MAX_FILE_BYTES),
            ("the arena takes about {:,.0f} bytes", self.arena_bytes, MAX_ARENA_BYTES),
            ("it needs {:.0f} variables", self.variables, MAX_VARIABLES),
            ("a step takes about {:.0f} ms", self.step_ms, min(MAX_STEP_MS, self.period_ms * 2 / 3)),
        )
        return [f"{what.format(value)}, at most {limit:,.0f} fit" for what, value, limit in limits if value > limit]


def micro_footprint(student: Student) -> MicroFootprint:
    """What a student will take, trained or not.

    Args:
        student: in evaluation mode, on the features of ESPHome's front end.

    Raises:
        ValueError: it needs more variables than the firmware has room for.
    """
    trunk = student.trunk
    frames = np.random.default_rng(0).uniform(0, 26, (4 * student.receptive_field_frames, trunk.front.in_channels))
    facts = build_micro_student(student, shift=0.0, features=frames.astype(np.float32)).facts
    return MicroFootprint(
        file_bytes=facts.size_bytes, arena_bytes=estimated_arena_bytes(facts), variables=facts.variables,
        step_ms=_FRONT_END_MS * facts.frames_per_step / 3 + facts.multiplications * _US_PER_MULTIPLICATION / 1000,
        period_ms=10 * facts.frames_per_step,
    )  # fmt: skip


def estimated_arena_bytes(facts: MicroFacts) -> int:
    """The smallest arena in which the TFLite-Micro interpreter runs a model, estimated."""
    channels = facts.parameters - facts.multiplications  # a bias each
    operators = sum(facts.operators.values())
    return round(
        _ARENA_BYTES + _ARENA_BYTES_PER_OPERATOR * operators + _ARENA_BYTES_PER_CHANNEL * channels + facts.state_bytes
    )
