"""Decoding in worker processes: order, reasons, and workers that die."""

from __future__ import annotations

import io
import multiprocessing
import struct
import subprocess
import sys
import threading
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import soundfile

from wakelark.audio import read_audio, stream_audio, write_wav
from wakelark.corpus.decode import Decoded, _decode, decode_all


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


LIMITED = """
import resource, sys
from pathlib import Path
from wakelark.corpus import decode

path, target = map(Path, sys.argv[1:3])
if sys.argv[3] == "memory":
    import soundfile, soxr  # what is loaded already counts in what is measured now
    decode._decode((path.with_name("small.wav"), target, None))
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + (4 << 20)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    print(decode._decode((path, target, None)).reason, target.exists())
else:
    decode._start_worker()
    print(resource.getrlimit(resource.RLIMIT_AS)[0], resource.getrlimit(resource.RLIMIT_CORE)[0])
    decode._decode((path, target, 5.0))
    print(resource.getrlimit(resource.RLIMIT_CPU)[0])
"""


def limited(tmp_path: Path, what: str) -> list[str]:
    write_wav(tmp_path / "small.wav", noise(0))
    soundfile.write(tmp_path / "wide.wav", np.zeros((400_000, 8), np.float32), 96_000, subtype="FLOAT")
    words = [sys.executable, "-c", LIMITED, str(tmp_path / "wide.wav"), str(tmp_path / "x.pcm"), what]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout.split()


def test_a_file_that_takes_all_memory_is_skipped(tmp_path: Path) -> None:
    assert limited(tmp_path, "memory") == ["decoder-crashed", "False"]


def test_a_worker_has_limits_of_memory_and_time(tmp_path: Path) -> None:
    memory, core, seconds = map(int, limited(tmp_path, "limits"))
    assert (memory, core) == (4 << 30, 0)
    assert 60 <= seconds < 70


def test_long_files_are_decoded_in_little_memory(tmp_path: Path) -> None:
    """Twenty minutes, of which all but a click is a hole in the file: 38 MB if they were held at once."""
    path = tmp_path / "long.wav"
    write_wav(path, noise(0))
    size = 2 * 16_000 * 60 * 20
    with open(path, "r+b") as file:
        file.seek(4)
        file.write(struct.pack("<I", size + 36))
        file.seek(40)
        file.write(struct.pack("<I", size))
        file.truncate(44 + size)
    list(stream_audio(tmp_path / "long.wav", max_seconds=None))  # imports
    tracemalloc.start()
    decoded = _decode((path, tmp_path / "long.pcm", None))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert decoded.samples == size // 2
    assert peak < 8e6


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


def test_decoders_do_not_talk_to_the_user(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Damaged MP3 frames; 30 of them would be 90 lines."""
    buffer = io.BytesIO()
    soundfile.write(buffer, noise(0, 16_000), 16_000, format="MP3")
    data = bytearray(buffer.getvalue())
    data[600:900] = bytes(300)
    (tmp_path / "a.mp3").write_bytes(data)
    read_audio(tmp_path / "a.mp3", max_seconds=None)
    assert "Note:" in capfd.readouterr().err
    decode_all([tmp_path / "a.mp3"], tmp_path / "out", max_seconds=None, workers=1, progress=lambda done: None)
    assert capfd.readouterr().err == ""


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
