"""The interpreter that an ESP32 runs, TFLite-Micro, from the package tflite-micro: scores, and the smallest arena.

The interpreter trusts a model; it runs in a process of its own (`tflm_worker`), which may crash.
"""

from __future__ import annotations

import importlib.util
import os
import re
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wakelark.audio import Float32Array
from wakelark.errors import ModelError, SetupError

MOST_ARENA_BYTES = 8 * 2**20
"""The PSRAM of the largest boards; no device gives more."""
_WORKER = "wakelark.tflite.tflm_worker"
_TIMEOUT_S = 120
ALIGNMENT_BYTES = 16
"""An arena is a multiple of this, and so is where tensors lie in it."""
_MOST_WORKERS = 30
_SHOWN_CHARACTERS = 300
_SCORE_STEPS = 256
_REPORT = re.compile(r"(try|ok|no) [0-9]+")


@dataclass(frozen=True, slots=True)
class Arena:
    """What the interpreter needs.

    Attributes:
        smallest_bytes: the smallest arena in which the model starts and runs, on this machine; a 32-bit chip needs
            less. None when it starts in none.
        reason: what the interpreter said, when it starts in none.
    """

    smallest_bytes: int | None
    reason: str


def has_tflm() -> bool:
    """Whether the package tflite-micro is installed (there are none for Windows)."""
    return importlib.util.find_spec("tflite_micro") is not None


def measure_arena(data: bytes) -> Arena:
    """Find the smallest arena by halving.

    Args:
        data: a `.tflite` file; it may be hostile.

    Raises:
        SetupError: tflite-micro is not installed.
    """
    _require_tflm()
    with tempfile.TemporaryDirectory(prefix="wakelark-") as folder:
        model = Path(folder) / "model.tflite"
        model.write_bytes(data)
        low, high, reason = 0, MOST_ARENA_BYTES + 1, ""
        for _ in range(_MOST_WORKERS):
            low, high, reason = _narrow(model, low, high)
            if high > MOST_ARENA_BYTES:
                return Arena(None, reason)
            if high - low <= ALIGNMENT_BYTES:
                return Arena(high, "")
        return Arena(None, reason)


def _narrow(model: Path, low: int, high: int) -> tuple[int, int, str]:
    """What one worker finds out until it is done or crashes.

    Returns:
        The largest arena that is too small, the smallest that is not, and what the interpreter said last.
    """
    done = _work(["boot", os.fspath(model), str(low), str(high)])
    unanswered = low
    for word, number in (line.split() for line in done.stdout.splitlines() if _REPORT.fullmatch(line)):
        if word == "try":
            unanswered = int(number)
        elif word == "ok":
            high, unanswered = int(number), low
        else:
            low = unanswered = int(number)
    return max(low, unanswered), high, _reason(done)


def run_tflm(data: bytes, frames: NDArray[np.int8], *, arena_bytes: int) -> Float32Array:
    """Scores of a streaming model, step by step from its first state.

    Args:
        data: a `.tflite` file.
        frames: quantised features, a whole number of steps.
        arena_bytes: memory for tensors.

    Shape: `[frames, bands] -> [steps]`, 0 to 255/256

    Raises:
        ModelError: it does not run.
        SetupError: tflite-micro is not installed.
    """
    _require_tflm()
    with tempfile.TemporaryDirectory(prefix="wakelark-") as folder:
        model, source, target = (Path(folder) / name for name in ("model.tflite", "frames.npy", "scores.npy"))
        model.write_bytes(data)
        np.save(source, frames)
        done = _work(["run", os.fspath(model), str(arena_bytes), os.fspath(source), os.fspath(target)])
        if done.returncode != 0:
            raise ModelError(f"TFLite-Micro does not run the model in {arena_bytes} bytes: {_reason(done)}")
        return (np.load(target, allow_pickle=False) / _SCORE_STEPS).astype(np.float32)


def _work(words: list[str]) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-m", _WORKER, *words]
    try:
        return subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=_TIMEOUT_S, check=False,
            stdin=subprocess.DEVNULL, env=environment,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        heard = error.stdout.decode(errors="replace") if isinstance(error.stdout, bytes) else ""
        return subprocess.CompletedProcess(command, 1, heard, f"no answer within {_TIMEOUT_S} s")


def _reason(done: subprocess.CompletedProcess[str]) -> str:
    """The interpreter's last complaint, or the signal that ended it."""
    if done.returncode < 0:
        return f"the interpreter crashed ({signal.Signals(-done.returncode).name})"
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    told = [line for line in lines if not line.startswith(("File ", "Traceback", "self.", "^", "[Recording"))]
    return told[-1][:_SHOWN_CHARACTERS] if told else ""


def _require_tflm() -> None:
    if not has_tflm():
        raise SetupError(
            'the interpreter of the ESP32 is the package tflite-micro; install it with: pip install "wakelark[esphome]"'
        )
