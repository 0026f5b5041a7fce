"""The process in which a model listens as if live, for `wakelark.peers.live`.

    python -m wakelark.peers.live_process MODEL AUDIO ROUNDS [JUDGE]

AUDIO is a `.npy` file of int16 samples. Prints one JSON object. Nothing but the model and what it needs may be imported
here: this process's memory and its time to load are what is measured.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

_WARM_UP_CALLS = 50
_MEMORY_BYTES = 4 << 30
"""Of address space: several times what any wake-word model and its runtime take. Whoever asks for more gets none."""


def main() -> None:
    """Load, listen, print."""
    began_s, began_cpu_s = time.perf_counter(), time.process_time()
    if sys.platform == "linux":  # before any library sizes its pools of threads by the cores it sees
        import resource

        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    from wakelark.errors import WakelarkError

    try:
        judge = Path(sys.argv[4]) if len(sys.argv) > 4 else None
        cost = _listen(Path(sys.argv[1]), judge, Path(sys.argv[2]), int(sys.argv[3]), began_s, began_cpu_s)
    except WakelarkError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)
    print(json.dumps(cost))


def _listen(
    model: Path, judge: Path | None, audio_file: Path, rounds: int, began_s: float, began_cpu_s: float
) -> dict[str, float]:
    from wakelark.peers.load import load_scorer

    scorer = load_scorer(model, judge=judge)
    load_s, load_cpu_s = time.perf_counter() - began_s, time.process_time() - began_cpu_s
    import numpy as np

    audio = np.load(audio_file)
    size = scorer.facts.live_samples
    chunks = [audio[start : start + size] for start in range(0, len(audio), size)]
    for chunk in chunks[:_WARM_UP_CALLS]:
        scorer.follow(chunk)
    spent: list[float] = []
    for _ in range(rounds):
        before_s = time.process_time()
        for chunk in chunks:
            scorer.follow(chunk)
        spent.append(time.process_time() - before_s)
    return {
        "load_s": load_s,
        "load_cpu_s": load_cpu_s,
        "cpu_s": min(spent),
        "peak_mb": _peak_bytes() / 1e6,
    }


def _peak_bytes() -> int:
    """The most memory this process had at once.

    Linux's rusage begins with the memory of the process that started this one; the "high water mark" does not.
    """
    if sys.platform == "linux":
        with open("/proc/self/status", encoding="ascii", errors="replace") as status:
            return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM:"))
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


if __name__ == "__main__":
    main()
