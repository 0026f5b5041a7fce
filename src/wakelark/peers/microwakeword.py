"""microWakeWord models: a manifest (`.json`) and a streaming 8-bit network (`.tflite`), run by pymicro-wakeword.

One score for every three feature frames of 10 ms (30 ms); the runtime's threshold and mean come from the manifest.
It fires above its cutoff, wakelark at or above a threshold: so the threshold is the next number above the cutoff, which
matters because its scores are multiples of 1/256.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from wakelark.audio import SAMPLE_RATE
from wakelark.errors import ModelError, SetupError
from wakelark.peers.scorer import MICRO_WAKE_WORD, ScorerFacts, as_int16, spoken
from wakelark.peers.tflite_file import Signature, is_tflite, read_signature
from wakelark.runtime.model_file import read_model_file
from wakelark.runtime.running_mean import RunningMean

BANDS = 40
_FRAME_SAMPLES = 160
_WINDOW_SAMPLES = 480
_STEP_MS = 10
_MOST_AVERAGED = 1000
_MOST_FRAMES = 100
_WHAT = "a microWakeWord manifest of version 2"


@dataclass(frozen=True, slots=True)
class Manifest:
    """What wakelark needs of a manifest.

    Attributes:
        path: of the manifest.
        wake_word: the phrase.
        model: the `.tflite` file beside it.
        cutoff: it fires above this mean.
        averaged: over how many scores the mean is taken.
        frames: feature frames per score.
    """

    path: Path
    wake_word: str
    model: Path
    cutoff: float
    averaged: int
    frames: int


def is_micro(signature: Signature) -> bool:
    """Whether a TFLite model with this signature takes microWakeWord's feature frames."""
    inputs = signature.inputs
    return len(inputs) == 1 and inputs[0].kind == "int8" and inputs[0].shape[2:] == (BANDS,)


def read_manifest(path: Path, data: bytes) -> Manifest:
    """Read a manifest and look at the model beside it.

    Args:
        path: of the manifest.
        data: its content.

    Raises:
        ModelError: no manifest of version 2, a value that cannot be, or no such model beside it.
    """
    try:
        manifest = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path} is not valid JSON ({error}); {_WHAT} was expected") from error
    if not isinstance(manifest, dict):
        raise ModelError(f"{path} holds no JSON object; {_WHAT} was expected")
    if "wakelark_version" in manifest:
        raise ModelError(f"{path} is the card beside a wakelark model; give the model: {path.with_suffix('')}")
    micro = manifest.get("micro")
    if manifest.get("version") != 2 or not isinstance(micro, dict):
        raise ModelError(f"{path} is not {_WHAT} (keys version, micro, ...)")
    if micro.get("feature_step_size", _STEP_MS) != _STEP_MS:
        raise ModelError(f"{path}: feature_step_size is {micro['feature_step_size']}; its runtime knows 10 ms only")
    wake_word, model = (_text(manifest, key, path) for key in ("wake_word", "model"))
    if wake_word == "vad":
        raise ModelError(f"{path} is a voice-activity model, not one of a wake word")
    cutoff, averaged = micro.get("probability_cutoff"), micro.get("sliding_window_size")
    if not isinstance(cutoff, int | float) or isinstance(cutoff, bool) or not 0 < cutoff < 1:
        raise ModelError(f"{path}: micro.probability_cutoff is {cutoff!r}, but must lie between 0 and 1")
    if not isinstance(averaged, int) or isinstance(averaged, bool) or not 1 <= averaged <= _MOST_AVERAGED:
        raise ModelError(f"{path}: micro.sliding_window_size is {averaged!r}, but must be 1 to {_MOST_AVERAGED}")
    file = path.parent / model
    return Manifest(path, wake_word, file, float(cutoff), averaged, _frames(file))


