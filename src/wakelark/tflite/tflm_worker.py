"""The TFLite-Micro interpreter in a process of its own, because a model that it does not expect ends the process.

    python -m wakelark.tflite.tflm_worker boot MODEL LOW HIGH           the smallest arena between LOW and HIGH bytes
    python -m wakelark.tflite.tflm_worker run MODEL ARENA FRAMES OUT    scores of FRAMES (.npy, int8) into OUT (.npy)

Says on stdout what it does: `try BYTES` before each attempt, then `ok BYTES` or `no BYTES`; whoever reads it knows
after a crash which attempt it was. The interpreter's own complaints are on stderr.
"""

from __future__ import annotations

import resource
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tflite_micro.python.tflite_micro import runtime

from wakelark.tflite.tflm import ALIGNMENT_BYTES, MOST_ARENA_BYTES

_MEMORY_LIMIT_BYTES = 4 * 2**30
_CPU_LIMIT_S = 300


def main(words: list[str]) -> int:
    """Do what the module's docstring says; gives the exit code."""
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_LIMIT_BYTES, _MEMORY_LIMIT_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (_CPU_LIMIT_S, _CPU_LIMIT_S))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    data = Path(words[1]).read_bytes()
    if words[0] == "run":
        np.save(words[4], _scores(data, int(words[2]), np.load(words[3], allow_pickle=False)))
        return 0
    low, high = int(words[2]), int(words[3])
    if high > MOST_ARENA_BYTES:
        # First of all the largest, so that a model that runs nowhere is known at once.
        if not _boots(data, MOST_ARENA_BYTES):
            return 0
        high = MOST_ARENA_BYTES
    while high - low > ALIGNMENT_BYTES:
        middle = (low + high) // 2 // ALIGNMENT_BYTES * ALIGNMENT_BYTES
        low, high = (low, middle) if _boots(data, middle) else (middle, high)
    return 0


def _boots(data: bytes, arena_bytes: int) -> bool:
    print("try", arena_bytes, flush=True)
    try:
        _scores(data, arena_bytes, None)
    except RuntimeError:  # what the interpreter raises when it cannot go on
        print("no", arena_bytes, flush=True)
        return False
    print("ok", arena_bytes, flush=True)
    return True


def _scores(data: bytes, arena_bytes: int, frames: NDArray[np.int8] | None) -> NDArray[np.generic]:
    """One output per step; two steps of zeros where no frames are given (the first step fills the variables)."""
    interpreter = runtime.Interpreter.from_bytes(data, arena_size=arena_bytes)
    details = interpreter.get_input_details(0)
    shape, kind = details["shape"].tolist(), details["dtype"]
    steps = np.zeros((2, *shape), kind) if frames is None else frames.reshape(-1, *shape)
    scores: list[NDArray[np.generic]] = []
    for step in steps:
        interpreter.set_input(step, 0)
        interpreter.invoke()
        scores.append(np.array(interpreter.get_output(0)).ravel()[:1])
    return np.concatenate(scores)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
