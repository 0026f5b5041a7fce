"""Killed at any moment, a run says how to go on, and ends with the same bits as one that nobody disturbed."""

from __future__ import annotations

import hashlib
import os
import signal
from pathlib import Path
from subprocess import Popen

from .conftest import TIMEOUT_S, CommandLine, Trained

MODELS = ("model.onnx", "model_tiny.onnx")


def signal_at(process: Popen[str], line_start: str, number: signal.Signals) -> str:
    """Send a signal to the whole group of processes when a line of progress comes; returns all that was said."""
    assert process.stderr is not None
    said = ""
    for line in process.stderr:
        said += line
        if line.startswith(line_start):
            os.killpg(process.pid, number)
            break
    return said + process.communicate(timeout=TIMEOUT_S)[1]


def test_interrupted_and_resumed_gives_the_same_models(smoke: Trained, wakelark: CommandLine, tmp_path: Path) -> None:
    folder = tmp_path / "run with a space"
    command = f"wakelark train --resume --out '{folder}'"

    begin, go_on = ("alexa", "--preset", "smoke"), ("--resume",)
    for words, line, number in (
        (begin, "views of the phrase: 0/", signal.SIGINT),
        (go_on, "teacher: ", signal.SIGTERM),
        (go_on, "student: ", signal.SIGINT),
    ):
        with wakelark.start("train", *words, "--out", folder) as process:
            said = signal_at(process, line, number)
        assert process.returncode == 128 + number, said
        assert command in said
        assert "Traceback" not in said
        assert not list(folder.glob("model*"))
    assert list((folder / "checkpoints").glob("student/**/step-*"))

    done = wakelark.run("train", "--resume", "--out", folder)
    assert done.returncode == 0, done.stderr
    assert not list(folder.rglob(".tmp-*"))
    for name in MODELS:
        ours, theirs = ((root / name).read_bytes() for root in (folder, smoke.folder))
        assert hashlib.sha256(ours).hexdigest() == hashlib.sha256(theirs).hexdigest(), name
