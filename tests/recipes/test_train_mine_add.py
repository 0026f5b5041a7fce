"""A finished run hears the user's audio, gets the user's clips, and is trained anew: with what helps, once."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from wakelark.audio import SAMPLE_RATE, write_wav
from wakelark.corpus.manifest import read_manifest
from wakelark.export.parity import probe_audio
from wakelark.pipeline.development import clips_in_a_row
from wakelark.training.clip_audio import ClipReader

from .conftest import TIMEOUT_S, CommandLine, Trained

HARDLY_TRAINED = {"teacher": {"steps": 2}, "training": {"steps": 2, "steps_per_epoch": 2}}
"""What such a training makes misses more than what it is compared with, on any processor."""
NETWORKS = ("checkpoints/heads.safetensors", "checkpoints/student.safetensors")
MODELS = ("model.onnx", "model.onnx.json", "model_tiny.onnx", "model_tiny.onnx.json", *NETWORKS)


@pytest.fixture
def run(smoke: Trained, tmp_path: Path) -> Path:
    """A copy of the finished run whose next training is short, and which finds something to mine in any case."""
    folder = tmp_path / "run"
    shutil.copytree(smoke.folder, folder)
    config = yaml.safe_load((folder / "config.yaml").read_text())
    for section, values in (HARDLY_TRAINED | {"mining": {"score_min": 1e-6}}).items():
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


def digests(folder: Path) -> list[str]:
    return [hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in MODELS]


def mined(run: Path, audio: Path, wakelark: CommandLine) -> dict[str, Any]:
    done = wakelark.run("mine", run, "--audio", audio, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_mined_sounds_that_do_not_help_are_undone(run: Path, audio: Path, wakelark: CommandLine) -> None:
    found = mined(run, audio, wakelark)
    assert {item["file"] for item in found["refused"]} == {"phrase.flac", "silent.wav", "broken.wav"}
    assert (found["recordings"], found["kept"] > 0) == (1, True)
    lines = [json.loads(line) for line in (run / "mined" / "radio" / "mined.jsonl").read_text().splitlines()]
    assert len(lines) == found["kept"] + found["quarantined"]
    assert all((run / "mined" / "radio" / line["file"]).is_file() for line in lines)

    again = wakelark.run("mine", run, "--audio", audio)
    assert again.returncode == 0, again.stderr
    assert "nothing new was found" in again.stdout
    assert [path.name for path in (run / "mined").iterdir()] == ["radio"]

    before = digests(run)
    done = wakelark.run("train", "--resume", "--out", run)
    assert done.returncode == 0, done.stderr
    assert "views" in done.stderr, "it was trained"
    assert digests(run) == before
    assert done.stdout.count("UNDONE, the earlier model stays") == 2
    report = json.loads((run / "report.json").read_text())
    verdicts = report["facts"]["retraining"]
    assert [(v["model"], v["kept"]) for v in verdicts] == [("accurate", False), ("tiny", False)]
    assert all(v["figure_after"] >= v["figure_before"] and v["on_trial"] > 0 for v in verdicts)
    for verdict in verdicts:
        figures = (f"{100 * verdict[name]:.2f} %" for name in ("figure_after", "figure_before"))
        (said,) = [text for text in report["warnings"] if f"earlier {verdict['model']} model stays" in text]
        assert all(figure in said for figure in figures)
    assert not [row for row in report["corpus"] if row["kind"] == "mined"], "no model has learned them"
    brought = report["facts"]["material"]["mined"]
    assert brought["kept"] + brought["repeated"] == found["kept"], "they stay listed"

    done = wakelark.run("train", "--resume", "--out", run, "--json")
    assert json.loads(done.stdout) == report
    assert "views" not in done.stderr


def test_what_is_added_by_hand_is_trained_on_whatever_it_does(
    run: Path, audio: Path, wakelark: CommandLine, tmp_path: Path
) -> None:
    """A door and one of the mined sounds are added by hand, the other sounds stay on trial: two trainings, of which the
    first is interrupted."""
    assert mined(run, audio, wakelark)["kept"] > 1
    alarms = tmp_path / "alarms"
    alarms.mkdir()
    write_wav(alarms / "door.wav", probe_audio(np.random.default_rng(1), seconds=2))
    shutil.copy(next((run / "mined" / "radio").glob("*-keep.wav")), alarms)
    for taken in (2, 0):
        done = wakelark.run("add", run, alarms, "--as", "hard-negative", "--json")
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["taken"] == taken

    before = digests(run)
    with wakelark.start("train", "--resume", "--out", run) as process:
        assert process.stderr is not None
        next(line for line in process.stderr if line.startswith("student: "))
        process.terminate()
        process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 143
    done = wakelark.run("train", "--resume", "--out", run, "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    verdicts = report["facts"]["retraining"]
    assert [(v["model"], v["on_trial"] > 0) for v in verdicts] == [
        ("accurate", False), ("tiny", False), ("accurate", True), ("tiny", True),
    ]  # fmt: skip
    assert all(verdict["kept"] for verdict in verdicts[:2])
    assert all(v["kept"] == (v["on_trial"] == 0 or v["figure_after"] < v["figure_before"]) for v in verdicts)
    assert len([text for text in report["warnings"] if "is your decision" in text]) == 2
    assert any("before it model.onnx missed" in warning for warning in report["warnings"])
    after = digests(run)
    assert not set(before) & set(after)
    brought = report["facts"]["material"]
    assert (brought["added"]["hard_negative"], brought["mined"]["repeated"] > 0) == (2, True)
    trained_on = read_manifest(run / "corpus" / "manifest.jsonl")
    assert sum(clip.kind == "mined" for clip in trained_on) == brought["mined"]["kept"] == verdicts[2]["on_trial"]
    assert sum(clip.kind == "own_negative" and clip.hard_negative == 1 for clip in trained_on) == 2

    # Once more, as if the report had not been written: the same sentence, the same models.
    (run / "report.html").unlink()
    done = wakelark.run("train", "--resume", "--out", run, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["facts"]["retraining"] == verdicts
    assert digests(run) == after


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
