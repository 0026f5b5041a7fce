"""Features of views and streams for ESPHome's front end: made once, found again, and learned from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from wakelark.audio import Int16Array
from wakelark.corpus.clip import Clip
from wakelark.errors import DataError
from wakelark.features.micro import micro, micro_of_clip
from wakelark.training.micro_features import (
    compute_micro_clips,
    compute_micro_streams,
    compute_micro_views,
    micro_views,
)
from wakelark.training.view_store import RECORD, ViewStore, shard_bytes


def quiet(done: int, total: int, what: str) -> None:
    assert done <= total


def noise(samples: int, seed: int) -> Int16Array:
    return np.random.default_rng(seed).normal(0, 500, samples).astype(np.int16)


def store(folder: Path) -> ViewStore:
    """Two shards of three views."""
    paths = []
    for shard in range(2):
        records = np.zeros(3, RECORD)
        for row in range(3):
            records["audio"][row] = noise(32_000, 3 * shard + row) * (row + 1)
        paths.append(folder / f"{shard}.npy")
        paths[-1].write_bytes(shard_bytes(records))
    clip = Clip(id="a", path="", samples=32_000, label=1, kind="alone", engine="piper", voice="v")
    order = np.arange(6, dtype=np.int32)
    return ViewStore(
        shards=tuple(paths), shard=order // 3, row=order % 3, clips=(clip,), clip=np.zeros(6, np.int32), view=order
    )


@pytest.mark.parametrize("workers", [1, 2])
def test_views_are_heard_as_pieces_of_a_stream(tmp_path: Path, workers: int) -> None:
    views = store(tmp_path)
    compute_micro_views(views, workers=workers, progress=quiet)
    chosen = views.select(np.array([4, 0, 5]))
    found = micro_views(chosen)
    for audio, features in zip(chosen.audio(np.arange(3)), found, strict=True):
        np.testing.assert_array_equal(features, micro_of_clip(audio).T.astype(np.float16))


def test_what_is_there_is_not_made_again(tmp_path: Path) -> None:
    views = store(tmp_path)
    compute_micro_views(views.select(np.array([0])), workers=1, progress=quiet)
    files = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("micro-*/*")}
    with pytest.raises(DataError, match="1.npy vanished"):
        micro_views(views)
    compute_micro_views(views, workers=1, progress=quiet)
    assert micro_views(views).shape == (6, 40, 198)
    assert [path.stat().st_mtime_ns for path in files] == list(files.values())


def test_a_shard_that_is_cut_short_is_named(tmp_path: Path) -> None:
    views = store(tmp_path)
    views.shards[1].write_bytes(views.shards[1].read_bytes()[:-1])
    with pytest.raises(DataError, match="1.npy vanished or is cut short"):
        compute_micro_views(views, workers=1, progress=quiet)


def test_streams_and_clips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAKELARK_CACHE", str(tmp_path / "cache"))
    paths = []
    for number in range(2):
        paths.append((f"stream.{number}", tmp_path / f"{number}.npy"))
        np.save(paths[-1][1], noise(40_000 + number, number))
    found = compute_micro_streams(paths, workers=1, progress=quiet)
    again = compute_micro_streams(paths, workers=1, progress=quiet)
    clips = compute_micro_clips([np.load(path) for _, path in paths], workers=1, progress=quiet)
    for (_, path), features, same, clip in zip(paths, found, again, clips, strict=True):
        np.testing.assert_array_equal(features, micro(np.load(path)).astype(np.float16))
        np.testing.assert_array_equal(features, same)
        np.testing.assert_array_equal(features, clip)
    assert isinstance(found[0], np.memmap)
