"""The voice gate over the development set, so that thresholds are chosen on the scores that a gated detector gives."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wakelark.audio import SAMPLE_RATE, Int16Array, to_float
from wakelark.runtime.voice_gate import VoiceGate

BoolArray = NDArray[np.bool_]

_BLOCK_STEPS = 750
"""Of a long recording that are read at once."""


@dataclass(frozen=True, slots=True)
class Openings:
    """Whether the gate is open at each score. Shape: one array `[S]` per trial and per negative"""

    trials: Sequence[BoolArray]
    negatives: Sequence[BoolArray]


@dataclass(frozen=True, slots=True, kw_only=True)
class DevelopmentGate:
    """The audio of a development set, and the gate that listens to it.

    Attributes:
        gate_db, hold_s: as in the card.
        trials: int16 audio of each positive trial.
        negatives: of each recording, or the `.npy` that holds it.
    """

    gate_db: float
    hold_s: float
    trials: Sequence[Int16Array]
    negatives: Sequence[Int16Array | Path]
    _heard: dict[int, Openings] = field(default_factory=dict, repr=False, compare=False)

    def openings(self, *, step_s: float, first_s: float, trials: Sequence[int], negatives: Sequence[int]) -> Openings:
        """The gate at every score of a network.

        A running detector gives a score with the step of audio in which the score's features end.

        Args:
            step_s, first_s: between two scores; when the first one ends.
            trials, negatives: how many scores each has.
        """
        step = round(step_s * SAMPLE_RATE)
        if step not in self._heard:
            self._heard[step] = Openings(
                [self._listen(audio, step) for audio in self.trials],
                [self._listen(audio, step) for audio in self.negatives],
            )
        heard = self._heard[step]

        def at_scores(opened: Sequence[BoolArray], counts: Sequence[int]) -> list[BoolArray]:
            return [_at_scores(*pair, step_s, first_s) for pair in zip(opened, counts, strict=True)]

        return Openings(at_scores(heard.trials, trials), at_scores(heard.negatives, negatives))

    def _listen(self, source: Int16Array | Path, step: int) -> BoolArray:
        """The gate at every step of audio, as a stream that begins there. Shape: `-> [steps]`"""
        gate = VoiceGate(gate_db=self.gate_db, hold_s=self.hold_s, step_samples=step)
        audio = np.load(source, mmap_mode="r") if isinstance(source, Path) else source
        return np.array([gate.is_open(part) for part in _steps(audio, step)], dtype=bool)


def _steps(audio: Int16Array, step: int) -> Iterator[NDArray[np.float32]]:
    block = _BLOCK_STEPS * step
    for start in range(0, len(audio) // step * step, block):
        piece = to_float(np.asarray(audio[start : start + block]))
        yield from piece[: len(piece) // step * step].reshape(-1, step)


def _at_scores(opened: BoolArray, count: int, step_s: float, first_s: float) -> BoolArray:
    """Shape: `[steps] -> [count]`"""
    ends_s = first_s + np.arange(count) * step_s
    steps = np.ceil(ends_s / step_s - 1e-6).astype(np.int64) - 1
    # The last score may end in a step that the audio does not fill: no detector would give it, and offline it counts.
    return opened[np.minimum(steps, len(opened) - 1)] if len(opened) else np.zeros(count, bool)
