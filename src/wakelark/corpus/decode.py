"""Decoding of many files in worker processes: a file that crashes the decoder costs that file and nothing else."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from wakelark.audio import BadAudio, Int16Array, stream_audio, to_int16
from wakelark.corpus.worker_pool import results_of
from wakelark.corpus.worker_process import prepare_worker

_MEMORY_BYTES = 4 << 30
_LONGEST_S = 900  # for one file: many hours of audio decode in that time
_LONGEST_SHORT_S = 60  # the same where only seconds of audio are wanted
_SILENT_PEAK = 33  # int16: -60 dB of full scale


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
    reason; the others go on. A file that needs more than 4 GiB, or 15 minutes (one minute where `max_seconds` is
    given), counts as a crash.
    `progress` is called with the number of files done.
    """
    folder.mkdir(parents=True, exist_ok=True)
    jobs = {index: (path, folder / f"{index}.pcm", max_seconds) for index, path in enumerate(paths)}
    results: dict[int, Decoded] = {}
    while left := [index for index in jobs if index not in results]:
        before = len(results)
        if _run(left, jobs, results, workers=workers, progress=progress):
            break
        # A worker died. Files are handed out in order, so it was on one of these: one by one, to see which kills it.
        for index in left[: len(results) - before + workers]:
            if index not in results and not _run([index], jobs, results, workers=1, progress=progress):
                detail = "the decoder crashed or took too long on it; convert it to 16-bit WAV"
                results[index] = Decoded(paths[index], reason="decoder-crashed", detail=detail)
                progress(len(results))
    return [results[index] for index in sorted(results)]


def stamp_of(path: Path) -> tuple[int, int]:
    """Size and time of the last change, in nanoseconds."""
    status = path.stat()
    return status.st_size, status.st_mtime_ns


def refused_if_changed(decoded: Decoded, before: tuple[int, int]) -> Decoded:
    """`decoded`, or a refusal when its file has not the stamp of `before` any more."""
    try:
        changed = stamp_of(decoded.path) != before
    except OSError:
        changed = True
    if not changed:
        return decoded
    detail = "it was changed or removed while it was read; wait until the recording is finished and run it again"
    return Decoded(decoded.path, reason="changed", detail=detail)


def _run(
    todo: Sequence[int],
    jobs: dict[int, tuple[Path, Path, float | None]],
    results: dict[int, Decoded],
    *,
    workers: int,
    progress: Callable[[int], None],
) -> bool:
    """Fill `results`; False when a worker died before all were done."""
    try:
        with closing(
            results_of(
                _decode, [jobs[index] for index in todo], workers=workers, start=_start_worker,
                longest_s=_longest_s(jobs[todo[0]][2]),
            )
        ) as done:  # fmt: skip
            for number, decoded in done:
                results[todo[number]] = decoded
                progress(len(results))
    except BrokenProcessPool:
        return False
    return True


def _start_worker() -> None:
    prepare_worker()
    # The decoder of MP3 talks about every damaged frame; what concerns the user comes back as a reason.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    if sys.platform == "linux":
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _longest_s(max_seconds: float | None) -> int:
    return _LONGEST_S if max_seconds is None else _LONGEST_SHORT_S


def _limit_cpu(seconds: int) -> None:
    """A file whose decoding never ends kills its worker, not the run."""
    if sys.platform == "linux":
        import resource

        usage = resource.getrusage(resource.RUSAGE_SELF)
        hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
        resource.setrlimit(resource.RLIMIT_CPU, (int(usage.ru_utime + usage.ru_stime) + seconds, hard))


def _decode(job: tuple[Path, Path, float | None]) -> Decoded:
    path, target, max_seconds = job
    _limit_cpu(_longest_s(max_seconds))
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
    except MemoryError:
        target.unlink(missing_ok=True)
        return Decoded(path, reason="decoder-crashed", detail="decoding it needs too much memory; convert it to WAV")
    return Decoded(path, samples, digest.hexdigest()[:16], target)