class MicroWakeWordModel:
    """A microWakeWord model, run by pymicro-wakeword.

    Args:
        manifest: what to run.
        threshold: fire at this mean instead of above the manifest's cutoff.

    Raises:
        SetupError: pymicro-wakeword is not installed.
    """

    def __init__(self, manifest: Manifest, *, threshold: float | None) -> None:
        try:
            import pymicro_wakeword
        except ModuleNotFoundError as error:
            raise SetupError(
                'microWakeWord models are run by pymicro-wakeword; install it with: pip install "wakelark[bench]"'
            ) from error
        # A mean over one score: its raw scores. The mean over more is taken here, also of the first few.
        self._model = pymicro_wakeword.MicroWakeWord(
            manifest.model.stem,
            wake_word=manifest.wake_word,
            tflite_model=manifest.model,
            probability_cutoff=manifest.cutoff,
            sliding_window_size=1,
            trained_languages=[],
            libtensorflowlite_c_path=_library(Path(pymicro_wakeword.__file__).parent),
        )
        self._features = pymicro_wakeword.MicroWakeWordFeatures()
        self._mean = RunningMean(manifest.averaged)
        self._frames = manifest.frames
        self._heard = 0
        step = self._frames * _FRAME_SAMPLES
        self.facts = ScorerFacts(
            family=MICRO_WAKE_WORD,
            runtime="pymicro-wakeword",
            phrase=spoken(manifest.wake_word),
            threshold=math.nextafter(manifest.cutoff, 1) if threshold is None else threshold,
            step_s=step / SAMPLE_RATE,
            first_s=(_WINDOW_SAMPLES - _FRAME_SAMPLES + step) / SAMPLE_RATE,
            smoothing_steps=manifest.averaged,
            refractory_s=None,
            live_samples=step,
            size_bytes=manifest.model.stat().st_size,
        )

    def reset(self) -> None:
        """As `Scorer.reset`."""
        self._model.reset()
        self._features.reset()
        self._mean.reset()
        self._heard = 0

    def score(self, chunk: NDArray[Any]) -> list[float]:
        """As `Scorer.score`."""
        scores: list[float] = []
        for frame in self._features.process_streaming(as_int16(chunk).tobytes()):
            score = self._model.process_streaming_prob(frame)
            self._heard += 1
            if self._heard % self._frames == 0:  # in between it gives 0.0, which is no score
                assert score is not None, "it is None only after close()"
                scores.append(float(score))
        return scores

    def follow(self, chunk: NDArray[Any]) -> list[float]:
        """As `Scorer.follow`."""
        return self._mean.follow(self.score(chunk))


def _text(manifest: dict[str, Any], key: str, path: Path) -> str:
    value = manifest.get(key)
    if not isinstance(value, str) or not value.strip() or "\0" in value:
        raise ModelError(f"{path}: {key} is {value!r}, but must be a text; {_WHAT} was expected")
    return value


def _frames(model: Path) -> int:
    data = read_model_file(model)
    if not is_tflite(data):
        raise ModelError(f"{model}, which the manifest names, is no TFLite file; download both again")
    signature = read_signature(data, name=str(model))
    if not is_micro(signature) or [output.shape for output in signature.outputs] != [(1, 1)]:
        raise ModelError(
            f"{model} {signature.text}; a microWakeWord model takes int8 [1, frames, {BANDS}] and gives uint8 [1, 1]"
        )
    batch, frames = signature.inputs[0].shape[:2]
    if batch != 1 or not 1 <= frames <= _MOST_FRAMES:
        raise ModelError(f"{model} takes {signature.inputs[0].text}: {frames} frames for {batch} streams at once")
    return frames


def _library(package: Path) -> Path:
    """The TFLite library that the package brings.

    Raises:
        SetupError: it brings none for this kind of machine.
    """
    found = sorted((package / "lib").glob("*tensorflowlite_c.*"))
    if not found:
        raise SetupError("the installed pymicro-wakeword brings no TFLite library for this machine; reinstall it")
    return found[0]
