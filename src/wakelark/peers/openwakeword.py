"""openWakeWord models: heads on a speech embedding, one score every 80 ms, no smoothing.

Two runtimes compute the same pipeline (mel frames, embedding, head) and are followed here each by its own rules:

- `.tflite`: the package pyopen-wakeword does everything. It begins as if 8 s of digital silence had been heard.
- `.onnx`: the project's own Python runtime, with its two feature models, window by window. It hears 1,760 samples per
  80 ms, begins with frames of ones and features of faint noise, and its first five scores are 0. The noise is drawn
  without a seed there and with one here; it is forgotten after as many scores as the head takes embeddings.

wakelark's own graph of the same embedding is not used: the published front end raises what is 80 dB below the loudest
of its 110 ms, so in near-silence around speech its features are others (tests/test_peers.py measures how much).
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from wakelark.audio import SAMPLE_RATE, Float32Array, Int16Array
from wakelark.errors import ModelError, SetupError
from wakelark.features.embedding_weights import resource
from wakelark.peers.scorer import OPEN_WAKE_WORD, Scorer, ScorerFacts, as_int16, spoken
from wakelark.peers.tflite_file import Signature, TensorInfo
from wakelark.runtime.backend import open_session, read_model_file, run_session

if TYPE_CHECKING:
    import onnxruntime

THRESHOLD = 0.5
"""The runtimes' default for every model; the files say nothing."""
STEP_SAMPLES = 1280
EMBEDDING = 96
_MEL_FRAMES, _MEL_BANDS = 76, 32
_OVERLAP_SAMPLES = 480
_TFLITE_FIRST_SAMPLES = 480
"""8 s of silence leave 1,280 samples of a window of 1,760 unheard."""
_SILENT_SCORES = 5
_NOISE_SAMPLES, _NOISE_LEVEL = 4 * SAMPLE_RATE, 1000
_MOST_EMBEDDINGS = 41
"""What the noise at the start gives: a longer head would not have enough to begin with."""
_BATCH = 64


def is_head(inputs: Sequence[TensorInfo], outputs: Sequence[TensorInfo]) -> bool:
    """Whether a model with this signature takes speech embeddings."""
    return len(inputs) == 1 and len(outputs) == 1 and inputs[0].shape[2:] == (EMBEDDING,)


def check_head(signature: Signature, *, name: str) -> int:
    """How many embeddings a head takes.

    Raises:
        ModelError: it is no head for one phrase.
    """
    given, gives = signature.inputs[0], signature.outputs[0]
    embeddings = given.shape[1]
    if given.kind != "float32" or given.shape[0] != 1 or not 1 <= embeddings <= _MOST_EMBEDDINGS:
        raise ModelError(
            f"{name} takes {given.text}; an openWakeWord model takes float32 [1, N, {EMBEDDING}] with N fixed, at most "
            f"{_MOST_EMBEDDINGS}"
        )
    if gives.shape != (1, 1):
        raise ModelError(
            f"{name} gives {gives.text}: only openWakeWord models for one phrase, float32 [1, 1], are compared"
        )
    return embeddings


class TfliteHead(Scorer):
    """A `.tflite` model, run by pyopen-wakeword.

    Args:
        path: the model file.
        threshold: fire at this score instead of the runtime's default.

    Raises:
        SetupError: pyopen-wakeword is not installed.
    """

    def __init__(self, path: Path, *, threshold: float | None) -> None:
        try:
            from pyopen_wakeword import OpenWakeWord, OpenWakeWordFeatures
        except ModuleNotFoundError as error:
            raise SetupError(
                'openWakeWord .tflite models are run by pyopen-wakeword; install it with: pip install "wakelark[bench]"'
            ) from error
        self._head = OpenWakeWord.from_model(path)
        self._features = OpenWakeWordFeatures.from_builtin()
        # Set when the first audio comes: the 8 s of silence cost as much as any other 8 s.
        self._primed: tuple[NDArray[Any], int, NDArray[Any], int, NDArray[Any], int] | None = None
        self._fresh = True
        models = (self._features.mel_path, self._features.emb_path)
        self.facts = _facts(
            path, f"pyopen-wakeword {version('pyopen-wakeword')}", threshold,
            first_samples=_TFLITE_FIRST_SAMPLES, shared=models,
        )  # fmt: skip

    @override
    def reset(self) -> None:
        self._fresh = True

    @override
    def score(self, chunk: NDArray[Any]) -> list[float]:
        if self._fresh:
            self._prime()
            self._fresh = False
        samples = as_int16(chunk)
        return [
            score
            for start in range(0, len(samples), STEP_SAMPLES)
            for score in self._run(samples[start : start + STEP_SAMPLES])
        ]

    def _run(self, samples: Int16Array) -> list[float]:
        return [
            float(score)
            for embeddings in self._features.process_streaming(samples.tobytes())
            for score in self._head.process_streaming(embeddings)
        ]

    def _prime(self) -> None:
        """Let it hear the silence it begins with, once; later take up from there. Scores of silence are none of ours.

        It begins only when it is given audio, so it gets one silent sample, which is then taken off its account.
        """
        features, head = self._features, self._head
        if self._primed is None:
            features.reset()
            head.reset()
            self._run(np.zeros(1, np.int16))
            self._primed = (
                features.audio.copy(), features.new_audio_samples - 1, features.mels.copy(), features.new_mels,
                head.embeddings.copy(), head.new_embeddings,
            )  # fmt: skip
        audio, new_samples, mels, new_mels, embeddings, new_embeddings = self._primed
        features.audio, features.new_audio_samples = audio.copy(), new_samples
        features.mels, features.new_mels = mels.copy(), new_mels
        head.embeddings, head.new_embeddings = embeddings.copy(), new_embeddings


