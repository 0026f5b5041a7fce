"""`corpus/mined.jsonl`: what the rounds of a training have mined, to be read by people and by a run that is resumed.

Every round has one line `{"round", "data", "loud", ...}` and one line per event `{"round", "data", "status", "score",
"witnesses", "group", "clip"}`. `data` is the key of all that the harvest depended on: lines with another key belong to
other data and are not read back.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from wakelark.corpus.cache import write_atomically
from wakelark.corpus.clip import Clip
from wakelark.errors import DataError

STATUSES = ("keep", "quarantine", "undone")
"""Trained on; set aside, because it may be the phrase; trained on in a round that did not help and was undone."""


@dataclass(frozen=True, slots=True)
class MinedLine:
    """One event of a round."""

    status: str
    score: float
    witnesses: tuple[float, ...]
    group: int
    clip: Clip


@dataclass(frozen=True, slots=True, kw_only=True)
class MinedRound:
    """One round: how many events were loud, how many were left out and why, and those that were not.

    Attributes:
        number: 1 for the first.
        data: key of the heads and the data it was made with.
        loud, groups, look_alikes, over_share: see `Harvest`.
        lines: kept (or undone) and quarantined events, the loudest first.
    """

    number: int
    data: str
    loud: int
    groups: int
    look_alikes: int
    over_share: int
    lines: tuple[MinedLine, ...]

    @property
    def counts(self) -> dict[str, int]:
        """What was looked at, by name."""
        return {
            "loud": self.loud, "groups": self.groups, "look_alikes": self.look_alikes, "over_share": self.over_share,
        }  # fmt: skip

    def of(self, *statuses: str) -> list[Clip]:
        """The clips of the lines with one of these statuses."""
        return [line.clip for line in self.lines if line.status in statuses]

    def undone(self) -> MinedRound:
        """The same round after it did not help."""
        lines = (dataclasses.replace(x, status="undone") if x.status == "keep" else x for x in self.lines)
        return dataclasses.replace(self, lines=tuple(lines))


def write_rounds(rounds: Sequence[MinedRound], path: Path) -> None:
    """Write all rounds, all or nothing."""
    text = ""
    for entry in rounds:
        head = {"round": entry.number, "data": entry.data}
        text += json.dumps(head | entry.counts) + "\n"
        for line in entry.lines:
            text += json.dumps(head | dataclasses.asdict(line), ensure_ascii=False) + "\n"
    write_atomically(path, text.encode())


def read_rounds(path: Path) -> list[MinedRound]:
    """The rounds in a file; none when there is no file.

    Raises:
        DataError: a line is not what `write_rounds` writes.
    """
    if not path.is_file():
        return []
    rounds: dict[int, MinedRound] = {}
    for number, text in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            _add(rounds, json.loads(text))
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(
                f"{path}, line {number}: not a line of mined events ({error}); "
                "restore it, or delete the file to mine again"
            ) from error
    return list(rounds.values())


def _add(rounds: dict[int, MinedRound], values: dict[str, object]) -> None:
    number = values.pop("round")
    if not isinstance(number, int):
        raise TypeError(f"round {number!r} is not a number")
    if "clip" not in values:
        rounds[number] = MinedRound(number=number, lines=(), **values)  # pyright: ignore[reportArgumentType]
        return
    if values.pop("data") != rounds[number].data:
        raise ValueError("its round has other data")
    clip = Clip(**values.pop("clip"))  # pyright: ignore[reportCallIssue]
    witnesses = tuple(values.pop("witnesses"))  # pyright: ignore[reportArgumentType]
    line = MinedLine(clip=clip, witnesses=witnesses, **values)  # pyright: ignore[reportArgumentType]
    if line.status not in STATUSES:
        raise ValueError(f"status {line.status!r} is none of {', '.join(STATUSES)}")
    rounds[number] = dataclasses.replace(rounds[number], lines=(*rounds[number].lines, line))
