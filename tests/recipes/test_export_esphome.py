"""The ESPHome target of a finished run, by the command a user types: files that three interpreters run, or none."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from .conftest import CommandLine, Trained


@pytest.fixture(scope="module")
def run(smoke: Trained) -> Path:
    """The shared run, trained with `--for esphome`."""
    assert "of 20 variables" in smoke.progress  # the size calculator
    return smoke.folder


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("exported")


@pytest.fixture(scope="module")
def exported(wakelark: CommandLine, run: Path, out: Path) -> dict[str, Any]:
    """The ESPHome target, whatever became of it: two dozen clips and a student of a minute decide little."""
    done = wakelark.run("export", run, "--to", "esphome", "--out", out, "--json")
    assert done.returncode in (0, 4), done.stderr
    (entry,) = json.loads(done.stdout)["targets"]
    assert entry["status"] == ("written" if done.returncode == 0 else "failed")
    return entry


def test_files_hold_or_are_not_written(exported: dict[str, Any], out: Path, wakelark: CommandLine, run: Path) -> None:
    if exported["status"] == "failed":
        assert "points of miss rate in pymicro-wakeword, above the float network" in exported["reason"]
        assert not (out / "esphome").exists()
        return
    assert [file["name"] for file in exported["files"]] == ["alexa.tflite", "alexa.json", "alexa.details.json"]
    manifest = out / "esphome" / "alexa.json"
    lint = wakelark.run("lint", manifest)
    assert lint.returncode == 0, lint.stdout
    facts = exported["files"][0]["facts"]
    assert facts["variables"] <= 20
    read = json.loads(manifest.read_text())
    assert read["micro"]["tensor_arena_size"] >= 1.4 * facts["smallest_arena_bytes"]
    command = ("evaluate", manifest, "--positives", run / "corpus" / "manifest.jsonl", "--json")
    missed = [json.loads(wakelark.run(*command, "--split", split).stdout)["missed"] for split in ("dev", "test")]
    assert sum(missed) == facts["missed"]
    assert missed[1] == facts["expected"]["missed"]
    page = (out / "EXPORT.md").read_text()
    assert "model: alexa.json" in page
    assert f"| micro | {facts['expected']['missed']} of {facts['expected']['positives']}" in page


def test_a_file_that_misses_what_the_float_network_hears_is_refused_with_the_figure(
    wakelark: CommandLine, run: Path, tmp_path: Path
) -> None:
    """The file's log-odds are moved out of reach and those of the float network up, so that any student shows it."""
    damaged = shutil.copytree(run, tmp_path / "run")
    card = damaged / "model_micro.json"
    card.write_text(json.dumps(json.loads(card.read_text()) | {"logit_shift": -30.0, "float_logit_shift": 30.0}))
    done = wakelark.run("export", damaged, "--to", "esphome", "--out", tmp_path / "out", "--json")
    assert done.returncode == 4, done.stderr
    (entry,) = json.loads(done.stdout)["targets"]
    assert "the parity check failed" in entry["reason"]
    assert "points of miss rate" in entry["reason"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["EXPORT.md", "export.json"]
