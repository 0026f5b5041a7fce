"""Shared fixtures: one thread, no user cache, the real recordings when they are there."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

# How long an example takes says something about the machine, not about the law it tests.
settings.register_profile("wakelark", deadline=None)
settings.load_profile("wakelark")

# Before torch or onnxruntime start their threads: two busy pools on two cores are slower than one thread.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# Signals that a caller ignores (nohup, a shell's background job) would stay ignored here and in every process that a
# test starts, and tests of Ctrl-C would wait for nothing.
signal.signal(signal.SIGINT, signal.default_int_handler)
for number in (signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, signal.SIG_DFL)

REPOSITORY = Path(__file__).resolve().parents[1]
RECIPES = REPOSITORY / "tests" / "recipes"


@pytest.hookimpl(tryfirst=True)  # before xdist reads the marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A file's tests share a process (`--dist loadgroup`), as they share fixtures; all recipes do, as they share one
    training. These come first: they take the longest."""
    items.sort(key=lambda item: RECIPES not in item.path.parents)  # stable
    for item in items:
        group = RECIPES if RECIPES in item.path.parents else item.path
        item.add_marker(pytest.mark.xdist_group(group.relative_to(REPOSITORY).as_posix()))


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder for this test alone."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("WAKELARK_CACHE", str(folder))
    return folder


@pytest.fixture(scope="session")
def real_recordings() -> Path:
    """Folder of real people saying wake phrases; development data that lies beside the project."""
    folder = REPOSITORY.parent / "shared" / "data"
    if not (folder / "manifest.csv").is_file():
        pytest.skip("the development recordings are not beside the project (../shared/data)")
    return folder


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture(autouse=True)
def _one_torch_thread() -> None:
    import torch

    torch.set_num_threads(1)
