"""One process at a time in a folder, and whoever comes second is told who is there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from wakelark.corpus.cache import write_atomically
from wakelark.errors import BusyError, SetupError

LOCK_FILES = (".lock", ".owner")


@contextmanager
def hold_folder(root: Path) -> Iterator[None]:
    """Make a folder and hold it for this process; a process that was killed holds nothing.

    Raises:
        BusyError: another process holds it; the message names its process id.
        SetupError: the folder cannot be made or written.
    """
    lock, owner = (root / name for name in LOCK_FILES)
    file_lock = FileLock(lock)
    try:
        root.mkdir(parents=True, exist_ok=True)
        file_lock.acquire(timeout=0)
    except Timeout as error:
        raise BusyError(f"{root} is in use by process {_read_owner(owner)}; wait for it or stop it") from error
    except OSError as error:
        what = "it is not a folder" if root.is_file() else str(error)
        raise SetupError(f"cannot write in {root}: {what}; choose another folder with --out") from error
    try:
        write_atomically(owner, str(os.getpid()).encode())
        yield
    finally:
        owner.unlink(missing_ok=True)
        file_lock.release()


def _read_owner(owner: Path) -> str:
    try:
        return owner.read_text()
    except OSError:
        return "(unknown)"
