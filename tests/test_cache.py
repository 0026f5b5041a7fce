"""The shared cache: files appear whole, and of two runs that make the same one the first wins."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from wakelark.corpus.cache import write_atomically, write_once
from wakelark.errors import SetupError


def test_the_first_of_many_writers_wins_and_leaves_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "ab" / "clip"
    write_once(path, b"first")
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda number: write_once(path, b"%d" % number), range(20)))
    assert path.read_bytes() == b"first"
    write_atomically(path, b"new")
    assert path.read_bytes() == b"new"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("write", [write_once, write_atomically])
def test_a_folder_that_is_a_file_is_said(write: Callable[[Path, bytes], None], tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    with pytest.raises(SetupError, match="cannot write"):
        write(tmp_path / "taken" / "clip", b"")
