"""The manifest: one JSON line per clip, the one on-disk contract between the corpus and everything after it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable
from pathlib import Path

from wakelark.corpus.cache import write_atomically
from wakelark.corpus.clip import NEGATIVE_KINDS, POSITIVE_KINDS, SPLITS, Clip
from wakelark.errors import DataError

_FIELDS = {field.name for field in dataclasses.fields(Clip)}


def write_manifest(clips: Iterable[Clip], path: Path) -> None:
    """Write `clips` to `path`, all or nothing."""
    lines = [json.dumps(dataclasses.asdict(clip), ensure_ascii=False) for clip in clips]
    write_atomically(path, "".join(line + "\n" for line in lines).encode())


def read_manifest(path: Path) -> list[Clip]:
    """Read a manifest and check every line.

    Raises:
        DataError: the file is missing, a line is not JSON, has unknown or missing keys or impossible values.
    """
    if not path.is_file():
        raise DataError(f"no manifest at {path}: run `wakelark train` to make the corpus")
    return [_parse(line, f"{path}, line {number}") for number, line in enumerate(path.read_text().splitlines(), 1)]


def _parse(line: str, where: str) -> Clip:
    try:
        values = json.loads(line)
    except json.JSONDecodeError as error:
        raise DataError(f"{where}: not JSON ({error.msg}); restore the line or delete it") from error
    if not isinstance(values, dict):
        raise DataError(f"{where}: {line[:40]!r} is not a clip; restore the line or delete it")
    if unknown := set(values) - _FIELDS:
        raise DataError(f"{where}: unknown keys {', '.join(sorted(unknown))}; correct or remove them")
    try:
        clip = Clip(**values)
    except TypeError as error:
        raise DataError(f"{where}: {error}") from error
    kinds = POSITIVE_KINDS if clip.label == 1 else NEGATIVE_KINDS
    if clip.kind not in kinds:
        raise DataError(
            f"{where}: kind {clip.kind!r} does not go with label {clip.label}; use one of {', '.join(kinds)}"
        )
    if clip.split not in SPLITS:
        raise DataError(f"{where}: split {clip.split!r} is none of {', '.join(SPLITS)}")
    if clip.samples <= 0 or clip.start < 0:
        raise DataError(f"{where}: samples {clip.samples} and start {clip.start} must be positive")
    return clip
