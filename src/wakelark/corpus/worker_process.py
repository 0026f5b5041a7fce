"""What every worker process does first, so that neither Ctrl-C nor a killed parent leaves a mess."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from types import FrameType

from wakelark.corpus.cache import remove_unfinished


def prepare_worker() -> None:
    """Leave Ctrl-C to the parent, and end when the parent is gone.

    Ctrl-C reaches the whole group of processes, but only the parent knows what to save. And a pool's worker holds both
    ends of its own queue, so it would wait for ever after its parent was killed.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _end)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end(number: int, _frame: FrameType | None) -> None:
    """At once, half-written files removed. (An exception would not do: the pool's worker catches all of them.)"""
    remove_unfinished()
    os._exit(128 + number)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
