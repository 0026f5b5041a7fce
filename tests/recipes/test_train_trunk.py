"""`wakelark trunk`, ended from outside, prints the command that goes on, with all that was typed; and it does."""

from __future__ import annotations

import json
import shlex
import signal
import subprocess
import sys
from pathlib import Path

from .conftest import TIMEOUT_S, CommandLine

TINY = [
    "--set", "corpus.recordings=none", "--set", "trunk.espeak_sentences=12", "--set", "trunk.kokoro_sentences=0",
    "--set", "trunk.piper_sentences=0", "--set", "trunk.variants=1", "--set", "trunk.batch_size=2",
    "--set", "trunk.steps=60", "--set", "student.channels=16",
]  # fmt: skip


def test_the_printed_command_goes_on(wakelark: CommandLine, tmp_path: Path) -> None:
    folder = tmp_path / "a trunk"
    with wakelark.start("trunk", "--out", folder, *TINY, "--json") as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("trunk: "):
                process.send_signal(signal.SIGTERM)
                break
        printed, said = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 143, said
    message = json.loads(printed)["error"]
    assert not (folder / "trunk.safetensors").exists()

    program, *words = shlex.split(message[message.index("wakelark trunk") :])
    assert (program, words) == ("wakelark", ["trunk", "--out", str(folder), *TINY, "--json"])
    done = subprocess.run(
        [sys.executable, "-m", program, *words], env=wakelark.environment, capture_output=True, text=True,
        timeout=TIMEOUT_S,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["steps"] == 60
    assert (folder / "trunk.safetensors").is_file()
