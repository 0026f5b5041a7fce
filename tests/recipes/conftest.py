"""One small training for all recipes, by the real command line, in a cache of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

COMMAND = [sys.executable, "-m", "wakelark"]


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
        return subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=400, check=False)

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


@pytest.fixture(scope="session")
def wakelark(tmp_path_factory: pytest.TempPathFactory) -> CommandLine:
    return CommandLine(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def smoke(wakelark: CommandLine, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """`wakelark train alexa --preset smoke`."""
    folder = tmp_path_factory.mktemp("runs") / "alexa"
    done = wakelark.run("train", "alexa", "--preset", "smoke", "--out", folder, "--json")
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 1
    return Trained(folder, json.loads(done.stdout), done.stderr)
