"""The base install runs models: no torch, no GPL package, no training library, and not much disk."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from wakelark.cli import VERBS

REPOSITORY = Path(__file__).resolve().parents[2]
SIZE_LIMIT_MB = 250
TRAINING_ONLY = [
    "torch",
    "onnx",
    "yaml",
    "safetensors",
    "filelock",
    "wordfreq",
    "livekit",
    "espeakng_loader",
    "piper",
    "sounddevice",
    "tensorboard",
    "pyopen_wakeword",
    "pymicro_wakeword",
    "ai_edge_litert",
    "tflite_micro",
]
"""Import names of what only the extras bring; espeakng_loader and piper are GPL. Newer typers bring pydantic along."""

REFUSER = f"""
import sys

class Refuser:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {TRAINING_ONLY!r}:
            raise ModuleNotFoundError(f"{{name}} is not part of the base install", name=name)

sys.meta_path.insert(0, Refuser())
"""


def run_in_base(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run code in a fresh interpreter where importing anything of the extras fails."""
    program = REFUSER + textwrap.dedent(code)
    return subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, timeout=120, check=False
    )


@pytest.mark.parametrize("module", ["wakelark", "wakelark.runtime.detector", "wakelark.model_card", "wakelark.cli"])
def test_light_modules_import_without_the_extras(module: str) -> None:
    done = run_in_base(f"import {module}")
    assert done.returncode == 0, done.stderr


def test_the_package_itself_imports_nothing_heavy() -> None:
    done = run_in_base("import wakelark; print('numpy' in sys.modules, 'onnxruntime' in sys.modules)")
    assert done.stdout == "False False\n", done.stderr


@pytest.mark.parametrize("words", [["--help"], ["--version"], *([verb, "--help"] for verb in VERBS)], ids=" ".join)
def test_help_needs_no_extra(words: list[str]) -> None:
    done = run_in_base("from wakelark.cli import main; main(sys.argv[1:])", *words)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_training_verb_names_the_extra_it_needs() -> None:
    done = run_in_base("from wakelark.cli import main; main(['train', 'hey computer'])")
    assert done.returncode == 5, done.stdout + done.stderr
    assert "wakelark[train]" in done.stderr


@pytest.fixture(scope="module")
def base_environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with the plain `pip install` of wakelark, from a copy so that no build is left here."""
    folder = tmp_path_factory.mktemp("base")
    source = folder / "source"
    shutil.copytree(REPOSITORY / "src", source / "src", ignore=shutil.ignore_patterns("*.egg-info", "__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(REPOSITORY / name, source / name)
    environment = folder / "venv"
    subprocess.run([sys.executable, "-m", "venv", environment], check=True, timeout=120)
    pip = [environment / "bin" / "python", "-m", "pip", "--disable-pip-version-check"]
    done = subprocess.run([*pip, "install", "-q", source], capture_output=True, text=True, timeout=600, check=False)
    if done.returncode != 0:
        probe = subprocess.run(
            [*pip, "download", "-q", "--no-deps", "-d", folder / "probe", "rich"],
            capture_output=True, timeout=300, check=False,
        )  # fmt: skip
        if probe.returncode != 0 and "CI" not in os.environ:
            pytest.skip("the package registry cannot be reached, so the base install cannot be tried")
    assert done.returncode == 0, done.stderr
    return environment


def test_base_install_runs_from_outside_the_repository(base_environment: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [base_environment / "bin" / "wakelark", "--help"],
        cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert all(verb in done.stdout for verb in VERBS)


def test_base_install_has_no_training_or_gpl_package(base_environment: Path) -> None:
    code = f"import importlib.util as u; print([n for n in {TRAINING_ONLY!r} if u.find_spec(n)])"
    done = subprocess.run(
        [base_environment / "bin" / "python", "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "[]"


def test_base_install_is_small(base_environment: Path) -> None:
    files = (path for path in base_environment.rglob("*") if path.is_file() and not path.is_symlink())
    size_mb = sum(path.stat().st_size for path in files) / 1e6
    assert size_mb <= SIZE_LIMIT_MB
