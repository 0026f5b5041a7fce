"""openWakeWord's `.onnx` models with its two ONNX feature models, window by window as its own Python runtime does.

It hears 1,760 samples per 80 ms, begins with frames of ones and features of faint noise, and its first five scores are
0. That noise is drawn without a seed there and with one here; it is forgotten after as many scores as the head takes
embeddings.

wakelark's own graph of the same embedding is not used: the published front end raises what is 80 dB below the loudest
of its 110 ms, so in near-silence around speech its features are others (tests/test_peers.py measures how much).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from wakelark.audio import SAMPLE_RATE, Float32Array, Int16Array
from wakelark.errors import ModelError
from wakelark.features.embedding_weights import resource
from wakelark.peers.openwakeword import EMBEDDING, STEP_SAMPLES, check_head, head_facts, is_head
from wakelark.peers.scorer import as_int16
from wakelark.peers.tflite_file import Signature, TensorInfo
from wakelark.runtime.backend import open_session, run_session
from wakelark.runtime.model_file import read_model_file

_MEL_FRAMES, _MEL_BANDS = 76, 32
_OVERLAP_SAMPLES = 480
_SILENT_SCORES = 5
_NOISE_SAMPLES, _NOISE_LEVEL = 4 * SAMPLE_RATE, 1000
_BATCH = 64


class OnnxHead:
    """A `.onnx` model with openWakeWord's ONNX feature models.

    Args:
        session: the loaded head.
        path: where it came from.
        threshold: fire at this score instead of the runtime's default.

    Raises:
        ModelError: it is no openWakeWord model for one phrase.
        SetupError: the package that brings the feature models is not installed.
    """

    def __init__(self, session: onnxruntime.InferenceSession, path: Path, *, threshold: float | None) -> None:
        signature = _onnx_signature(session)
        if not is_head(signature):
            raise ModelError(
                f"{path} is neither a wakelark model (it has no card) nor an openWakeWord one: it {signature.text}, "
                f"where openWakeWord's take float32 [1, N, {EMBEDDING}] and give float32 [1, 1]"
            )
        self._embeddings = check_head(signature, name=str(path))
        self._head, self._name = session, str(path)
        self._head_input, self._head_output = session.get_inputs()[0].name, session.get_outputs()[0].name
        models = resource("melspectrogram.onnx"), resource("embedding_model.onnx")
        self._mel, self._embedding = (open_session(read_model_file(model), name=model.name) for model in models)
        self.facts = head_facts(path, "onnxruntime", threshold, first_samples=STEP_SAMPLES, shared=models)
        noise = np.random.default_rng(0).integers(-_NOISE_LEVEL, _NOISE_LEVEL, _NOISE_SAMPLES).astype(np.int16)
        frames = self.mel_frames(noise)
        starts = range(0, len(frames) - _MEL_FRAMES + 1, 8)[-self._embeddings :]
        self._first_features = self._embed([frames[start : start + _MEL_FRAMES] for start in starts])
        self.reset()

    def reset(self) -> None:
        """As `Scorer.reset`."""
        self._pending = np.zeros(0, np.int16)
        self._tail = np.zeros(0, np.int16)
        self._frames = np.ones((_MEL_FRAMES, _MEL_BANDS), np.float32)
        self._features = self._first_features
        self._scores = 0

    def score(self, chunk: NDArray[Any]) -> list[float]:
        """As `Scorer.score`."""
        audio = np.concatenate([self._pending, as_int16(chunk)])
        whole = len(audio) // STEP_SAMPLES * STEP_SAMPLES
        self._pending = audio[whole:]
        steps = [audio[start : start + STEP_SAMPLES] for start in range(0, whole, STEP_SAMPLES)]
        return [
            score
            for first in range(0, len(steps), _BATCH)
            for score in self._score_steps(steps[first : first + _BATCH])
        ]

    def follow(self, chunk: NDArray[Any]) -> list[float]:
        """As `Scorer.follow`: the runtime smooths nothing."""
        return self.score(chunk)

    def _score_steps(self, steps: list[Int16Array]) -> list[float]:
        windows = []
        for step in steps:
            heard = np.concatenate([self._tail, step])
            self._tail = heard[-_OVERLAP_SAMPLES:]
            self._frames = np.concatenate([self._frames, self.mel_frames(heard)])[-_MEL_FRAMES:]
            windows.append(self._frames)
        features = np.concatenate([self._features, self._embed(windows)])
        self._features = features[len(steps) :]
        scores = [self._apply_head(features[end - self._embeddings : end]) for end in self._ends(len(steps))]
        silent = max(0, _SILENT_SCORES - self._scores)
        self._scores += len(steps)
        return [0.0] * min(silent, len(scores)) + scores[silent:]

    def _ends(self, steps: int) -> range:
        return range(self._embeddings + 1, self._embeddings + steps + 1)

    def mel_frames(self, samples: Int16Array) -> Float32Array:
        """The published front end on one piece of audio. Shape: `[N] -> [N // 160 - 3, 32]`"""
        audio = samples.astype(np.float32)[None]
        (frames,) = run_session(self._mel, ["output"], {"input": audio}, name="melspectrogram.onnx")
        return frames.reshape(-1, _MEL_BANDS) / np.float32(10) + np.float32(2)

    def _embed(self, windows: list[Float32Array]) -> Float32Array:
        """Shape: `[B][76, 32] -> [B, 96]`"""
        inputs = {"input_1": np.stack(windows)[..., None]}
        (embeddings,) = run_session(self._embedding, ["conv2d_19"], inputs, name="embedding_model.onnx")
        return embeddings.reshape(len(windows), EMBEDDING)

    def _apply_head(self, features: Float32Array) -> float:
        inputs = {self._head_input: features[None]}
        return float(run_session(self._head, [self._head_output], inputs, name=self._name)[0].reshape(-1)[0])


def _onnx_signature(session: onnxruntime.InferenceSession) -> Signature:
    """Free dimensions of a graph, which have names there, count as 0."""

    def info(part: Any) -> TensorInfo:
        kind = "float32" if part.type == "tensor(float)" else str(part.type)
        return TensorInfo(kind, tuple(size if isinstance(size, int) else 0 for size in part.shape))

    return Signature(tuple(map(info, session.get_inputs())), tuple(map(info, session.get_outputs())))
