"""A finished run hears the user's audio, gets the user's clips, and is trained anew with both; once."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml

from wakelark.audio import SAMPLE_RATE, write_wav
from wakelark.corpus.manifest import read_manifest
from wakelark.export.parity import probe_audio
from wakelark.pipeline.development import clips_in_a_row
from wakelark.training.clip_audio import ClipReader

from .conftest import CommandLine, Trained

FEW_STEPS = {"teacher": {"steps": 20}, "training": {"steps": 20, "steps_per_epoch": 20}}


@pytest.fixture
def run(smoke: Trained, tmp_path: Path) -> Path:
    """A copy of the finished run whose next training is short."""
    folder = tmp_path / "run"
    shutil.copytree(smoke.folder, folder)
    config = yaml.safe_load((folder / "config.yaml").read_text())
    for section, values in FEW_STEPS.items():
        config[section] |= values
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    return folder


@pytest.fixture
def audio(run: Path, wakelark: CommandLine, tmp_path: Path) -> Path:
    """A minute or two of words that sound like the phrase, a clip of the phrase, and files that are none."""
    folder = tmp_path / "radio"
    folder.mkdir()
    clips = read_manifest(run / "corpus" / "manifest.jsonl")
    near = [clip for clip in clips if clip.kind == "near_miss" and clip.split == "train"][:40]
    write_wav(folder / "words.wav", clips_in_a_row(near, ClipReader(wakelark.cache), seed=[1]))
    phrase = next(clip for clip in clips if clip.kind == "alone" and clip.split == "test")
    shutil.copy(wakelark.cache / phrase.path, folder / "phrase.flac")
    write_wav(folder / "silent.wav", np.zeros(SAMPLE_RATE, np.float32))
    (folder / "broken.wav").write_bytes(b"RIFF")
    return folder


def digest(folder: Path) -> list[str]:
    return [hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in ("model.onnx", "model_tiny.onnx")]


def test_mine_add_and_train_again(run: Path, audio: Path, wakelark: CommandLine, tmp_path: Path) -> None:
    done = wakelark.run("mine", run, "--audio", audio, "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert {item["file"] for item in found["refused"]} == {"phrase.flac", "silent.wav", "broken.wav"}
    assert (found["recordings"], found["kept"] > 0) == (1, True)
    lines = [json.loads(line) for line in (run / "mined" / "radio" / "mined.jsonl").read_text().splitlines()]
    assert len(lines) == found["kept"] + found["quarantined"]
    assert all((run / "mined" / "radio" / line["file"]).is_file() for line in lines)

    again = wakelark.run("mine", run, "--audio", audio)
    assert again.returncode == 0, again.stderr
    assert "nothing new was found" in again.stdout
    assert [path.name for path in (run / "mined").iterdir()] == ["radio"]

    alarms = tmp_path / "alarms"
    alarms.mkdir()
    write_wav(alarms / "door.wav", probe_audio(np.random.default_rng(1), seconds=2))
    for taken in (1, 0):
        done = wakelark.run("add", run, alarms, "--as", "hard-negative", "--json")
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["taken"] == taken

    before = digest(run)
    done = wakelark.run("train", "--resume", "--out", run, "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    brought = report["facts"]["material"]
    assert brought["added"]["hard_negative"] == 1
    assert brought["mined"]["kept"] + brought["mined"]["repeated"] == found["kept"]
    assert brought["mined"]["quarantined"] == found["quarantined"]
    assert any("before it model.onnx missed" in warning for warning in report["warnings"])
    trained_on = read_manifest(run / "corpus" / "manifest.jsonl")
    assert sum(clip.kind == "mined" for clip in trained_on) == brought["mined"]["kept"]
    assert sum(clip.kind == "own_negative" and clip.hard_negative == 1 for clip in trained_on) == 1
    after = digest(run)
    assert not set(before) & set(after)

    done = wakelark.run("train", "--resume", "--out", run, "--json")
    assert json.loads(done.stdout) == report
    assert "views" not in done.stderr
    assert digest(run) == after


def test_what_cannot_be_is_said(run: Path, audio: Path, wakelark: CommandLine, tmp_path: Path) -> None:
    done = wakelark.run("add", run, audio, "--as", "hard")
    assert (done.returncode, "positive, negative, hard-negative" in done.stderr) == (2, True)
    done = wakelark.run("mine", tmp_path / "nothing", "--audio", audio)
    assert (done.returncode, "holds no run" in done.stderr) == (2, True)
    done = wakelark.run("mine", run, "--audio", tmp_path / "nothing")
    assert (done.returncode, "no such folder" in done.stderr) == (2, True)
    (run / "checkpoints" / "heads.safetensors").unlink()
    done = wakelark.run("mine", run, "--audio", audio)
    assert (done.returncode, "no trained models" in done.stderr) == (4, True)
