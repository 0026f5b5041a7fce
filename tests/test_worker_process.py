"""Workers end with their parent, however it ends, and leave no mess."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from multiprocessing import get_context
from pathlib import Path

from wakelark.corpus.cache import write_atomically
from wakelark.corpus.worker_process import prepare_worker

PARENT = """
import os, sys, time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from wakelark.corpus.worker_process import prepare_worker
if __name__ == "__main__":
    pool = ProcessPoolExecutor(1, get_context("spawn"), initializer=prepare_worker)
    print(pool.submit(os.getpid).result(), flush=True)
    time.sleep(60)
"""


def test_a_killed_parent_leaves_no_worker(tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    with subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        worker = int(parent.stdout.readline())
        os.kill(worker, signal.SIGINT)  # ignored: what to save is the parent's business
        time.sleep(0.2)
        os.kill(worker, 0)
        parent.kill()
    for _ in range(100):
        if not _runs(worker):
            return
        time.sleep(0.05)
    raise AssertionError(f"worker {worker} outlived its parent")


def _runs(process: int) -> bool:
    """Whether a process is there and not only waiting to be collected."""
    try:
        with open(f"/proc/{process}/stat", encoding="utf-8") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def _write_for_ever(path: Path) -> None:
    prepare_worker()
    while True:
        write_atomically(path, bytes(32 * 2**20))


def test_a_worker_that_is_ended_leaves_no_half_written_file(tmp_path: Path) -> None:
    process = get_context("spawn").Process(target=_write_for_ever, args=(tmp_path / "large",))
    process.start()
    while not (tmp_path / "large").exists():
        time.sleep(0.01)
    process.terminate()
    process.join()
    assert process.exitcode == 128 + signal.SIGTERM
    assert [path.name for path in tmp_path.iterdir()] == ["large"]
