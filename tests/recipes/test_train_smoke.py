"""From a phrase to two models, by the command a user types; then everything a user does with them."""

from __future__ import annotations

import csv
import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from wakelark.audio import SAMPLE_RATE, read_audio, to_int16
from wakelark.cli.detect import TAIL_S
from wakelark.config_file import load_config
from wakelark.corpus.manifest import read_manifest
from wakelark.features.micro import micro
from wakelark.model_card import ModelCard
from wakelark.pipeline.micro_model import load_micro
from wakelark.runtime.detector import Detector

from .conftest import CommandLine, Trained, told_apart

MODELS = ("model.onnx", "model_tiny.onnx")
REPORT_KEYS = {
    "phrase", "preset", "created", "wakelark_version", "verdict", "models", "hours", "stages", "distillation", "corpus",
    "provenance", "warnings", "facts",
}  # fmt: skip
STAGES = ["corpus", "health", "views", "teacher", "mining", "scouts", "student", "micro", "export"]

HEAR = """
import json, sys
sys.modules.update(dict.fromkeys(["torch", "onnx", "pydantic", "yaml", "filelock"]))  # importing them fails
from wakelark import Detector
from wakelark.audio import read_audio
import numpy as np
heard = {}
for model in sys.argv[1:3]:
    detector = Detector.load(model)
    for path in sys.argv[3:]:
        audio = np.concatenate([np.zeros(24000), read_audio(path, max_seconds=None), np.zeros(16000)])
        detector.reset()
        heard.setdefault(model, {})[path] = max(detector.score(audio))
print(json.dumps(heard))
"""


def digests(folder: Path) -> dict[str, str]:
    return {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in MODELS}


