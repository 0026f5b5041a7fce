"""Decoding in worker processes: order, reasons, and workers that die."""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from wakelark.audio import write_wav
from wakelark.corpus.decode import Decoded, decode_all


def noise(seed: int, samples: int = 4000) -> np.ndarray:
    return np.random.default_rng(seed).integers(-9000, 9000, samples).astype(np.int16)


def make(folder: Path, count: int) -> list[Path]:
    folder.mkdir()
    paths = [folder / f"{index}.wav" for index in range(count)]
    for index, path in enumerate(paths):
        write_wav(path, noise(index))
    return paths


def decode(paths: list[Path], folder: Path) -> list[Decoded]:
    return decode_all(paths, folder, max_seconds=1.0, workers=1, progress=lambda done: None)


@contextmanager
def killer(kills: int | None) -> Iterator[None]:
    """Kills worker processes as they appear: the first `kills` of them, or all."""
    stop = threading.Event()
    killed: set[int | None] = set()

    def work() -> None:
        while not stop.wait(0.005):
            for child in multiprocessing.active_children():
                if child.pid not in killed and (kills is None or len(killed) < kills):
                    killed.add(child.pid)
                    child.kill()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def test_results_come_in_order_with_reasons(tmp_path: Path) -> None:
    paths = make(tmp_path / "in", 4)
    paths[1].write_bytes(b"no audio at all")
    write_wav(paths[2], np.full(4000, 20, np.int16))
    write_wav(paths[3], noise(3, 20_000))
    counts: list[int] = []
    results = decode_all(paths, tmp_path / "out", max_seconds=1.0, workers=1, progress=counts.append)
    assert [result.reason for result in results] == ["", "unreadable", "silent", "too-long"]
    assert (results[0].load() == noise(0)).all()
    assert [result.path for result in results] == paths
    assert counts[-1] == 4
    assert len(list((tmp_path / "out").iterdir())) == 1


def test_equal_audio_has_equal_digests(tmp_path: Path) -> None:
    paths = make(tmp_path / "in", 2)
    write_wav(paths[1], noise(0))
    first, second = decode(paths, tmp_path / "out")
    assert first.digest == second.digest


def test_a_dead_worker_costs_nothing_but_time(tmp_path: Path) -> None:
    paths = make(tmp_path / "in", 3)
    with killer(1):
        results = decode(paths, tmp_path / "out")
    assert [result.reason for result in results] == ["", "", ""]


def test_a_file_that_kills_its_worker_is_skipped(tmp_path: Path) -> None:
    paths = make(tmp_path / "in", 2)
    with killer(None):
        results = decode(paths, tmp_path / "out")
    assert [result.reason for result in results] == ["decoder-crashed", "decoder-crashed"]