class OnnxHead(Scorer):
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
        if not is_head(signature.inputs, signature.outputs):
            raise ModelError(
                f"{path} is neither a wakelark model (it has no card) nor an openWakeWord one: it {signature.text}, "
                f"where openWakeWord's take float32 [1, N, {EMBEDDING}] and give float32 [1, 1]"
            )
        self._embeddings = check_head(signature, name=str(path))
        self._head, self._name = session, str(path)
        self._head_input, self._head_output = session.get_inputs()[0].name, session.get_outputs()[0].name
        models = resource("melspectrogram.onnx"), resource("embedding_model.onnx")
        self._mel, self._embedding = (open_session(read_model_file(model), name=model.name) for model in models)
        runtime = f"openWakeWord's ONNX pipeline, onnxruntime {version('onnxruntime')}"
        self.facts = _facts(path, runtime, threshold, first_samples=STEP_SAMPLES, shared=models)
        noise = np.random.default_rng(0).integers(-_NOISE_LEVEL, _NOISE_LEVEL, _NOISE_SAMPLES).astype(np.int16)
        frames = self._mel_frames(noise)
        starts = range(0, len(frames) - _MEL_FRAMES + 1, 8)[-self._embeddings :]
        self._first_features = self._embed([frames[start : start + _MEL_FRAMES] for start in starts])
        self.reset()

    @override
    def reset(self) -> None:
        self._pending = np.zeros(0, np.int16)
        self._tail = np.zeros(0, np.int16)
        self._frames = np.ones((_MEL_FRAMES, _MEL_BANDS), np.float32)
        self._features = self._first_features
        self._scores = 0

    @override
    def score(self, chunk: NDArray[Any]) -> list[float]:
        audio = np.concatenate([self._pending, as_int16(chunk)])
        whole = len(audio) // STEP_SAMPLES * STEP_SAMPLES
        self._pending = audio[whole:]
        steps = [audio[start : start + STEP_SAMPLES] for start in range(0, whole, STEP_SAMPLES)]
        return [
            score
            for first in range(0, len(steps), _BATCH)
            for score in self._score_steps(steps[first : first + _BATCH])
        ]

    def _score_steps(self, steps: list[Int16Array]) -> list[float]:
        windows = []
        for step in steps:
            heard = np.concatenate([self._tail, step])
            self._tail = heard[-_OVERLAP_SAMPLES:]
            self._frames = np.concatenate([self._frames, self._mel_frames(heard)])[-_MEL_FRAMES:]
            windows.append(self._frames)
        features = np.concatenate([self._features, self._embed(windows)])
        self._features = features[len(steps) :]
        scores = [self._apply_head(features[end - self._embeddings : end]) for end in self._ends(len(steps))]
        silent = max(0, _SILENT_SCORES - self._scores)
        self._scores += len(steps)
        return [0.0] * min(silent, len(scores)) + scores[silent:]

    def _ends(self, steps: int) -> range:
        return range(self._embeddings + 1, self._embeddings + steps + 1)

    def _mel_frames(self, samples: Int16Array) -> Float32Array:
        """Shape: `[N] -> [N // 160 - 3, 32]`"""
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


def _facts(
    path: Path, runtime: str, threshold: float | None, *, first_samples: int, shared: Sequence[Path]
) -> ScorerFacts:
    return ScorerFacts(
        family=OPEN_WAKE_WORD,
        runtime=runtime,
        phrase=spoken(path.stem),
        threshold=THRESHOLD if threshold is None else threshold,
        step_s=STEP_SAMPLES / SAMPLE_RATE,
        first_s=first_samples / SAMPLE_RATE,
        smoothing_steps=1,
        refractory_s=None,
        live_samples=STEP_SAMPLES,
        size_bytes=path.stat().st_size,
        shared_bytes=sum(file.stat().st_size for file in shared),
    )


def _onnx_signature(session: onnxruntime.InferenceSession) -> Signature:
    """Free dimensions of a graph, which have names there, count as 0."""

    def info(part: Any) -> TensorInfo:
        kind = "float32" if part.type == "tensor(float)" else str(part.type)
        return TensorInfo(kind, tuple(size if isinstance(size, int) else 0 for size in part.shape))

    return Signature(tuple(map(info, session.get_inputs())), tuple(map(info, session.get_outputs())))
