"""What a model costs when it listens live: each in fresh processes of its own, on one core, one step per call."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from wakelark.audio import SAMPLE_RATE, Int16Array
from wakelark.errors import ConfigError, ModelError, SetupError
from wakelark.peers.listener import Listener
from wakelark.runtime.model_file import read_model_file

LONGEST_S = 900.0
"""A process that takes longer hangs."""
LONGEST_CHECK_S = 60.0
"""The same for a second of audio, on a slow and busy machine."""
_ERRORS = {error.exit_code: error for error in (ConfigError, ModelError, SetupError)}


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveCost:
    """What a process with one model took, on one core.

    Attributes:
        cpu_s_per_s: CPU seconds per second of audio.
        peak_mb: the most memory the process had, the interpreter and shared libraries included.
        load_s: wall time to import and load, from the start of the interpreter's first line.
        load_cpu_s: CPU time of the same.
    """

    cpu_s_per_s: float
    peak_mb: float
    load_s: float
    load_cpu_s: float

    def best(self, other: LiveCost) -> LiveCost:
        """Of two measurements, what was less disturbed by other processes: the least of each figure."""
        pairs = zip(asdict(self).items(), asdict(other).values(), strict=True)
        return LiveCost(**{name: min(mine, theirs) for (name, mine), theirs in pairs})


def measure_live(listener: Listener, audio: Int16Array, *, rounds: int, longest_s: float = LONGEST_S) -> LiveCost:
    """Let a detector listen to audio in a new process.

    Args:
        listener: what is loaded there, at its own thresholds.
        audio: what it hears, `rounds` times over; the quickest round counts.
        rounds: at least one.
        longest_s: of wall time; a process that takes longer is ended.

    Raises:
        ModelError: the model cannot be loaded, or ends or hangs its process.
        SetupError: the package that runs it is not installed.
    """
    with tempfile.TemporaryDirectory(prefix="wakelark-live-") as folder:
        file = Path(folder) / "audio.npy"
        np.save(file, audio)
        cost = _run(listener, file, rounds, longest_s)
    return LiveCost(
        cpu_s_per_s=cost["cpu_s"] / (len(audio) / SAMPLE_RATE),
        peak_mb=cost["peak_mb"],
        load_s=cost["load_s"],
        load_cpu_s=cost["load_cpu_s"],
    )


def check_runs(model: Path) -> None:
    """Let a model hear a second of faint noise in another process, with limits of memory and time.

    TFLite's library trusts the network in a file: a damaged one can end the process, and with it everything else. An
    ONNX file whose operators are all allowed can still multiply two vectors to a tensor that no memory holds.

    Raises:
        ModelError: no such file, not loadable, or it ends or hangs its process.
        SetupError: the package that runs it is not installed.
    """
    read_model_file(model)
    noise = np.random.default_rng(0).integers(-100, 100, SAMPLE_RATE).astype(np.int16)
    measure_live(Listener(model=model), noise, rounds=1, longest_s=LONGEST_CHECK_S)


def _run(listener: Listener, audio: Path, rounds: int, longest_s: float) -> dict[str, float]:
    model = listener.model
    command = [sys.executable, "-m", "wakelark.peers.live_process", str(model), str(audio), str(rounds)]
    if listener.judge is not None:
        command.append(str(listener.judge))
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", env=environment, timeout=longest_s, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise ModelError(f"{model} did not finish within {longest_s:.0f} s: the file is broken") from error
    if done.returncode == 0:
        return json.loads(done.stdout.strip().splitlines()[-1])
    said = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
    if done.returncode in _ERRORS:
        raise _ERRORS[done.returncode](said)
    how = f"signal {_signal_name(-done.returncode)}" if done.returncode < 0 else said
    raise ModelError(f"{model} cannot be run ({how}): the file is damaged; download or export it again")


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)
