"""What a slow teacher said of every view, kept on disk beside the views: it hears each one once, whatever happens.

For every shard of views there is `teachers/<key>/<name of the shard>` in the shard's folder, where the key is the
teacher's fingerprint and the name of a shard is the key of its audio. The recordings' part is thus shared by all
phrases, and the phrase's part goes when its views go.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from wakelark.corpus.cache import write_atomically
from wakelark.errors import ModelError
from wakelark.training.stream_features import Progress
from wakelark.training.view_store import ViewStore

_BATCH = 16


def heard_views(
    store: ViewStore, ask: Callable[[Tensor], Tensor], *, key: str, size: int, progress: Progress, what: str
) -> NDArray[np.float32]:
    """`ask` of every view, from disk where it was asked before.

    Args:
        store: the views.
        ask: int16 audio `[B, 32000]` to values `[B, size]`.
        key: of everything that `ask` depends on; a name for a folder.
        size: values per view.
        progress: called with (views heard, views, what) while something is asked.
        what: for the progress.

    Returns:
        float32 `[V, size]`.

    Raises:
        ModelError: the values have another shape, or are not finite.
        SetupError: the disk is full.
    """
    values = np.full((len(store), size), np.nan, np.float32)
    for number, shard in enumerate(store.shards):
        places = np.flatnonzero(store.shard == number)
        if not places.size:
            continue
        path = shard.parent / "teachers" / key / shard.name
        rows = store.row[places]
        kept = _kept(path, rows=int(rows.max()) + 1, size=size)
        todo = np.flatnonzero(~np.isfinite(kept[rows]).all(axis=1))
        for first in range(0, todo.size, _BATCH):
            asked = places[todo[first : first + _BATCH]]
            kept[store.row[asked]] = _answers(ask, store, asked, size)
            progress(int(places[0]) + first, len(store), what)
        if todo.size:
            buffer = io.BytesIO()
            np.save(buffer, kept)
            write_atomically(path, buffer.getvalue())
        values[places] = kept[rows]
    return values


def _answers(
    ask: Callable[[Tensor], Tensor], store: ViewStore, views: NDArray[np.int64], size: int
) -> NDArray[np.float32]:
    answers = ask(torch.from_numpy(store.audio(views))).float().cpu()
    if list(answers.shape) != [len(views), size]:
        raise ModelError(f"the teacher must give [{len(views)}, {size}] values, but gave {list(answers.shape)}")
    finite = torch.isfinite(answers).all(dim=1)
    if not bool(finite.all()):
        clip = store.clips[store.clip[views[int((~finite).nonzero()[0])]]]
        raise ModelError(
            f"the teacher's answer to clip {clip.id} ({clip.kind}, {clip.voice}) is not finite; check its weights, or "
            f"leave it out of distillation.teachers"
        )
    return answers.numpy()


def _kept(path: Path, *, rows: int, size: int) -> NDArray[np.float32]:
    """What is on disk, NaN where nothing is yet. Shape: `-> [at least rows, size]`"""
    try:
        found = np.load(path)
    except (OSError, ValueError, EOFError):
        found = np.zeros((0, size), np.float32)  # not there, or cut short: it is asked anew
    if found.dtype != np.float32 or found.ndim != 2 or found.shape[1] != size:
        found = np.zeros((0, size), np.float32)
    missing = max(0, rows - len(found))
    return np.concatenate([found, np.full((missing, size), np.nan, np.float32)])
