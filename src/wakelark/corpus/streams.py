"""Streams: many recordings as one long int16 array in the cache, with a JSON index beside it.

`<name>.npy` holds the samples, `<name>.json` says which file lies where and what may be done with it. The index is
written last and removed first, so a stream without an index is not there.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from wakelark.audio import SAMPLE_RATE, Int16Array
from wakelark.corpus.cache import cache_folder, write_atomically
from wakelark.errors import SetupError

STREAM_VERSION = 1
GAP_SAMPLES = SAMPLE_RATE // 4  # of zeros between two files, so that no word begins in one and ends in the other


@dataclass(frozen=True, slots=True)
class StreamFile:
    """One recording within a stream: `array[start : start + samples]`."""

    name: str
    start: int
    samples: int
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """A long recording array in the cache, and what is known about it.

    Attributes:
        name: unique in the cache.
        path: of the int16 `.npy`, relative to the cache folder.
        role: "train", "dev" or "test".
        kind: "speech" or "music".
        licence: of the audio.
        package: where it comes from: a Debian package or the user's folder.
        version: of that package.
        samples: length of the array, gaps included.
        sha256: of the int16 samples.
        files: its recordings, in order.
        skipped: (file, reason) of what was left out.
    """

    name: str
    path: str
    role: str
    kind: str
    licence: str
    package: str
    version: str
    samples: int
    sha256: str
    files: tuple[StreamFile, ...]
    skipped: tuple[tuple[str, str], ...] = ()

    @property
    def seconds(self) -> float:
        """Length of the audio without the gaps."""
        return sum(file.samples for file in self.files) / SAMPLE_RATE

    def load(self) -> Int16Array:
        """The samples, memory-mapped. Shape: `[samples]`."""
        return np.load(cache_folder() / self.path, mmap_mode="r")


@dataclass(frozen=True, slots=True)
class Piece:
    """A recording that goes into a stream."""

    name: str
    digest: str
    audio: Int16Array


def write_stream(
    pieces: Sequence[Piece], *, name: str, path: str, role: str, kind: str, licence: str, package: str, version: str,
    skipped: Sequence[tuple[str, str]],
) -> Stream:  # fmt: skip
    """Join `pieces` with gaps into the array at `path` (relative to the cache) and write its index.

    Raises:
        SetupError: the disk is full or may not be written.
    """
    target = cache_folder() / path
    target.with_suffix(".json").unlink(missing_ok=True)
    files, start = [], 0
    for piece in pieces:
        files.append(StreamFile(piece.name, start, len(piece.audio), piece.digest))
        start += len(piece.audio) + GAP_SAMPLES
    samples = max(start - GAP_SAMPLES, 0)
    stream = Stream(
        name=name, path=path, role=role, kind=kind, licence=licence, package=package, version=version, samples=samples,
        sha256=_write_array(target, pieces, samples), files=tuple(files), skipped=tuple(skipped),
    )  # fmt: skip
    record = dataclasses.asdict(stream) | {"format": STREAM_VERSION, "hours": round(stream.seconds / 3600, 4)}
    write_atomically(target.with_suffix(".json"), json.dumps(record, ensure_ascii=True).encode())
    return stream


def _write_array(target: Path, pieces: Sequence[Piece], samples: int) -> str:
    """Write the `.npy` under a temporary name, then move it in place; returns the sha256 of its samples."""
    temporary = target.with_name(f".tmp-{target.name}")
    gap = np.zeros(GAP_SAMPLES, "<i2")
    digest = hashlib.sha256()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "wb") as file:
            header = {"descr": "<i2", "fortran_order": False, "shape": (samples,)}
            np.lib.format.write_array_header_1_0(file, header)
            for number, piece in enumerate(pieces):
                for block in ([gap] if number else []) + [piece.audio]:
                    data = np.ascontiguousarray(block, "<i2").data
                    digest.update(data)
                    file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except OSError as error:
        remedy = "free some disk space or choose another cache folder with WAKELARK_CACHE"
        raise SetupError(f"cannot write {target}: {error.strerror}; {remedy}") from error
    finally:
        temporary.unlink(missing_ok=True)
    return digest.hexdigest()


def read_stream(index: Path) -> Stream | None:
    """The stream with this `.json` index; None when it is missing, unfinished, damaged or of another format version."""
    try:
        record = json.loads(index.read_bytes())
        if record.pop("format") != STREAM_VERSION:
            return None
        del record["hours"]
        files = tuple(StreamFile(**file) for file in record.pop("files"))
        skipped = tuple((name, reason) for name, reason in record.pop("skipped"))
        stream = Stream(**record, files=files, skipped=skipped)
        size = index.with_suffix(".npy").stat().st_size
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None  # "not there": the caller makes it again
    return stream if 0 < size - 2 * stream.samples < 4096 else None
