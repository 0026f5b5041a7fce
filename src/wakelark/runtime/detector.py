"""The detector: audio in chunks of any size in, detections out."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from wakelark.audio import SAMPLE_RATE, Float32Array, to_float
from wakelark.errors import ConfigError
from wakelark.model_card import ModelCard
from wakelark.runtime.backend import Backend, read_model
from wakelark.runtime.judge import Judge, checked_threshold
from wakelark.runtime.running_mean import mean
from wakelark.runtime.voice_gate import VoiceGate

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
        score: the smoothed score at that moment, at or above the threshold; with a judge, the verdict.
        phrase: what was heard.
    """

    time_s: float
    score: float
    phrase: str


class Detector:
    """Listens for one phrase. Feed it 16 kHz mono audio as it comes.

    It fires when the smoothed score rises to the threshold, and again only after the score has been below it for
    `card.refractory_s`. With a judge, the score that decides is the verdict, which is 0 while the judge sleeps.
    One detector follows one stream; it is not meant for several threads at once.

    Args:
        backend: a loaded model.
        threshold: of its smoothed score, instead of the card's; with a judge, what wakes that.
        judge: a second stage, which has the last word.

    Attributes:
        card: what the model file says about itself.
        threshold: of the model's own smoothed score.
        judge: the second stage, or None.
        last_score: the newest score that decides, for meters.
        ignored_chunks: chunks that were left out because they held NaN or infinite samples.

    Example:
        ```python
        detector = Detector.load("model.onnx")
        for chunk in microphone():
            for hit in detector.process(chunk):
                print(hit.phrase, hit.time_s)
        ```
    """

    def __init__(self, backend: Backend, *, threshold: float | None = None, judge: Judge | None = None) -> None:
        self.card: ModelCard = backend.card
        own = self.card.threshold if judge is None else judge.wake_threshold
        self.threshold = own if threshold is None else checked_threshold("threshold", threshold)
        self.judge = judge
        self._backend = backend
        self._refractory_steps = max(1, math.ceil(self.card.refractory_s / self.step_s - 1e-9))
        self._block = max(1, int(_BLOCK_S / self.step_s)) * self.card.step_samples
        self._gate = _gate(self.card)
        self._primed_state = backend.primed_state()
        self.reset()

    @classmethod
    def load(
        cls,
        path: str | Path,
        threshold: float | None = None,
        *,
        preset: str | None = None,
        judge: str | Path | None = None,
        judge_threshold: float | None = None,
    ) -> Detector:
        """Load a model file, and perhaps a second one that checks what it hears.

        Args:
            path: the model.
            threshold: fire at this smoothed score instead of the card's threshold; with a judge: wake it.
            preset: "strict", "normal" or "sensitive", of the card, instead of a threshold.
            judge: a model of the same phrase, usually `model.onnx` beside `model_tiny.onnx`.
            judge_threshold: of the judge's verdict, instead of the card's.

        Raises:
            ModelError: a file is missing or no wakelark model.
            ConfigError: a threshold is not above 0 and at most 1, there is no such preset, a preset comes with a
                threshold or a judge's threshold without a judge, or the two models do not go together.
        """
        return cls.of(read_model(path), threshold, preset=preset, judge=judge, judge_threshold=judge_threshold)

    @classmethod
    def of(
        cls,
        backend: Backend,
        threshold: float | None = None,
        *,
        preset: str | None = None,
        judge: str | Path | None = None,
        judge_threshold: float | None = None,
    ) -> Detector:
        """As `load`, of a model that is loaded already.

        Raises:
            ModelError, ConfigError: as `load` says.
        """
        if preset is not None and (threshold is not None or judge_threshold is not None):
            raise ConfigError(f"give a threshold or the preset {preset!r}, not both")
        card = backend.card
        if judge is None:
            if judge_threshold is not None:
                raise ConfigError("a judge's threshold needs a judge: name its model file")
            return cls(backend, threshold=threshold if preset is None else card.preset(preset).threshold)
        second = Judge(read_model(judge), card=card, threshold=judge_threshold, preset=preset)
        return cls(backend, threshold=threshold, judge=second)

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

    @property
    def fires_at(self) -> float:
        """What `last_score` must reach: the judge's threshold, or the model's own."""
        return self.threshold if self.judge is None else self.judge.threshold

    def reset(self) -> None:
        """Forget all audio: as just loaded."""
        self._state = self._primed_state
        self._pending = np.zeros(0, np.float32)
        self._steps = 0
        self._recent: deque[float] = deque(maxlen=self.card.smoothing_steps)
        self._quiet_steps = self._refractory_steps
        self.last_score = 0.0
        self.ignored_chunks = 0
        if self._gate is not None:
            self._gate.reset()
        if self.judge is not None:
            self.judge.reset()

    def process(self, chunk: NDArray[Any]) -> list[Detection]:
        """Take a chunk of audio and return what was detected in it.

        Shape: `[N]`, any N, int16 or float in [-1, 1]

        Raises:
            ConfigError: another dtype, more than one dimension, or floats that are not in [-1, 1].
        """
        return [step.detection for step in self._take(chunk) if step.detection is not None]

    def follow(self, chunk: NDArray[Any]) -> list[float]:
        """Take a chunk of audio and return what `last_score` was after every step that it completes.

        The same stream as `process`, for harnesses that count at many thresholds: smoothed, with the voice gate and the
        judge.

        Shape: `[N] -> [T]`
        """
        return [step.decisive for step in self._take(chunk)]

    def score(self, chunk: NDArray[Any]) -> list[float]:
        """Take a chunk of audio and return the model's raw, unsmoothed score of every step that it completes.

        The same stream as `process`: use one of the two for a chunk. Chunks of any size give the same scores.

        Shape: `[N] -> [T]`
        """
        return [step.score for step in self._take(chunk)]

    def _take(self, chunk: NDArray[Any]) -> list[_Step]:
        steps: list[_Step] = []
        kind = _check_chunk(chunk)
        if kind == "f" and not _is_usable(chunk):
            self.ignored_chunks += 1
            return steps
        for start in range(0, len(chunk), self._block):
            steps += self._advance(_as_float32(chunk[start : start + self._block], kind))
        return steps

    def _advance(self, audio: Float32Array) -> list[_Step]:
        """Everything about the whole steps in the pending and the new audio."""
        if len(self._pending):
            audio = np.concatenate([self._pending, audio])
        size = self.card.step_samples
        whole = len(audio) // size * size
        self._pending = audio[whole:].copy()
        if not whole:
            return []
        scores, self._state = self._backend.run(audio[:whole], self._state)
        if self.judge is not None:
            self.judge.keep(audio[:whole])
        return [
            _Step(score, *self._follow(score, audio[start : start + size]))
            for score, start in zip(scores.tolist(), range(0, whole, size), strict=True)
        ]

    def _follow(self, score: float, audio: Float32Array) -> tuple[float, Detection | None]:
        """The live rule: rising edge of the decisive score, re-armed after a refractory time below the threshold."""
        self._steps += 1
        if self._gate is not None and not self._gate.is_open(audio):
            score = 0.0
        self._recent.append(score)
        self.last_score = mean(self._recent)
        if self.judge is not None:
            end = self._steps * self.card.step_samples
            self.last_score = self.judge.verdict(self.last_score, end=end, threshold=self.threshold)
        if self.last_score < self.fires_at:
            self._quiet_steps += 1
            return self.last_score, None
        fires = self._quiet_steps >= self._refractory_steps
        self._quiet_steps = 0
        return self.last_score, Detection(self.seconds, self.last_score, self.card.phrase) if fires else None


class _Step(NamedTuple):
    """One step: the model's raw score, the score that decides, and what was detected."""

    score: float
    decisive: float
    detection: Detection | None


def _gate(card: ModelCard) -> VoiceGate | None:
    if card.gate_db == 0:
        return None
    return VoiceGate(gate_db=card.gate_db, hold_s=card.gate_hold_s, step_samples=card.step_samples)


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
