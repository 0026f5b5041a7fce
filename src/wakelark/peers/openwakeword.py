"""openWakeWord models: heads on a speech embedding, one score every 80 ms, no smoothing.

Two runtimes compute the same pipeline (mel frames, embedding, head) and are followed each by its own rules: for
`.tflite` the package pyopen-wakeword does everything, here; `.onnx` is in `openwakeword_onnx`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from wakelark.audio import SAMPLE_RATE, Float32Array, Int16Array
from wakelark.errors import ModelError, SetupError
from wakelark.peers.scorer import OPEN_WAKE_WORD, ScorerFacts, as_int16, spoken
from wakelark.peers.tflite_file import Signature

if TYPE_CHECKING:
    from pyopen_wakeword import OpenWakeWord, OpenWakeWordFeatures

THRESHOLD = 0.5
"""The runtimes' default for every model; the files say nothing."""
STEP_SAMPLES = 1280
EMBEDDING = 96
_TFLITE_FIRST_SAMPLES = 480
"""8 s of silence leave 1,280 samples of a window of 1,760 unheard."""
_MOST_EMBEDDINGS = 41
"""What the `.onnx` runtime begins with; a longer head would lack something to begin with."""


def is_head(signature: Signature) -> bool:
    """Whether a model with this signature takes speech embeddings."""
    inputs, outputs = signature.inputs, signature.outputs
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


class TfliteHead:
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
        self.facts = head_facts(
            path, "pyopen-wakeword", threshold,
            first_samples=_TFLITE_FIRST_SAMPLES, shared=models,
        )  # fmt: skip

    @property
    def parts(self) -> tuple[OpenWakeWordFeatures, OpenWakeWord]:
        """The runtime's own objects."""
        return self._features, self._head

    def reset(self) -> None:
        """As `Scorer.reset`."""
        self._fresh = True

    def score(self, chunk: NDArray[Any]) -> list[float]:
        """As `Scorer.score`."""
        if self._fresh:
            self._prime()
            self._fresh = False
        samples = as_int16(chunk)
        return [
            score
            for start in range(0, len(samples), STEP_SAMPLES)
            for score in self._run(samples[start : start + STEP_SAMPLES])
        ]

    def follow(self, chunk: NDArray[Any]) -> list[float]:
        """As `Scorer.follow`: the runtime smooths nothing."""
        return self.score(chunk)

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


def run_head(path: Path, audio: Int16Array) -> tuple[Float32Array, Float32Array]:
    """What pyopen-wakeword computes over audio: the windows of embeddings that it hands to a head, and the scores.

    Args:
        path: a head of 16 embeddings.
        audio: heard after the silence that the runtime begins with, 80 ms at a time.

    Raises:
        SetupError: pyopen-wakeword is not installed.

    Shape: `[N] -> [S, 16, 96], [S]`
    """
    scorer = TfliteHead(path, threshold=None)
    features, head = scorer.parts
    features.reset()
    head.reset()
    embeddings, scores = [], []
    for start in range(0, len(audio), STEP_SAMPLES):
        for embedding in features.process_streaming(audio[start : start + STEP_SAMPLES].tobytes()):
            embeddings.append(embedding.reshape(EMBEDDING).astype(np.float32))
            scores += list(head.process_streaming(embedding))
    steps = len(embeddings) - len(scores) + 1
    windows = [embeddings[number : number + steps] for number in range(len(scores))]
    return np.array(windows, np.float32), np.array(scores, np.float32)


def head_facts(
    path: Path, runtime: str, threshold: float | None, *, first_samples: int, shared: Sequence[Path]
) -> ScorerFacts:
    """What all heads have in common.

    Args:
        path: the head's file.
        runtime: the package that computes the scores.
        threshold: None for the runtimes' default.
        first_samples: audio that must be heard for the first score.
        shared: files that it needs and shares with other heads.
    """
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
