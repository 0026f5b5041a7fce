"""Features of the `micro` front end for training views and for streams, computed once and kept beside what they are of.

For every shard of views there is `micro-<version>/<name of the shard>` in the shard's folder, float16 `[n, 40, 198]`:
the name of a shard is the key of its audio, so the recordings' part is shared by all phrases, and the phrase's part
goes when its views go. For a stream there is `features/<name>-<key>.micro.npy` in the cache, float16 `[T, 40]`.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from wakelark.audio import Int16Array
from wakelark.corpus.cache import cache_folder, content_key, write_atomically
from wakelark.corpus.worker_pool import run_in_processes
from wakelark.errors import DataError
from wakelark.features.micro import BANDS, frame_count, micro, micro_of_clip
from wakelark.training.stream_features import Progress
from wakelark.training.view_store import RECORD, ViewStore
from wakelark.training.views import WINDOW_SAMPLES

MICRO_VERSION = 1
"""Raise it when the features of a view or a stream change, so that all are made anew."""
VIEW_SHAPE = (BANDS, frame_count(WINDOW_SAMPLES))

Task = TypeVar("Task")


def compute_micro_views(store: ViewStore, *, workers: int, progress: Progress) -> None:
    """Compute the features of all views (see `micro_of_clip`); what is there already is kept.

    Args:
        store: the views.
        workers: processes; 1 works in this one.
        progress: called with (shards done, shards, what).

    Raises:
        DataError: a shard is not there or damaged.
        SetupError: pymicro-features is not installed, the disk is full, or a process was ended from outside.
    """
    used = sorted({store.shards[number] for number in np.unique(store.shard)})
    todo = [shard for shard in used if not _beside(shard).is_file()]
    _run(_compute_shard, todo, workers=workers, progress=progress, what="views for the micro front end")


def micro_views(store: ViewStore) -> NDArray[np.float16]:
    """The features of all views, in memory: 16 kB each; `compute_micro_views` comes first.

    Shape: `-> [V, 40, 198]`

    Raises:
        DataError: they are not there.
    """
    values = np.empty((len(store), *VIEW_SHAPE), np.float16)
    for number, shard in enumerate(store.shards):
        places = np.flatnonzero(store.shard == number)
        if places.size:
            values[places] = _kept(_beside(shard))[store.row[places]]
    return values


def compute_micro_streams(
    paths: Sequence[tuple[str, Path]], *, workers: int, progress: Progress
) -> list[NDArray[np.float16]]:
    """Features of the streams `(name, path of an int16 .npy)`, mapped; what is in the cache already is only opened.

    The front end is stateful, so each stream is heard in one go.

    Shape: one `[T, 40]` per stream

    Raises:
        SetupError: as `compute_micro_views`.
    """
    plans = [(path, _stream_file(name, path)) for name, path in paths]
    todo = [plan for plan in plans if not plan[1].is_file()]
    _run(_compute_stream, todo, workers=workers, progress=progress, what="recordings for the micro front end")
    return [np.load(file, mmap_mode="r") for _, file in plans]


def compute_micro_clips(clips: Sequence[Int16Array], *, workers: int, progress: Progress) -> list[NDArray[np.float16]]:
    """Features of clips, each heard by a front end that has heard nothing before.

    Shape: one `[T, 40]` per clip

    Raises:
        SetupError: as `compute_micro_views`.
    """
    found: dict[int, NDArray[np.float16]] = {}
    _run(
        _micro, list(clips), workers=workers, progress=progress, what="development clips for the micro front end",
        keep=found.__setitem__,
    )  # fmt: skip
    return [found[number] for number in range(len(clips))]


def _run(
    function: Callable[[Task], NDArray[np.float16] | None],
    todo: Sequence[Task],
    *,
    workers: int,
    progress: Progress,
    what: str,
    keep: Callable[[int, NDArray[np.float16]], None] | None = None,
) -> None:
    done = 0

    def count(number: int, result: NDArray[np.float16] | None) -> None:
        nonlocal done
        done += 1
        if keep is not None and result is not None:
            keep(number, result)
        progress(done, len(todo), what)

    if workers <= 1 or len(todo) <= 1:
        for number, task in enumerate(todo):
            count(number, function(task))
    else:
        run_in_processes(function, todo, workers=workers, start=_nothing, on_result=count)


def _nothing() -> None:
    """What a process does first: the front end needs no preparation."""


def _beside(shard: Path) -> Path:
    return shard.parent / f"micro-{MICRO_VERSION}" / shard.name


def _compute_shard(shard: Path) -> None:
    try:
        records = np.load(shard)  # 11 MB; a mapped file would count as memory for longer
    except (OSError, ValueError) as error:
        raise DataError(f"{shard} vanished or is cut short; delete it and run again with --resume") from error
    features = np.empty((len(records), *VIEW_SHAPE), np.float16)
    for row, audio in enumerate(records["audio"]):
        features[row] = micro_of_clip(audio).T
    _write(_beside(shard), features)


def _compute_stream(plan: tuple[Path, Path]) -> None:
    path, file = plan
    _write(file, _micro(np.load(path, mmap_mode="r")))


def _micro(audio: Int16Array) -> NDArray[np.float16]:
    return micro(audio).astype(np.float16)


def _stream_file(name: str, path: Path) -> Path:
    status = path.stat()
    key = content_key(MICRO_VERSION, name, status.st_mtime_ns, status.st_size)
    return cache_folder() / "features" / f"{name}-{key[:10]}.micro.npy"


def _kept(file: Path) -> NDArray[np.float16]:
    try:
        return np.load(file)
    except (OSError, ValueError) as error:
        raise DataError(f"{file} vanished or is damaged; delete it and run again with --resume") from error


def _write(file: Path, features: NDArray[np.float16]) -> None:
    buffer = io.BytesIO()
    np.save(buffer, features, allow_pickle=False)
    write_atomically(file, buffer.getvalue())


assert RECORD["audio"].shape == (WINDOW_SAMPLES,)
