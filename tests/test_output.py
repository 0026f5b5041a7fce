"""One result on stdout, progress on stderr."""

from __future__ import annotations

import json

import pytest
from rich.table import Table

from wakelark.cli.output import emit, note, progress_bar


def test_json_is_one_ascii_object(capsys: pytest.CaptureFixture[str]) -> None:
    emit({"phrase": "café", "n": 2}, json_output=True, text="ignored")
    out = capsys.readouterr().out
    assert out.isascii()
    assert json.loads(out) == {"phrase": "café", "n": 2}


def test_text_is_not_read_as_markup(capsys: pytest.CaptureFixture[str]) -> None:
    emit({}, json_output=False, text="file [bold].wav")
    assert capsys.readouterr().out == "file [bold].wav\n"


@pytest.mark.parametrize("control", ["\x1b[2J", "\r", "\x07", "\x9b2J", "\u202e"])
def test_no_text_commands_the_terminal(control: str, capsys: pytest.CaptureFixture[str]) -> None:
    emit({}, json_output=False, text=f"one\n\ttwo {control}")
    note(f"three {control}")
    out, err = capsys.readouterr()
    assert out.startswith("one\n\ttwo \\")
    assert err.startswith("three \\")
    assert control not in out + err


def test_tables_are_drawn(capsys: pytest.CaptureFixture[str]) -> None:
    table = Table("verb")
    table.add_row("train")
    emit({}, json_output=False, text=table)
    assert "train" in capsys.readouterr().out


def test_progress_without_a_terminal_is_few_plain_lines(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bar() as progress:
        for done in range(1, 101):
            progress(done, 100, "speaking")
        progress(100, 100, "speaking")
    captured = capsys.readouterr()
    assert captured.out == ""
    lines = captured.err.splitlines()
    assert len(lines) == 2
    assert lines[-1] == "speaking: 100/100"
    assert "\x1b" not in captured.err


def test_the_same_work_again_is_shown_again(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bar() as progress:
        for done in (1, 2, 1, 2, 2):
            progress(done, 2, "heads")
    assert capsys.readouterr().err.splitlines() == ["heads: 1/2", "heads: 2/2", "heads: 1/2", "heads: 2/2"]


def test_quiet_progress_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bar(quiet=True) as progress:
        progress(1, 2, "x")
    assert capsys.readouterr() == ("", "")
