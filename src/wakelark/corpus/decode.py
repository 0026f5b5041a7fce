"""Decoding of many files in worker processes: a file that crashes the decoder costs that file and nothing else."""

from __future__ import annotations

import hashlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import active_children, get_context, parent_process
from multiprocessing.connection import wait as wait_for
from pathlib import Path

import numpy as np

from wakelark.audio import BadAudio, Int16Array, stream_audio, to_int16
from wakelark.corpus.worker_pool import end_children

_MEMORY_BYTES = 4 << 30
_CPU_SECONDS = 900  # for one file: many hours of audio decode in that time
_SILENT_PEAK = 33  # int16: -60 dB of full scale
_IN_FLIGHT = 64


@dataclass(frozen=True, slots=True)
class Decoded:
    """What became of one file.

    Attributes:
        path: the file.
        samples: its length at 16 kHz; 0 when it was refused.
        digest: first 16 hex digits of the sha256 of its int16 samples.
        pcm: file that holds the int16 samples, None when it was refused.
        reason: "" or why it was refused, one of `wakelark.audio_header.REASONS`.
        detail: the same for people.
    """

    path: Path
    samples: int = 0
    digest: str = ""
    pcm: Path | None = None
    reason: str = ""
    detail: str = ""

    def load(self) -> Int16Array:
        """The samples, memory-mapped. Shape: `[samples]`."""
        assert self.pcm is not None, self.reason
        return np.memmap(self.pcm, np.int16, "r")


def decode_all(
    paths: Sequence[Path], folder: Path, *, max_seconds: float | None, workers: int, progress: Callable[[int], None]
) -> list[Decoded]:
    """Decode files to 16 kHz mono int16 in `folder`, in `workers` processes; one result per path, in the same order.

    Files that cannot be decoded, are silent or longer than `max_seconds`, or that crash the decoder come back with a
    reason; the others go on.
    `progress` is called with the number of files done.
    """
    folder.mkdir(parents=True, exist_ok=True)
    jobs = {index: (path, folder / f"{index}.pcm", max_seconds) for index, path in enumerate(paths)}
    results: dict[int, Decoded] = {}
    suspects = _run(jobs, results, workers=workers, progress=progress)
    for index in suspects:  # the pool died with these in flight: one by one, to see which of them kills it
        if _run({index: jobs[index]}, results, workers=1, progress=progress):
            detail = "the decoder crashed or took too long on it; convert it to 16-bit WAV"
            results[index] = Decoded(paths[index], reason="decoder-crashed", detail=detail)
            progress(len(results))
    return [results[index] for index in sorted(results)]


def _run(
    jobs: dict[int, tuple[Path, Path, float | None]],
    results: dict[int, Decoded],
    *,
    workers: int,
    progress: Callable[[int], None],
) -> list[int]:
    """Fill `results`; returns the jobs that are still open because a worker died."""
    pending: dict[Future[Decoded], int] = {}
    todo = [index for index in jobs if index not in results]
    position = 0
    others = set(active_children())
    pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_start_worker)
    try:
        while pending or position < len(todo):
            while position < len(todo) and len(pending) < _IN_FLIGHT:
                pending[pool.submit(_decode, *jobs[todo[position]])] = todo[position]
                position += 1
            for future in wait(pending, return_when=FIRST_COMPLETED).done:
                results[pending[future]] = future.result()
                del pending[future]
            progress(len(results))
    except BrokenProcessPool:
        end_children(others)
        return [index for index in jobs if index not in results]
    finally:
        pool.shutdown(cancel_futures=True)
    return []


def _start_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    threading.Thread(target=_die_with_parent, daemon=True).start()
    if sys.platform == "linux":
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _die_with_parent() -> None:
    """A parent that was killed leaves no worker behind."""
    parent = parent_process()
    assert parent is not None
    wait_for([parent.sentinel])
    os._exit(1)


def _limit_cpu() -> None:
    """A file whose decoding never ends kills its worker, not the run."""
    if sys.platform == "linux":
        import resource

        usage = resource.getrusage(resource.RUSAGE_SELF)
        hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
        resource.setrlimit(resource.RLIMIT_CPU, (int(usage.ru_utime + usage.ru_stime) + _CPU_SECONDS, hard))


def _decode(path: Path, target: Path, max_seconds: float | None) -> Decoded:
    _limit_cpu()
    digest = hashlib.sha256()
    samples = peak = 0
    try:
        with open(target, "wb") as file:
            for piece in stream_audio(path, max_seconds=max_seconds):
                block = to_int16(piece)
                data = block.tobytes()
                digest.update(data)
                file.write(data)
                samples += len(block)
                peak = max(peak, int(block.max()), -int(block.min()))
        if peak < _SILENT_PEAK:
            raise BadAudio(path, "silent", "it is silent: nothing louder than -60 dB of full scale")
    except BadAudio as error:
        target.unlink(missing_ok=True)
        return Decoded(path, reason=error.reason, detail=error.detail)
    return Decoded(path, samples, digest.hexdigest()[:16], target)
