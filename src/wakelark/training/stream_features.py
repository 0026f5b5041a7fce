"""Features of the long recordings, computed once and shared by every phrase.

For a stream of N samples the cache holds `features/<key>.logmel.npy` (float16 [T, 40]) and
`features/<key>.embeddings.npy` (float16 [E, 96]), E = (N - 12512) // 1280 + 1: one embedding needs 76 mel frames of
512 samples with a hop of 160. Both front ends are finite and valid in time, so a stream may be computed in segments.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from wakelark.audio import HOP_SAMPLES, to_float
from wakelark.corpus.cache import cache_folder, content_key
from wakelark.corpus.worker_process import prepare_worker

if TYPE_CHECKING:
    from wakelark.features.embedding import SpeechEmbedding
    from wakelark.features.logmel_torch import LogMel

FEATURE_VERSION = 1
EMBEDDING_SAMPLES = 75 * HOP_SAMPLES + 512  # samples one embedding sees
EMBEDDING_STEP = 8 * HOP_SAMPLES
LOGMEL_SAMPLES = 400
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


def compute_stream_features(
    paths: Sequence[tuple[str, Path]], *, workers: int, progress: Progress
) -> list[StreamFeatures]:
    """Features of the streams `(name, path of an int16 .npy)`; those already in the cache are only opened."""
    plans = [_plan(name, path) for name, path in paths]
    todo = [(plan, start) for plan in plans if not plan.done.is_file() for start in range(0, plan.steps, _SEGMENT)]
    if todo:
        for plan in {plan for plan, _ in todo}:
            plan.allocate()
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=start_feature_worker) as pool:
            futures = [pool.submit(_compute_segment, plan, start) for plan, start in todo]
            try:
                for done, future in enumerate(as_completed(futures), 1):
                    future.result()
                    progress(done, len(todo), "features of the recordings")
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
        for plan in {plan for plan, _ in todo}:
            plan.finish()
    return [plan.open() for plan in plans]


@dataclass(frozen=True, slots=True)
class _Plan:
    name: str
    path: Path
    samples: int
    base: Path

    @property
    def steps(self) -> int:
        return max((self.samples - EMBEDDING_SAMPLES) // EMBEDDING_STEP + 1, 0)

    @property
    def frames(self) -> int:
        return max((self.samples - LOGMEL_SAMPLES) // HOP_SAMPLES + 1, 0)

    @property
    def done(self) -> Path:
        return self.base.with_suffix(".done")

    def files(self) -> tuple[Path, Path]:
        return self.base.with_suffix(".logmel.npy"), self.base.with_suffix(".embeddings.npy")

    def allocate(self) -> None:
        self.base.parent.mkdir(parents=True, exist_ok=True)
        logmel, embeddings = self.files()
        np.lib.format.open_memmap(logmel, "w+", np.float16, (self.frames, 40))
        np.lib.format.open_memmap(embeddings, "w+", np.float16, (self.steps, 96))

    def finish(self) -> None:
        for file in self.files():
            descriptor = os.open(file, os.O_RDWR)
            os.fsync(descriptor)
            os.close(descriptor)
        self.done.touch()

    def open(self) -> StreamFeatures:
        logmel, embeddings = (np.load(file, mmap_mode="r") for file in self.files())
        return StreamFeatures(self.name, self.samples, logmel, embeddings)


def _plan(name: str, path: Path) -> _Plan:
    samples = int(np.load(path, mmap_mode="r").shape[0])
    status = path.stat()
    key = content_key(FEATURE_VERSION, name, samples, status.st_mtime_ns, status.st_size)
    return _Plan(name, path, samples, cache_folder() / "features" / f"{name}-{key[:10]}")


def start_feature_worker() -> None:
    """Initializer of a process that computes features."""
    import torch

    prepare_worker()
    torch.set_num_threads(1)


@cache
def _networks() -> tuple[SpeechEmbedding, LogMel]:
    """Both front ends, once per process."""
    from wakelark.features.embedding import SpeechEmbedding
    from wakelark.features.logmel_torch import LogMel

    return SpeechEmbedding(), LogMel()


def _compute_segment(plan: _Plan, start: int) -> None:
    """Fill the part of both feature files that belongs to the embeddings `start .. start + _SEGMENT`."""
    import torch

    audio = np.load(plan.path, mmap_mode="r")
    logmel, embeddings = (np.load(file, mmap_mode="r+") for file in plan.files())
    stop = min(start + _SEGMENT, plan.steps)
    piece = audio[start * EMBEDDING_STEP : (stop - 1) * EMBEDDING_STEP + EMBEDDING_SAMPLES]
    embeddings[start:stop] = _networks()[0].embed_stream(np.asarray(piece))
    with torch.no_grad():
        first = start * 8
        last = plan.frames if stop == plan.steps else stop * 8
        piece = to_float(audio[first * HOP_SAMPLES : (last - 1) * HOP_SAMPLES + LOGMEL_SAMPLES])
        logmel[first:last] = _networks()[1](torch.from_numpy(piece)[None])[0].T.numpy()
