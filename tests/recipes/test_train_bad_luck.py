"""What goes wrong on a user's machine: one clear message, the right exit code, and the command to go on."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from .conftest import TIMEOUT_S, CommandLine, Trained


def assert_one_message(done: subprocess.CompletedProcess[str], code: int) -> None:
    assert done.returncode == code, done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert done.stderr.count("wakelark: ") == 1


def test_a_full_disk_stops_the_run_and_says_how_to_go_on(
    smoke: Trained, wakelark: CommandLine, small_disk: Path
) -> None:
    """The speech is in the cache already; the views do not fit."""
    folder = small_disk / "run"
    done = wakelark.run("train", "alexa", "--preset", "smoke", "--out", folder)
    assert_one_message(done, 5)
    assert "No space left on device" in done.stderr
    assert f"wakelark train --resume --out {folder}" in done.stderr
    assert not list(folder.rglob(".tmp-*"))
    assert (folder / "config.yaml").is_file()


def test_a_full_cache_stops_the_run(small_disk: Path, tmp_path: Path) -> None:
    (small_disk / "ballast").write_bytes(bytes(4 * 2**20 - 65536))
    words = ["train", "alexa", "--preset", "smoke", "--set", "corpus.piper_positives=0", "--out", tmp_path / "run"]
    done = CommandLine(small_disk / "cache").run(*words)
    assert_one_message(done, 5)
    assert "No space left on device" in done.stderr
    assert not list(small_disk.rglob(".tmp-*"))


def test_a_run_in_use_is_left_alone(wakelark: CommandLine, tmp_path: Path) -> None:
    with wakelark.start("train", "alexa", "--preset", "smoke", "--out", tmp_path / "run") as first:
        assert first.stderr is not None
        next(line for line in first.stderr if line.startswith("speech"))  # it has begun
        second = wakelark.run("train", "--resume", "--out", tmp_path / "run")
        first.terminate()
        first.communicate(timeout=TIMEOUT_S)
    assert_one_message(second, 6)
    assert str(first.pid) in second.stderr
    assert first.returncode == 143


def test_a_worker_that_is_killed_is_told_from_a_bug(smoke: Trained, wakelark: CommandLine, tmp_path: Path) -> None:
    """As the kernel does it when memory runs out."""
    with wakelark.start("train", "alexa", "--preset", "smoke", "--out", tmp_path / "run") as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("views of the phrase: 0/"):
                break
        while not (workers := worker_processes(process.pid)):
            assert process.poll() is None
        os.kill(workers[0], 9)
        _, said = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 5, said
    assert "memory" in said
    assert "--resume --out" in said
    assert "Traceback" not in said


def worker_processes(parent: int) -> list[int]:
    """Processes below `parent` that compute."""
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    return [child for child in map(int, children) if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()]
