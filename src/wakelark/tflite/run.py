"""Runs a streaming int8 model step by step in three runtimes: ai-edge-litert, TFLite-Micro and pymicro-wakeword."""

from __future__ import annotations

import importlib.util
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wakelark.audio import Float32Array
from wakelark.errors import SetupError
from wakelark.tflite import quantise
from wakelark.tflite.tflm import has_tflm, run_tflm

LITERT, TFLM, PYMICRO = "ai-edge-litert", "tflite-micro", "pymicro-wakeword"
FEATURES_PER_UNIT = 25.6
"""The front end's integers per unit of a feature."""
_MODULES = {LITERT: "ai_edge_litert", PYMICRO: "pymicro_wakeword"}

Int8Array = NDArray[np.int8]


def device_features(features: Float32Array) -> Int8Array:
    """Features as ESPHome's firmware hands them to a model, bit for bit.

    The firmware scales the front end's integers by 256 / 666 with rounding, which is a hair off `feature / (26 / 255)`.

    Args:
        features: of the `micro` front end, its integers / 25.6.

    Shape: as `features`
    """
    numbers = np.round(features.astype(np.float64) * FEATURES_PER_UNIT).astype(np.int64)
    return np.clip((numbers * 256 + 333) // 666 + quantise.LOWEST, quantise.LOWEST, quantise.HIGHEST).astype(np.int8)


def installed_runtimes() -> list[str]:
    """Which of the three are here."""
    here = [name for name, module in _MODULES.items() if importlib.util.find_spec(module) is not None]
    return [*here, TFLM] if has_tflm() else here


def run_everywhere(data: bytes, frames: Int8Array, *, arena_bytes: int) -> Mapping[str, Float32Array]:
    """Scores in every runtime that is installed, by its name.

    They are not equal: each rounds its sums in its own way, and what one layer rounds otherwise the next ones carry on.
    With three trained students of 64 channels over 160 s of the phrase and noise, two were 0.2/256 apart on average,
    but up to 27/256 where a score rises within a few steps; the mean of five scores, which decides, up to 17/256.

    Args:
        data: a `.tflite` file of one's own: two of the runtimes trust it.
        frames: quantised features, a whole number of steps.
        arena_bytes: memory for TFLite-Micro.

    Shape: `[frames, bands] -> [steps]` each, 0 to 255/256

    Raises:
        ModelError: a runtime does not run it.
    """
    runners = {
        LITERT: lambda: run_litert(data, frames),
        TFLM: lambda: run_tflm(data, frames, arena_bytes=arena_bytes),
        PYMICRO: lambda: run_pymicro(data, frames),
    }
    return {name: runners[name]() for name in installed_runtimes()}


def run_litert(data: bytes, frames: Int8Array) -> Float32Array:
    """Scores in ai-edge-litert, from the model's first state; as `run_everywhere`.

    Raises:
        SetupError: it is not installed.
    """
    _require(LITERT)
    from ai_edge_litert.interpreter import Interpreter

    # A new interpreter each time: its own reset writes the integer 0 into variables, which is not the real 0.
    interpreter = Interpreter(model_content=data, num_threads=1)
    interpreter.allocate_tensors()
    taken, given = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    scores: list[int] = []
    for step in frames.reshape(-1, *taken["shape"]):
        interpreter.set_tensor(taken["index"], step)
        interpreter.invoke()
        scores.append(int(interpreter.get_tensor(given["index"]).ravel()[0]))
    return np.array(scores, np.float32) / np.float32(256)


def run_pymicro(data: bytes, frames: Int8Array) -> Float32Array:
    """Scores in pymicro-wakeword, from the model's first state; as `run_everywhere`.

    Raises:
        SetupError: it is not installed.
    """
    _require(PYMICRO)
    from pymicro_wakeword import MicroWakeWord

    features = (frames.astype(np.float32) - quantise.MICRO_INPUT.zero_point) * np.float32(quantise.MICRO_INPUT.scale)
    with tempfile.TemporaryDirectory(prefix="wakelark-") as folder:
        path = Path(folder) / "model.tflite"
        path.write_bytes(data)
        model = MicroWakeWord(
            "model",
            wake_word="",
            tflite_model=path,
            probability_cutoff=1.0,
            sliding_window_size=1,
            trained_languages=[],
            libtensorflowlite_c_path=_library(),
        )
        # It gives 0.0 for the frames between two steps.
        heard = [model.process_streaming_prob(frame[None, None]) for frame in features]
        scores = heard[model.stride - 1 :: model.stride]
        model.close()
    return np.array(scores, np.float32)


def _library() -> Path:
    """The TFLite library that pymicro-wakeword brings.

    Raises:
        SetupError: it brings none for this kind of machine.
    """
    import pymicro_wakeword

    found = sorted((Path(pymicro_wakeword.__file__).parent / "lib").glob("*tensorflowlite_c.*"))
    if not found:
        raise SetupError("the installed pymicro-wakeword brings no TFLite library for this machine; reinstall it")
    return found[0]


def _require(name: str) -> None:
    if importlib.util.find_spec(_MODULES[name]) is None:
        raise SetupError(f'{name} is not installed; install it with: pip install "wakelark[esphome]"')
