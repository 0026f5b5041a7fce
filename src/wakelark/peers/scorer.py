"""What evaluation asks of any wake-word model: audio in, one score per step out, and the rule to read the scores by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from wakelark.audio import Int16Array, to_int16

WAKELARK = "wakelark"
OPEN_WAKE_WORD = "openWakeWord"
MICRO_WAKE_WORD = "microWakeWord"


@dataclass(frozen=True, slots=True, kw_only=True)
class ScorerFacts:
    """What a model says about itself, in wakelark's terms.

    Attributes:
        family: WAKELARK, OPEN_WAKE_WORD or MICRO_WAKE_WORD.
        runtime: the package that computes the scores.
        phrase: what it listens for.
        threshold: where it fires: where the smoothed score, with a judge the verdict, is at or above it.
        step_s: audio per score.
        first_s: audio that must be heard for the first score; score number k is known at `first_s + k * step_s`.
        smoothing_steps: over how many scores the mean is taken, as its own runtime does.
        refractory_s: of its card; None where the file says nothing.
        live_samples: audio per call when it listens live.
        size_bytes: of the files that are this model alone.
        shared_bytes: of further files that it needs and shares with other models.
    """

    family: str
    runtime: str
    phrase: str
    threshold: float
    step_s: float
    first_s: float
    smoothing_steps: int
    refractory_s: float | None
    live_samples: int
    size_bytes: int
    shared_bytes: int = 0

    @property
    def event_gap_s(self) -> float:
        """Events nearer than this are one: `refractory_s`, or the configured default where the file says nothing."""
        if self.refractory_s is not None:
            return self.refractory_s
        from wakelark.config import EvaluationConfig  # heavy, and needed by evaluation only

        return EvaluationConfig().refractory_s


class Scorer(Protocol):
    """A loaded model that follows one stream of audio.

    Attributes:
        facts: what the model says about itself.
    """

    facts: ScorerFacts

    def reset(self) -> None:
        """Forget all audio: as just loaded."""
        ...

    def score(self, chunk: NDArray[Any]) -> list[float]:
        """Take audio and return the raw, unsmoothed score of every step that it completes.

        Shape: `[N] -> [T]`, 16 kHz, int16 or float in [-1, 1]
        """
        ...

    def follow(self, chunk: NDArray[Any]) -> list[float]:
        """The same stream as `score`, but what is compared with the threshold: smoothed, and whatever else its own
        runtime does with the scores. Use one of the two for a chunk.

        Shape: `[N] -> [T]`
        """
        ...


def as_int16(chunk: NDArray[Any]) -> Int16Array:
    """Audio as the 16-bit samples that other projects' runtimes take. Shape: `[N] -> [N]`"""
    return chunk if chunk.dtype == np.int16 else to_int16(chunk)


def spoken(name: str) -> str:
    """The phrase that a file's name stands for.

    >>> spoken("hey_jarvis_v0.1"), spoken("Alexa")
    ('hey jarvis', 'alexa')
    """
    words, _, version = name.rpartition("_v")
    stem = words if words and version.replace(".", "").isdigit() else name
    return " ".join("".join(char if char.isalnum() else " " for char in stem.casefold()).split())
