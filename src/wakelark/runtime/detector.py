"""The detector: audio in chunks of any size in, detections out."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wakelark.audio import SAMPLE_RATE, Float32Array, to_float
from wakelark.errors import ConfigError
from wakelark.model_card import ModelCard
from wakelark.runtime.backend import Backend, read_model

_BLOCK_S = 2.0
"""Long arrays are worked off in blocks of about this length, so that memory does not grow with the recording."""

_LOUDEST_FLOAT = 16.0
"""Float samples beyond this are not loud audio but wrongly scaled audio (int16 values as floats, for instance)."""

_INAUDIBLE = 1e-8


@dataclass(frozen=True, slots=True)
class Detection:
    """The phrase was heard.

    Attributes:
        time_s: when it was known, in seconds of audio since the detector was loaded or reset.
        score: the smoothed score at that moment, at or above the threshold.
        phrase: what was heard.
    """

    time_s: float
    score: float
    phrase: str


class Detector:
    """Listens for one phrase. Feed it 16 kHz mono audio as it comes.

    It fires when the smoothed score rises to the threshold, and again only after the score has been below it for
    `card.refractory_s`. One detector follows one stream; it is not meant for several threads at once.

    Args:
        backend: a loaded model.
        threshold: fire at this smoothed score instead of the card's threshold.

    Attributes:
        card: what the model file says about itself.
        threshold: the smoothed score at which it fires.
        last_score: the newest smoothed score, for meters.
        ignored_chunks: chunks that were left out because they held NaN or infinite samples.

    Example:
        ```python
        detector = Detector.load("model.onnx")
        for chunk in microphone():
            for hit in detector.process(chunk):
                print(hit.phrase, hit.time_s)
        ```
    """

    def __init__(self, backend: Backend, *, threshold: float | None = None) -> None:
        if threshold is not None and not 0 < threshold <= 1:
            raise ConfigError(f"threshold {threshold} must be above 0 and at most 1")
        self.card: ModelCard = backend.card
        self.threshold = self.card.threshold if threshold is None else threshold
        self._backend = backend
        self._refractory_steps = max(1, math.ceil(self.card.refractory_s / self.step_s - 1e-9))
        self._block = max(1, int(_BLOCK_S / self.step_s)) * self.card.step_samples
        self._primed_state = self._warm_up()
        self.reset()

    @classmethod
    def load(cls, path: str | Path, threshold: float | None = None) -> Detector:
        """Load a model file.

        Raises:
            ModelError: the file is missing or no wakelark model.
            ConfigError: `threshold` is not above 0 and at most 1.
        """
        return cls(read_model(path), threshold=threshold)

    @property
    def step_s(self) -> float:
        """Seconds of audio per score."""
        return self.card.step_samples / SAMPLE_RATE

    @property
    def phrase(self) -> str:
        """The phrase it listens for."""
        return self.card.phrase

    @property
    def seconds(self) -> float:
        """Audio scored since it was loaded or reset, counted in whole steps."""
        return self._steps * self.card.step_samples / SAMPLE_RATE

    def reset(self) -> None:
        """Forget all audio: as just loaded."""
        self._state = self._primed_state
        self._pending = np.zeros(0, np.float32)
        self._steps = 0
        self._recent: deque[float] = deque(maxlen=self.card.smoothing_steps)
        self._quiet_steps = self._refractory_steps
        self.last_score = 0.0
        self.ignored_chunks = 0

    def process(self, chunk: NDArray[Any]) -> list[Detection]:
        """Take a chunk of audio and return what was detected in it.

        Shape: `[N]`, any N, int16 or float in [-1, 1]

        Raises:
            ConfigError: another dtype, more than one dimension, or floats that are not in [-1, 1].
        """
        return self._take(chunk)[1]

    def score(self, chunk: NDArray[Any]) -> list[float]:
        """Take a chunk of audio and return the raw, unsmoothed score of every step that it completes.

        The same stream as `process`: use one of the two for a chunk. Chunks of any size give the same scores.

        Shape: `[N] -> [T]`
        """
        return self._take(chunk)[0]

    def _take(self, chunk: NDArray[Any]) -> tuple[list[float], list[Detection]]:
        scores: list[float] = []
        detections: list[Detection] = []
        kind = _check_chunk(chunk)
        if kind == "f" and not _is_usable(chunk):
            self.ignored_chunks += 1
            return scores, detections
        for start in range(0, len(chunk), self._block):
            for score in self._advance(_as_float32(chunk[start : start + self._block], kind)):
                scores.append(score)
                if (detection := self._follow(score)) is not None:
                    detections.append(detection)
        return scores, detections

    def _advance(self, audio: Float32Array) -> list[float]:
        """Scores of the whole steps in the pending and the new audio."""
        if len(self._pending):
            audio = np.concatenate([self._pending, audio])
        whole = len(audio) // self.card.step_samples * self.card.step_samples
        self._pending = audio[whole:].copy()
        if not whole:
            return []
        scores, self._state = self._backend.run(audio[:whole], self._state)
        return scores.tolist()

    def _follow(self, score: float) -> Detection | None:
        """The live rule: rising edge of the smoothed score, re-armed after a refractory time below the threshold."""
        self._steps += 1
        self._recent.append(score)
        # Oldest first, plain additions: the same bits as `evaluation.events.smooth`, so thresholds mean the same.
        total = 0.0
        for value in self._recent:
            total += value
        self.last_score = total / len(self._recent)
        if self.last_score < self.threshold:
            self._quiet_steps += 1
            return None
        fires = self._quiet_steps >= self._refractory_steps
        self._quiet_steps = 0
        if not fires:
            return None
        return Detection(self.seconds, self.last_score, self.card.phrase)

    def _warm_up(self) -> Float32Array:
        """The state after the silence that the card asks for."""
        state = self._backend.zero_state()
        if self.card.warm_up_samples:
            _, state = self._backend.run(np.zeros(self.card.warm_up_samples, np.float32), state)
        return state


def _check_chunk(chunk: NDArray[Any]) -> str:
    """ "i" for int16, "f" for floats; anything else is an error that says what to do."""
    if not isinstance(chunk, np.ndarray):
        raise ConfigError(
            f"audio must be a numpy array, not {type(chunk).__name__}; for bytes: np.frombuffer(data, np.int16)"
        )
    if chunk.ndim != 1:
        raise ConfigError(
            f"audio must have one dimension (mono), not shape {chunk.shape}; take one channel: audio[:, 0]"
        )
    if chunk.dtype == np.int16:
        return "i"
    if chunk.dtype.kind == "f":
        return "f"
    raise ConfigError(f"audio must be int16, or float in [-1, 1], not {chunk.dtype}")


def _is_usable(chunk: NDArray[Any]) -> bool:
    if not np.isfinite(chunk).all():
        return False
    if chunk.size and (peak := float(np.abs(chunk).max())) > _LOUDEST_FLOAT:
        raise ConfigError(f"float audio must lie in [-1, 1], but reaches {peak:.0f}; divide int16 values by 32768")
    return True


def _as_float32(audio: NDArray[Any], kind: str) -> Float32Array:
    if kind == "i":
        return to_float(audio)
    samples = np.clip(audio, -1.0, 1.0).astype(np.float32)
    # Digital dust far below 24 bits: its squares are denormal numbers, with which processors are many times slower.
    samples[np.abs(samples) < _INAUDIBLE] = 0.0
    return samples
