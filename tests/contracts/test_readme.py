"""The README's first command works as it stands, and its last section is the true tree."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
README = REPOSITORY / "README.md"


def code_blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def true_tree() -> set[str]:
    """What the repository holds at its root and at the root of the package; folders end in a slash."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=REPOSITORY, capture_output=True, text=True, check=True,
    )  # fmt: skip
    parts = set()
    for name in listed.stdout.splitlines():
        if not (REPOSITORY / name).exists():
            continue
        inside = "src/wakelark/" if name.startswith("src/wakelark/") else ""
        first, slash, _ = name.removeprefix(inside).partition("/")
        parts.add(inside + first + slash)
    return parts - {"src/"}


def told_tree() -> set[str]:
    """The paths of the README's last code block, one a line, indented below `src/wakelark/`."""
    lines = code_blocks("text")[-1].splitlines()
    parts = set()
    for line in lines:
        path = line.split()[0]
        parts.add(f"src/wakelark/{path}" if line.startswith(" ") else path)
    return parts - {"src/wakelark/"}


def test_the_tree_is_true() -> None:
    assert README.read_text(encoding="utf-8").rstrip().endswith("```"), "the tree comes last"
    assert told_tree() == true_tree()


@pytest.fixture(scope="module")
def quickstart(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run folder that the README's first command makes, with the two-minute preset and an empty cache."""
    folder = tmp_path_factory.mktemp("quickstart")
    command = shlex.split(code_blocks("sh")[0].splitlines()[0], comments=True)
    done = subprocess.run(
        [REPOSITORY / command[0], *command[1:], "--preset", "smoke", "--out", folder / "run"],
        cwd=folder, env={**os.environ, "WAKELARK_CACHE": str(folder / "cache")},
        capture_output=True, text=True, timeout=1200, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return folder / "run"


@pytest.mark.parametrize(
    "name", ["model.onnx", "model.onnx.json", "model_tiny.onnx", "model_tiny.onnx.json", "report.json", "report.html"]
)
def test_the_quickstart_makes_what_it_promises(quickstart: Path, name: str) -> None:
    assert (quickstart / name).stat().st_size > 0


def test_the_python_example_runs(quickstart: Path) -> None:
    """The example reads `recording.wav` and `model.onnx` from the folder it runs in."""
    import numpy as np
    import soundfile

    soundfile.write(quickstart / "recording.wav", np.zeros(32_000, np.int16), 16_000)
    python = REPOSITORY / ".venv" / "bin" / "python"
    done = subprocess.run(
        [python, "-W", "error", "-c", code_blocks("python")[0]],
        cwd=quickstart, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
