"""What a streaming model for ESPHome is made of, in numbers."""

from __future__ import annotations

from dataclasses import dataclass

MAX_VARIABLES = 20
"""Resource variables that ESPHome's firmware has room for, per model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MicroFacts:
    """What a written model is made of.

    Attributes:
        size_bytes: of the file.
        operators: how often each operator runs per step.
        variables: resource variables, of at most 20.
        state_bytes: what they hold.
        parameters: weights and biases.
        multiplications: of weights, per step.
        frames_per_step: feature frames that a step takes.
        receptive_field_frames: frames that a score has heard.
    """

    size_bytes: int
    operators: dict[str, int]
    variables: int
    state_bytes: int
    parameters: int
    multiplications: int
    frames_per_step: int
    receptive_field_frames: int
