"""The command line's outermost layer: one message, the right exit code, no traceback unless asked for."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from wakelark.cli import VERBS, main

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def run(words: list[str], capsys: Capture) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stop:
        main(words)
    out = capsys.readouterr()
    return int(stop.value.code or 0), out.out, out.err


@pytest.mark.parametrize("words", [[], ["--help"], ["-h"]])
def test_help_names_every_verb(words: list[str], capsys: Capture) -> None:
    code, out, err = run(words, capsys)
    assert code == (0 if words else 2)
    assert err == ""
    for verb in VERBS:
        assert f" {verb} " in out


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help(verb: str, capsys: Capture) -> None:
    code, out, err = run([verb, "--help"], capsys)
    assert (code, err) == (0, "")
    assert "--json" in out


def test_version(capsys: Capture) -> None:
    from wakelark import __version__

    assert run(["--version"], capsys) == (0, f"{__version__}\n", "")


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["trian", "hey"], 2, "trian"),
        (["detect", "--bogus"], 2, "--bogus"),
        (["detect"], 2, "MODEL"),
        (["train"], 2, 'wakelark train "hey computer"'),
        (["train", ""], 2, "which phrase"),
        (["train", "!!!"], 2, "no letters or digits"),
        (["train", "hey", "computer"], 2, "computer"),
        (["train", "hey", "--language", "xx"], 2, "'xx'"),
        (["train", "hey", "--preset", "quickest"], 2, "smoke, quick, standard, thorough"),
        (["train", "hey", "--set", "augment.snr_db_mni=3"], 2, "augment.snr_db_min"),
        (["train", "hey", "--positives", "gone"], 2, "no such folder"),
        (["train", "hey", "--positives", "empty"], 3, "no audio files"),
        (["train", "hey", "--for", "toaster"], 2, "toaster"),
        (["train", "--resume", "--out", "empty"], 2, "nothing to resume"),
        (["detect", "gone.onnx", "gone.wav"], 4, "gone.onnx"),
        (["score", "text.onnx", "gone.wav"], 4, "text.onnx"),
    ],
)
def test_wrong_words_are_one_message_with_a_code(words: list[str], code: int, message: str, capsys: Capture) -> None:
    Path("empty").mkdir()
    Path("text.onnx").write_text("no model")
    found, out, err = run(words, capsys)
    assert (found, out) == (code, "")
    assert err.startswith("wakelark: ")
    assert message in err
    assert "Traceback" not in err
    assert not Path("runs").exists()  # nothing was begun
    found, out, err = run([*words, "--json"], capsys)
    answer = json.loads(out)
    assert (found, answer["exit_code"]) == (code, code)
    assert message in answer["error"]


def test_debug_shows_the_traceback(capsys: Capture) -> None:
    from wakelark.errors import ConfigError

    with pytest.raises(ConfigError):
        main(["train", "--debug"])
    capsys.readouterr()


COMMAND = [sys.executable, "-m", "wakelark"]


def run_changed(change: str, words: list[str]) -> subprocess.CompletedProcess[str]:
    """`wakelark WORDS` in a fresh interpreter in which something was changed first."""
    program = f"import sys\n{change}\nfrom wakelark.cli import main\nmain(sys.argv[1:])"
    return subprocess.run([sys.executable, "-c", program, *words], capture_output=True, text=True, check=False)


def raising(error: str) -> str:
    """The verb `doctor` raises an error that nobody foresaw."""
    return f"import errno, wakelark.cli.doctor as d\ndef doctor() -> None:\n    raise {error}\nd.doctor = doctor"


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        ("MemoryError", 5, "out of memory"),
        (
            'RuntimeError("DefaultCPUAllocator: can\'t allocate memory: you tried to allocate 8 bytes")',
            5,
            "out of memory",
        ),
        ("RuntimeError('CUDA out of memory. Tried to allocate 2.00 GiB')", 5, "out of memory"),
        ("RuntimeError('something else')", 1, "a bug in wakelark"),
        (f"OSError({errno.ENOSPC}, 'No space left on device', '/some/file')", 5, "/some/file"),
        (f"OSError({errno.ENOSPC}, 'No space left on device')", 5, "free some disk space"),
        (f"OSError({errno.EROFS}, 'Read-only file system', '/x')", 5, "read-only"),
        ("ModuleNotFoundError('No module', name='torch')", 5, "pip install"),
        ("KeyboardInterrupt", 130, "interrupted"),
        ("ZeroDivisionError('by zero')", 1, "a bug in wakelark: ZeroDivisionError: by zero"),
        ("ModuleNotFoundError('No module', name='wakelark.gone')", 1, "a bug in wakelark"),
    ],
)
def test_unforeseen_errors_are_told_apart(error: str, code: int, message: str) -> None:
    done = run_changed(raising(error), ["doctor"])
    assert (done.returncode, done.stdout) == (code, "")
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_bug_has_its_traceback_with_debug() -> None:
    done = run_changed(raising("ZeroDivisionError"), ["doctor", "--debug"])
    assert "Traceback" in done.stderr


def test_without_the_training_part_train_says_what_to_install() -> None:
    """pydantic is the first that `train` needs and the base install does not have."""
    done = run_changed("sys.modules['pydantic'] = None", ["train", "hey", "--json"])
    assert done.returncode == 5
    assert 'pip install "wakelark[train]"' in json.loads(done.stdout)["error"]


def test_a_reader_that_goes_away_is_no_error() -> None:
    with subprocess.Popen([*COMMAND, "--help"], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() in (0, 1)


@pytest.mark.parametrize("words", [["--help"], ["train", "--help"], ["doctor"]])
def test_the_plainest_terminal_shows_everything(words: list[str], tmp_path: Path) -> None:
    plain = {"PYTHONIOENCODING": "ascii", "LC_ALL": "C", "COLUMNS": "40", "NO_COLOR": "1", "TERM": "dumb"}
    done = subprocess.run(
        [*COMMAND, *words], capture_output=True, check=False, env=os.environ | plain | {"WAKELARK_CACHE": str(tmp_path)}
    )
    assert done.returncode in (0, 5)
    assert done.stdout.isascii()
    assert b"\x1b" not in done.stdout + done.stderr
    assert b"bug" not in done.stderr


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_ctrl_c_says_so() -> None:
    program = """
import time
import wakelark.cli.doctor as module
from wakelark.cli import main
def doctor() -> None:
    print("on", flush=True)
    time.sleep(60)
module.doctor = doctor
main(["doctor"])
"""
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "on\n"
        time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err) == (130, "", "wakelark: interrupted\n")
