"""A limit of memory for what a model file or a sound file from somewhere may ask for."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

EXTRA_BYTES = 4 << 30
"""Beside what the process has: several times what any model and its runtime take."""


@contextmanager
def limited_memory() -> Iterator[None]:
    """Let this process take `EXTRA_BYTES` more of address space and no more; who asks for more gets a memory error.

    For a process of its own, since the limit is that of all its threads. Nothing happens where the system has no such
    limit, or has a lower one already.
    """
    if sys.platform != "linux":
        yield
        return
    import resource

    with open("/proc/self/statm", encoding="ascii") as file:
        limit = int(file.read().split()[0]) * resource.getpagesize() + EXTRA_BYTES
    before, most = resource.getrlimit(resource.RLIMIT_AS)
    lower = [bound for bound in (before, most) if bound != resource.RLIM_INFINITY]
    resource.setrlimit(resource.RLIMIT_AS, (min([limit, *lower]), most))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (before, most))
