"""View stores: rendered views with their features on disk, read back in batches.

A shard is one `.npy` file of records (audio, log-mel, embeddings). Shards are read with `pread`, never mapped: mapped
pages would count as memory of the process, and a run's views are larger than what it may use.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from wakelark.audio import Int16Array
from wakelark.corpus.clip import Clip
from wakelark.errors import DataError

LOGMEL_SHAPE = (40, 198)
EMBEDDING_SHAPE = (16, 96)
RECORD = np.dtype(
    [("audio", np.int16, (32_000,)), ("logmel", np.float16, LOGMEL_SHAPE), ("embeddings", np.float16, EMBEDDING_SHAPE)]
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ViewStore:
    """An ordered set of views. `render_views` makes one; `concat` and `select` make others of it without copying audio.

    Attributes:
        shards: the files.
        shard, row: int32 `[V]`: where each view lies.
        clips: the clips that the views are of.
        clip: int32 `[V]`: index into `clips`.
        view: int32 `[V]`: number of the view among those of its clip.
    """

    shards: tuple[Path, ...]
    shard: NDArray[np.int32]
    row: NDArray[np.int32]
    clips: tuple[Clip, ...]
    clip: NDArray[np.int32]
    view: NDArray[np.int32]

    def __len__(self) -> int:
        return self.clip.size

    @property
    def labels(self) -> NDArray[np.int8]:
        """1 for views of the phrase. Shape: `-> [V]`"""
        return self.of_clips(lambda clip: clip.label).astype(np.int8)

    @property
    def hard(self) -> NDArray[np.bool_]:
        """True for hard negatives. Shape: `-> [V]`"""
        return self.of_clips(lambda clip: clip.label == 0 and clip.hard_negative == 1).astype(bool)

    def of_clips(self, value: Callable[[Clip], object]) -> NDArray:
        """`value` of the clip of every view, for instance `of_clips(lambda clip: clip.engine)`. Shape: `-> [V]`"""
        if not self.clips:
            return np.zeros(0, np.int64)
        return np.array([value(clip) for clip in self.clips])[self.clip]

    def audio(self, indices: Sequence[int] | NDArray[np.integer]) -> Int16Array:
        """The samples of some views, in the order asked for; 64 kB each. Shape: `[B] -> [B, 32,000]`"""
        return self._column("audio", np.asarray(indices, np.int64))

    def embeddings(self) -> NDArray[np.float16]:
        """The embeddings of all views, in memory: 3 kB each. Shape: `-> [V, 16, 96]`"""
        return self._column("embeddings", np.arange(len(self)))

    def logmel(self) -> NDArray[np.float16]:
        """The log-mel of all views, in memory: 16 kB each. Shape: `-> [V, 40, 198]`"""
        return self._column("logmel", np.arange(len(self)))

    def select(self, chosen: NDArray[np.bool_] | NDArray[np.integer]) -> ViewStore:
        """A store of some of the views: by a mask `[V]` or by indices."""
        return ViewStore(
            shards=self.shards, shard=self.shard[chosen], row=self.row[chosen],
            clips=self.clips, clip=self.clip[chosen], view=self.view[chosen],
        )  # fmt: skip

    @staticmethod
    def concat(stores: Sequence[ViewStore]) -> ViewStore:
        """One store of the views of several, in order."""
        shards_before = np.cumsum([0, *(len(store.shards) for store in stores)])
        clips_before = np.cumsum([0, *(len(store.clips) for store in stores)])
        return ViewStore(
            shards=tuple(path for store in stores for path in store.shards),
            shard=_joined([s.shard + np.int32(n) for s, n in zip(stores, shards_before, strict=False)]),
            row=_joined([store.row for store in stores]),
            clips=tuple(clip for store in stores for clip in store.clips),
            clip=_joined([s.clip + np.int32(n) for s, n in zip(stores, clips_before, strict=False)]),
            view=_joined([store.view for store in stores]),
        )

    def _column(self, name: Literal["audio", "logmel", "embeddings"], chosen: NDArray[np.int64]) -> NDArray:
        assert RECORD.fields is not None
        kind, offset = RECORD.fields[name][:2]
        values = np.empty((chosen.size, *kind.shape), kind.base)
        raw = values.view(np.uint8).reshape(chosen.size, kind.itemsize)
        for path, rows, places in self._by_shard(chosen):
            _read_rows(path, rows, raw, places, offset=offset)
        return values

    def _by_shard(self, chosen: NDArray[np.int64]) -> list[tuple[Path, NDArray[np.int32], NDArray[np.int64]]]:
        """(file, rows in it, their places in `chosen`), rows ascending."""
        order = np.lexsort((self.row[chosen], self.shard[chosen]))
        shards = self.shard[chosen][order]
        starts = np.flatnonzero(np.diff(shards, prepend=-1))
        return [
            (self.shards[shards[places_at[0]]], self.row[chosen[order[places_at]]], order[places_at])
            for places_at in np.split(np.arange(order.size), starts[1:])
            if places_at.size
        ]


def shard_bytes(records: NDArray) -> bytes:
    """The file content of a shard. Shape: `RECORD [n] -> bytes`"""
    return _header(len(records)) + records.tobytes()


def shard_is_complete(path: Path, count: int) -> bool:
    """Whether `path` is a shard of `count` views."""
    return path.is_file() and path.stat().st_size == len(_header(count)) + count * RECORD.itemsize


def _header(count: int) -> bytes:
    """The `.npy` header, so that `numpy.load` reads a shard, too; its length does not depend on `count`."""
    import io

    buffer = io.BytesIO()
    header = {"descr": np.lib.format.dtype_to_descr(RECORD), "fortran_order": False, "shape": (count,)}
    np.lib.format.write_array_header_1_0(buffer, header)
    return buffer.getvalue()


_HEADER_BYTES = len(_header(1))


def _read_rows(
    path: Path, rows: NDArray[np.int32], raw: NDArray[np.uint8], places: NDArray[np.int64], *, offset: int
) -> None:
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError as error:
        raise DataError(f"{path} vanished ({error.strerror}); run again with --resume to make it anew") from error
    try:
        for row, place in zip(rows.tolist(), places.tolist(), strict=True):
            position = _HEADER_BYTES + row * RECORD.itemsize + offset
            if os.preadv(descriptor, [raw[place].data], position) != raw.shape[1]:
                raise DataError(f"{path} is cut short; delete it and run again with --resume")
    finally:
        os.close(descriptor)


def _joined(parts: list[NDArray[np.int32]]) -> NDArray[np.int32]:
    return np.concatenate([np.zeros(0, np.int32), *parts])
