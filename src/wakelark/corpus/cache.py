"""The shared cache: synthesised speech, decoded recordings and their features, each stored once by content.

Layout below `cache_folder()`: `speech/<2 hex>/<key>.flac`, `recordings/<name>.npy|.json`, `features/<name>...`.
Everything in it can be made again; deleting it costs time and nothing else.
"""

from __future__ import annotations

import hashlib
import json
import os
import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from wakelark.errors import SetupError


def cache_folder() -> Path:
    """The cache: `$WAKELARK_CACHE`, or `wakelark` in the user's cache folder."""
    if chosen := os.environ.get("WAKELARK_CACHE"):
        return Path(chosen).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "wakelark"


def content_key(*parts: object) -> str:
    """A 24-hex-digit key of JSON-serialisable values (bytes are hashed as they are); equal values give equal keys.

    >>> content_key("a", 1) == content_key("a", 1) != content_key("a", 2)
    True
    """
    digest = hashlib.sha256()
    for part in parts:
        data = part if isinstance(part, bytes) else json.dumps(part, sort_keys=True).encode()
        digest.update(len(data).to_bytes(8, "little") + data)
    return digest.hexdigest()[:24]


def write_atomically(path: Path, data: bytes) -> None:
    """Write `data` to `path` so that a reader, or a crash, sees the old file or the new one, never half of one.

    Raises:
        SetupError: the disk is full or the folder cannot be written.
    """
    _publish(path, data, os.replace)


def write_once(path: Path, data: bytes) -> None:
    """Write `data` to `path` unless there is such a file, as `write_atomically` does it: of two runs the first wins.

    Raises:
        SetupError: the disk is full or the folder cannot be written.
    """
    _publish(path, data, _link)


def _link(temporary: Path, path: Path) -> None:
    try:
        os.link(temporary, path)
    except FileExistsError:
        pass
    except OSError:  # a file system without links: the last one wins
        os.replace(temporary, path)
        return
    temporary.unlink()


_unfinished: set[Path] = set()


def remove_unfinished() -> None:
    """Remove what this process was writing when it was told to end."""
    for temporary in list(_unfinished):
        with suppress(OSError):
            temporary.unlink()


def _publish(path: Path, data: bytes, move: Callable[[Path, Path], None]) -> None:
    temporary = path.with_name(f".tmp-{uuid.uuid4().hex}-{path.name[-40:]}")
    _unfinished.add(temporary)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        move(temporary, path)
    except OSError as error:
        with suppress(OSError):  # there may be nothing to remove, or no folder
            temporary.unlink()
        raise SetupError(
            f"cannot write {path}: {error.strerror}; free some disk space or choose another folder"
        ) from error
    finally:
        _unfinished.discard(temporary)
