"""`RUN/mined/<name>/`: what `wakelark mine` found, for the user to hear and to edit, and for `train --resume` to read.

One short WAV file per event, and `mined.jsonl` with one line per event. The user may change a line's `status`, delete a
line or delete a WAV file; everything else in a line is only told.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from wakelark.corpus.cache import write_atomically
from wakelark.errors import DataError

LIST_NAME = "mined.jsonl"
KEEP, QUARANTINE = "keep", "quarantine"


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundSound:
    """One line of `mined.jsonl`.

    Attributes:
        file: the WAV file beside the list.
        status: "keep": a hard negative for the next training; "quarantine": never trained on.
        recording: the user's file it was cut from, relative to the folder that was searched.
        time_s: where in it the models were loudest.
        accurate, tiny: the loudest score of each model near that.
        group: number of its group of look-alikes.
        source: name of the folder that was searched.
        digest: of the recording's samples.
    """

    file: str
    status: str
    recording: str
    time_s: float
    accurate: float
    tiny: float
    group: int
    source: str
    digest: str


def write_list(found: Sequence[FoundSound], folder: Path) -> None:
    """Write the list of a folder, all or nothing."""
    lines = [json.dumps(dataclasses.asdict(sound), ensure_ascii=False) + "\n" for sound in found]
    write_atomically(folder / LIST_NAME, "".join(lines).encode())


def read_list(folder: Path) -> list[FoundSound]:
    """The list of a folder, as the user left it.

    Raises:
        DataError: a line is no JSON, has other keys, a status of its own, or a file outside of the folder.
    """
    path = folder / LIST_NAME
    lines = path.read_text(encoding="utf-8").splitlines()
    return [_parse(line, f"{path}, line {number}") for number, line in enumerate(lines, 1) if line.strip()]


def _parse(line: str, where: str) -> FoundSound:
    remedy = "correct the line or delete it"
    try:
        sound = FoundSound(**json.loads(line))
    except (ValueError, TypeError) as error:
        raise DataError(f"{where}: {error}; {remedy}") from error
    if sound.status not in (KEEP, QUARANTINE):
        raise DataError(f'{where}: status {sound.status!r} is neither "{KEEP}" nor "{QUARANTINE}"; {remedy}')
    if not isinstance(sound.file, str) or Path(sound.file).name != sound.file:
        raise DataError(f"{where}: file {sound.file!r} is not a name of a file in this folder; {remedy}")
    return sound


def harvest_folders(root: Path) -> list[Path]:
    """The folders below `RUN/mined` that hold a list, by name."""
    return sorted(path.parent for path in root.glob(f"*/{LIST_NAME}"))


def new_folder(root: Path, name: str) -> Path:
    """A folder for another harvest that is not there yet: `name`, else `name-2` and so on."""
    plain = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40] or "audio"
    number = 1
    while (folder := root / (plain if number == 1 else f"{plain}-{number}")).exists():
        number += 1
    return folder
