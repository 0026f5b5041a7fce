"""`corpus/mined.jsonl`: written and read back as it was; what is not such a file is refused with its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from wakelark.corpus.clip import Clip
from wakelark.errors import DataError
from wakelark.pipeline.mined_file import MinedLine, MinedRound, read_rounds, write_rounds


def line(number: int, status: str) -> MinedLine:
    clip = Clip(id=f"{number:016x}", path="recordings/a.npy", samples=28800, label=0, hard_negative=1, kind="mined")
    return MinedLine(status=status, score=0.5, witnesses=(0.4, 0.6), group=number, clip=clip)


def mined_round(number: int, *lines: MinedLine) -> MinedRound:
    return MinedRound(number=number, data=f"key{number}", loud=9, groups=3, look_alikes=2, over_share=1, lines=lines)


ROUNDS = [mined_round(1, line(1, "keep"), line(2, "quarantine"), line(3, "keep")), mined_round(2)]


def test_what_is_written_is_read(tmp_path: Path) -> None:
    write_rounds(ROUNDS, tmp_path / "corpus" / "mined.jsonl")
    assert read_rounds(tmp_path / "corpus" / "mined.jsonl") == ROUNDS
    assert read_rounds(tmp_path / "absent.jsonl") == []


def test_a_round_that_did_not_help_keeps_its_quarantine() -> None:
    undone = ROUNDS[0].undone()
    assert [item.status for item in undone.lines] == ["undone", "quarantine", "undone"]
    assert undone.of("keep") == []
    assert undone.of("keep", "undone") == ROUNDS[0].of("keep")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"keep"', '"maybe"'), ('"loud": 9', '"loudness": 9'), ('"status"', '"state"'), ("{", ""),
        ('"data": "key1", "s', '"data": "x", "s'), ('{"round": 1', '{"round": "one"'), ('"label"', '"lable"'),
    ],
)  # fmt: skip
def test_a_damaged_line_is_named(tmp_path: Path, old: str, new: str) -> None:
    path = tmp_path / "mined.jsonl"
    write_rounds(ROUNDS, path)
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(DataError, match=r"mined.jsonl, line \d: not a line of mined events"):
        read_rounds(path)
