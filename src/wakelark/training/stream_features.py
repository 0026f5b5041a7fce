"""Features of the long recordings, computed once and shared by every phrase.

For a stream of N samples the cache holds `features/<key>.logmel.npy` (float16 [T, 40]) and
`features/<key>.embeddings.npy` (float16 [E, 96]), and an empty `<key>.done` once both are whole. Both front ends are
finite and valid in time, so a stream may be computed in segments.
"""

from __future__ import annotations

import io
import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray
from typing_extensions import override

from wakelark.audio import HOP_SAMPLES
from wakelark.corpus.cache import cache_folder, content_key
from wakelark.corpus.worker_pool import run_in_processes
from wakelark.errors import SetupError
from wakelark.features.embedding import (
    EMBEDDING_HOP_FRAMES,
    EMBEDDING_HOP_SAMPLES,
    EMBEDDING_SIZE,
    EMBEDDING_SPAN_SAMPLES,
    embedding_count,
)
from wakelark.features.logmel import BANDS, frame_count
from wakelark.features.spectrum import WINDOW_SAMPLES
from wakelark.training.front_ends import embeddings, log_mel, start_feature_worker

FEATURE_VERSION = 1
_SEGMENT = 1500  # embeddings per work item: two minutes

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True, slots=True)
class StreamFeatures:
    """Features of one stream, memory-mapped.

    Attributes:
        name: of the stream.
        samples: its length.
        logmel: float16 `[T, 40]`.
        embeddings: float16 `[E, 96]`.
    """

    name: str
    samples: int
    logmel: NDArray[np.float16]
    embeddings: NDArray[np.float16]

    @override
    def __reduce__(self) -> tuple[object, ...]:
        """To another process go the names of the files, not hundreds of megabytes."""
        if isinstance(self.logmel, np.memmap) and isinstance(self.embeddings, np.memmap):
            return _mapped, (self.name, self.samples, str(self.logmel.filename), str(self.embeddings.filename))
        return StreamFeatures, (self.name, self.samples, self.logmel, self.embeddings)


def _mapped(name: str, samples: int, logmel: str, embedded: str) -> StreamFeatures:
    return StreamFeatures(name, samples, np.load(logmel, mmap_mode="r"), np.load(embedded, mmap_mode="r"))


def compute_stream_features(
    paths: Sequence[tuple[str, Path]], *, workers: int, progress: Progress
) -> list[StreamFeatures]:
    """Features of the streams `(name, path of an int16 .npy)`; those already in the cache are only opened.

    Two runs that need the same features do not disturb each other: the second waits and finds them.

    Raises:
        SetupError: the disk is full, or a process was ended from outside.
    """
    plans = [_plan(name, path) for name, path in paths]
    if not all(plan.done.is_file() for plan in plans):
        folder = cache_folder() / "features"
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / ".lock"):
            _compute_missing([plan for plan in plans if not plan.done.is_file()], workers=workers, progress=progress)
    return [plan.open() for plan in plans]


def _compute_missing(plans: Sequence[_Plan], *, workers: int, progress: Progress) -> None:
    todo = [_Segment(plan, start) for plan in plans for start in range(0, max(1, plan.steps), _SEGMENT)]
    for plan in plans:
        plan.allocate()
    left = Counter(segment.plan for segment in todo)
    finished = 0

    def count(number: int, _: None) -> None:
        nonlocal finished
        plan = todo[number].plan
        finished, left[plan] = finished + 1, left[plan] - 1
        if left[plan] == 0:
            plan.finish()
        progress(finished, len(todo), "features of the recordings")

    run_in_processes(_compute_segment, todo, workers=workers, start=start_feature_worker, on_result=count)


@dataclass(frozen=True, slots=True)
class _Plan:
    name: str
    path: Path
    samples: int
    base: Path

    @property
    def steps(self) -> int:
        return embedding_count(self.samples)

    @property
    def frames(self) -> int:
        return frame_count(self.samples)

    @property
    def done(self) -> Path:
        return self._file(".done")

    def files(self) -> tuple[Path, Path]:
        return self._file(".logmel.npy"), self._file(".embeddings.npy")

    def _file(self, ending: str) -> Path:
        """Appended, not `with_suffix`: a stream's name may hold dots."""
        return self.base.with_name(self.base.name + ending)

    def allocate(self) -> None:
        for file, shape in zip(self.files(), ((self.frames, BANDS), (self.steps, EMBEDDING_SIZE)), strict=True):
            _reserve(file, shape)

    def finish(self) -> None:
        for file in self.files():
            descriptor = os.open(file, os.O_RDWR)
            os.fsync(descriptor)
            os.close(descriptor)
        self.done.touch()

    def open(self) -> StreamFeatures:
        logmel, embedded = (np.load(file, mmap_mode="r") for file in self.files())
        return StreamFeatures(self.name, self.samples, logmel, embedded)


def _reserve(file: Path, shape: tuple[int, int]) -> None:
    """Make an empty `.npy` whose blocks exist: workers map it, and a full disk would end them without a word."""
    header = io.BytesIO()
    description = {"descr": np.lib.format.dtype_to_descr(np.dtype(np.float16)), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(header, description)
    size = shape[0] * shape[1] * np.dtype(np.float16).itemsize
    try:
        with open(file, "wb") as out:
            out.write(header.getvalue())
            out.flush()
            if size:
                os.posix_fallocate(out.fileno(), out.tell(), size)
    except OSError as error:
        file.unlink(missing_ok=True)
        raise SetupError(
            f"cannot write {file}: {error.strerror}; the features of this recording take {size / 1e6:.0f} MB. "
            "Free some disk space, or choose another cache with the environment variable WAKELARK_CACHE"
        ) from error


def _plan(name: str, path: Path) -> _Plan:
    samples = int(np.load(path, mmap_mode="r").shape[0])
    status = path.stat()
    key = content_key(FEATURE_VERSION, name, samples, status.st_mtime_ns, status.st_size)
    return _Plan(name, path, samples, cache_folder() / "features" / f"{name}-{key[:10]}")


@dataclass(frozen=True, slots=True)
class _Segment:
    """The embeddings `start .. start + _SEGMENT` of a stream, and the log-mel frames that go with them."""

    plan: _Plan
    start: int


def _compute_segment(segment: _Segment) -> None:
    plan, start = segment.plan, segment.start
    audio = np.load(plan.path, mmap_mode="r")
    logmel_file, embeddings_file = (np.load(file, mmap_mode="r+") for file in plan.files())
    stop = min(start + _SEGMENT, plan.steps)
    embeddings_file[start:stop] = embeddings(
        audio[start * EMBEDDING_HOP_SAMPLES : (stop - 1) * EMBEDDING_HOP_SAMPLES + EMBEDDING_SPAN_SAMPLES]
    )
    first = start * EMBEDDING_HOP_FRAMES
    last = plan.frames if stop == plan.steps else stop * EMBEDDING_HOP_FRAMES
    logmel_file[first:last] = log_mel(audio[first * HOP_SAMPLES : (last - 1) * HOP_SAMPLES + WINDOW_SAMPLES])
