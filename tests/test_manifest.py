"""The manifest: what is written is read back, what is broken is named with its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from wakelark.corpus.clip import Clip
from wakelark.corpus.manifest import read_manifest, write_manifest
from wakelark.errors import DataError

CLIP = Clip(
    id="0" * 16, path="speech/ab/ab.flac", samples=16_000, label=1, kind="alone", text="小爱 “hey”", voice="espeak/x",
    engine="espeak", source="somewhere 1.0", licence="GPL-3", split="dev", phrase_start=0, phrase_end=15_000,
)  # fmt: skip
LINE = '{"id": "a", "path": "x.flac", "samples": 10, "label": 0, "kind": "sentence"}'


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    clips = [CLIP, Clip(id="1", path="recordings/a.npy", start=5, samples=7, label=0, kind="recording")]
    write_manifest(clips, tmp_path / "manifest.jsonl")
    assert read_manifest(tmp_path / "manifest.jsonl") == clips
    assert [clip.is_stream for clip in clips] == [False, True]


def test_a_short_line_takes_the_defaults(tmp_path: Path) -> None:
    (tmp_path / "m.jsonl").write_text(LINE + "\n")
    assert read_manifest(tmp_path / "m.jsonl")[0].split == "train"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "line 2: not JSON"),
        ("[1]", "line 2: '\\[1\\]' is not a clip"),
        (LINE.replace('"label"', '"lable"'), "line 2: unknown keys lable"),
        ('{"id": "a"}', "line 2: .*missing"),
        (LINE.replace("sentence", "alone"), "line 2: kind 'alone' does not go with label 0"),
        (LINE.replace("}", ', "split": "trian"}'), "line 2: split 'trian'"),
        (LINE.replace("10", "0"), "line 2: samples 0"),
    ],
)
def test_a_broken_line_is_named(tmp_path: Path, line: str, message: str) -> None:
    (tmp_path / "m.jsonl").write_text(f"{LINE}\n{line}\n")
    with pytest.raises(DataError, match=message):
        read_manifest(tmp_path / "m.jsonl")


def test_a_missing_manifest_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="wakelark train"):
        read_manifest(tmp_path / "none.jsonl")
