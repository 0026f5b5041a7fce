"""One small training for all recipes, by the real command line, in a cache of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

COMMAND = [sys.executable, "-m", "wakelark"]
TIMEOUT_S = 1800
"""Against hanging for ever; machines may be slow."""


@dataclass(frozen=True, slots=True)
class CommandLine:
    """`wakelark` with a cache of its own."""

    cache: Path

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "WAKELARK_CACHE": str(self.cache), "OMP_NUM_THREADS": "1"}

    def run(self, *words: str | Path) -> subprocess.CompletedProcess[str]:
        """Run to the end."""
        command = [*COMMAND, *map(str, words)]
        return subprocess.run(
            command, env=self.environment, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
        )

    def start(self, *words: str | Path) -> subprocess.Popen[str]:
        """Run in a process group of its own, as a terminal does it."""
        return subprocess.Popen(
            [*COMMAND, *map(str, words)], env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True, start_new_session=True,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Trained:
    """A finished run."""

    folder: Path
    report: dict[str, Any]
    progress: str


def told_apart(positives: Sequence[float], negatives: Sequence[float]) -> float:
    """Share of the pairs in which the positive scores higher, ties counted half: 0.5 is chance.

    What a small model is asked for. Its threshold lies somewhere in minutes of audio, and where it lies there is a
    matter of the last bits of a processor.
    """
    above = [(one > other) + (one == other) / 2 for one in positives for other in negatives]
    return sum(above) / len(above)


@pytest.fixture(scope="session")
def wakelark(tmp_path_factory: pytest.TempPathFactory) -> CommandLine:
    return CommandLine(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def smoke(wakelark: CommandLine, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """`wakelark train alexa --preset smoke --for esphome`."""
    folder = tmp_path_factory.mktemp("runs") / "alexa"
    done = wakelark.run("train", "alexa", "--preset", "smoke", "--for", "esphome", "--out", folder, "--json")
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 1
    return Trained(folder, json.loads(done.stdout), done.stderr)