def recordings(folder: Path, phrase: str, count: int) -> list[Path]:
    """Some development recordings of real people, spread over all of them."""
    with open(folder / "manifest.csv", newline="", encoding="utf-8") as file:
        files = [row["file"] for row in csv.DictReader(file) if row["phrase"] == phrase and row["split"] == "dev"]
    return [folder / name for name in files[:: max(1, len(files) // count)][:count]]


def test_everything_that_is_promised_is_there(smoke: Trained) -> None:
    promised = [*MODELS, *(f"{name}.json" for name in MODELS), "config.yaml", "report.json", "report.html"]
    promised += ["model_micro.safetensors", "model_micro.json", "micro_calibration.npz"]
    promised += ["corpus/manifest.jsonl", "corpus/mined.jsonl", "checkpoints", "metrics.jsonl", "stages.json"]
    assert [name for name in promised if not (smoke.folder / name).exists()] == []
    assert [path.name for path in smoke.folder.rglob(".tmp-*")] == []


def test_the_report_is_one_object_and_the_file(smoke: Trained) -> None:
    assert smoke.report.keys() >= REPORT_KEYS
    assert json.loads((smoke.folder / "report.json").read_text()) == smoke.report
    assert (smoke.report["phrase"], smoke.report["preset"]) == ("alexa", "smoke")
    assert [model["file"] for model in smoke.report["models"]] == list(MODELS)
    assert list(smoke.report["stages"]) == STAGES
    assert smoke.report["distillation"]["share"] == 1.0
    assert any("synthetic" in warning for warning in smoke.report["warnings"])
    page = (smoke.folder / "report.html").read_text()
    assert "alexa" in page
    assert 'src="http' not in page  # one file, complete in itself


def test_progress_has_the_time_left_and_is_no_flood(smoke: Trained) -> None:
    lines = smoke.progress.splitlines()
    assert len(lines) < 120
    for stage in ("speech", "views", "teacher", "student"):
        assert any(line.startswith(stage) for line in lines), stage
    assert not any(line.endswith(": 0") for line in lines)
    assert "\x1b" not in smoke.progress


def test_the_configuration_can_be_read_again(smoke: Trained) -> None:
    config = load_config(smoke.folder / "config.yaml", overrides=[], preset=None)
    assert (config.phrase, config.preset, config.corpus.recordings) == ("alexa", "smoke", "none")


def test_no_voice_is_in_two_splits(smoke: Trained) -> None:
    clips = read_manifest(smoke.folder / "corpus" / "manifest.jsonl")
    split_of: dict[str, set[str]] = {}
    for clip in clips:
        split_of.setdefault(clip.voice.split("@")[0], set()).add(clip.split)
    assert {voice: splits for voice, splits in split_of.items() if len(splits) > 1} == {}
    assert {clip.split for clip in clips if clip.label == 1} == {"train", "dev", "test"}
    assert any(clip.hard_negative for clip in clips)
    assert all(clip.licence and clip.source for clip in clips)


def test_metrics_have_a_line_per_epoch(smoke: Trained) -> None:
    lines = [json.loads(line) for line in (smoke.folder / "metrics.jsonl").read_text().splitlines()]
    steps = [line["step"] for line in lines if line["stage"].startswith("student")]
    assert steps == [80, 160, 240]
    assert all(line["distilled_share"] == 1.0 for line in lines if line["stage"].startswith("student"))


def test_a_student_for_devices_comes_with_it(smoke: Trained, wakelark: CommandLine) -> None:
    """Trained in the same run, kept with all that its export needs, and better than chance on voices held out."""
    run = load_micro(smoke.folder)
    assert (run.card.phrase, run.card.preset("normal").threshold, run.student.step_samples) == ("alexa", 0.5, 480)
    assert {source.source for source in run.card.provenance}
    assert run.calibration.shape[1] == 40
    assert len(run.calibration) >= 60 * 100  # a minute
    assert 0 <= run.calibration.min() < run.calibration.max() <= 26.2
    lines = [json.loads(line) for line in (smoke.folder / "metrics.jsonl").read_text().splitlines()]
    taught = [line["distilled_share"] for line in lines if line["stage"] == "micro/0"]
    assert taught == [1.0, 1.0]
    peaks: dict[int, list[float]] = {0: [], 1: []}
    for clip in read_manifest(smoke.folder / "corpus" / "manifest.jsonl"):
        if clip.label == 1 or clip.kind == "sentence":
            sound = np.pad(to_int16(read_audio(wakelark.cache / clip.path, max_seconds=None)), (32_000, 8_000))
            with torch.inference_mode():
                peaks[clip.label].append(float(run.student(torch.from_numpy(micro(sound).T.copy())[None]).max()))
    assert told_apart(peaks[1], peaks[0]) >= 0.75


@pytest.mark.parametrize("name", MODELS)
def test_the_card_says_where_the_model_comes_from(smoke: Trained, name: str) -> None:
    card = ModelCard.from_json((smoke.folder / f"{name}.json").read_text())
    assert card.phrase == "alexa"
    assert 0 < card.threshold <= 1
    assert {source.source for source in card.provenance}
    assert all(source.licence for source in card.provenance)


def loudest(detector: Detector, path: Path) -> float:
    """The highest smoothed score in a file, heard as `wakelark detect` hears it."""
    detector.reset()
    audio = np.concatenate([read_audio(path, max_seconds=None), np.zeros(round(TAIL_S * SAMPLE_RATE), np.float32)])
    step = detector.card.step_samples
    scores = []
    for start in range(0, len(audio) - step + 1, step):
        detector.process(audio[start : start + step])
        scores.append(detector.last_score)
    return max(scores)


@pytest.mark.parametrize("name", MODELS)
def test_the_phrase_is_told_from_what_the_same_voices_say_else(
    smoke: Trained, wakelark: CommandLine, name: str
) -> None:
    """Two minutes teach a model its own voices, and some of what it takes for those that were held out; not yet what
    sounds almost like the phrase."""
    detector = Detector.load(smoke.folder / name)
    clips = read_manifest(smoke.folder / "corpus" / "manifest.jsonl")
    scores = {clip.id: loudest(detector, wakelark.cache / clip.path) for clip in clips}
    for who, is_heard, least in (("trained on", True, 0.85), ("held out", False, 0.65)):
        some = [clip for clip in clips if (clip.split == "train") == is_heard]
        positives = [scores[clip.id] for clip in some if clip.label == 1]
        sentences = [scores[clip.id] for clip in some if clip.kind == "sentence"]
        assert told_apart(positives, sentences) >= least, f"voices that were {who}"


def test_detect_finds_what_reaches_the_threshold(smoke: Trained, wakelark: CommandLine) -> None:
    clips = read_manifest(smoke.folder / "corpus" / "manifest.jsonl")
    files = [wakelark.cache / clip.path for clip in clips if clip.label == 1 and clip.split != "train"]
    detector = Detector.load(smoke.folder / "model.onnx")
    scores = {str(path): loudest(detector, path) for path in files}
    lower, upper = sorted(scores.values())[len(files) // 2 - 1 :][:2]
    threshold = (lower + upper) / 2
    words = ["--threshold", repr(threshold), "--json"]
    done = wakelark.run("detect", smoke.folder / "model.onnx", *files, *words)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["threshold"] == threshold
    assert {hit["file"] for hit in result["detections"]} == {file for file, score in scores.items() if score >= upper}
    for hit in result["detections"]:
        assert hit["phrase"] == "alexa"
        assert threshold <= hit["score"] + 1e-4 <= scores[hit["file"]] + 2e-4
        assert 0 < hit["time_s"] < 10
    assert (result["skipped"], result["seconds"] > 0) == ([], True)


def test_both_models_hear_real_people_without_torch(smoke: Trained, real_recordings: Path) -> None:
    alexa = recordings(real_recordings, "alexa", 20)
    other = recordings(real_recordings, "snowboy", 10) + recordings(real_recordings, "smart_mirror", 10)
    models = [str(smoke.folder / name) for name in MODELS]
    command = [sys.executable, "-c", HEAR, *models, *map(str, alexa + other)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    heard = json.loads(done.stdout)
    # A student of 240 steps was seen between 0.96 and 1.0, by the speech that was made for the run; chance is 0.5.
    for model, least in zip(models, (0.9, 0.75), strict=True):
        scores = heard[model]
        assert told_apart([scores[str(path)] for path in alexa], [scores[str(path)] for path in other]) >= least, model


def test_evaluate(smoke: Trained, wakelark: CommandLine, real_recordings: Path, tmp_path: Path) -> None:
    for kind, phrase in (("positives", "alexa"), ("negatives", "snowboy")):
        (tmp_path / kind).mkdir()
        for path in recordings(real_recordings, phrase, 6):
            shutil.copy(path, tmp_path / kind)
    words = ["--positives", tmp_path / "positives", "--negatives", tmp_path / "negatives", "--json"]
    done = wakelark.run("evaluate", smoke.folder / "model.onnx", *words)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["positives"] == len(result["files"]) == 6
    assert result["missed"] == sum(file["score"] < result["threshold"] for file in result["files"])
    assert result["missed"] == sum(not file["detected"] for file in result["files"])
    assert result["hours"] > 0
    missed = [point["miss_rate"] for point in result["operating_points"]]
    assert missed == sorted(missed, reverse=True), "who allows more false alarms misses no more"


def test_an_existing_run_is_refused_with_the_command_to_continue(smoke: Trained, wakelark: CommandLine) -> None:
    before = digests(smoke.folder)
    done = wakelark.run("train", "alexa", "--preset", "smoke", "--out", smoke.folder)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"wakelark train --resume --out {smoke.folder}" in done.stderr
    assert digests(smoke.folder) == before


def test_resuming_a_finished_run_changes_nothing(smoke: Trained, wakelark: CommandLine, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(smoke.folder, folder)
    done = wakelark.run("train", "--resume", "--out", folder, "--json")
    assert done.returncode == 0, done.stderr
    assert digests(folder) == digests(smoke.folder)
    assert "student: " not in done.stderr  # nothing was trained again
    assert json.loads(done.stdout)["models"] == smoke.report["models"]
