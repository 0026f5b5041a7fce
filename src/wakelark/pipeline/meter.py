"""Wall time, CPU time and peak memory of a stage, children included."""

from __future__ import annotations

import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path

_INTERVAL_S = 0.5


@dataclass(frozen=True, slots=True)
class Cost:
    """What a stage took.

    `peak_mb` is memory of this process and its children, with pages that several of them map counted once (their
    "proportional set size"; Linux only, else 0).
    """

    wall_s: float
    cpu_s: float
    peak_mb: float


class Meter:
    """Context manager that measures; memory is sampled every half second from /proc."""

    def __enter__(self) -> Meter:
        self._stop = threading.Event()
        self._peak_bytes = 0
        self._start = time.monotonic()
        self._cpu = _cpu_seconds()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self.cost = Cost(
            wall_s=round(time.monotonic() - self._start, 2),
            cpu_s=round(_cpu_seconds() - self._cpu, 2),
            peak_mb=round(self._peak_bytes / 1e6, 1),
        )

    def _sample(self) -> None:
        while True:
            self._peak_bytes = max(self._peak_bytes, _memory_bytes(os.getpid()))
            if self._stop.wait(_INTERVAL_S):
                return


def _cpu_seconds() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def _memory_bytes(pid: int) -> int:
    """Proportional memory of a process and its descendants; processes that end meanwhile count as 0."""
    process = Path("/proc") / str(pid)
    try:
        rows = (process / "smaps_rollup").read_text().splitlines()
        own = sum(int(row.split()[1]) * 1024 for row in rows if row.startswith("Pss:"))
        children = [
            int(child) for task in (process / "task").iterdir() for child in (task / "children").read_text().split()
        ]
    except (OSError, IndexError):
        return 0
    return own + sum(_memory_bytes(child) for child in children)
