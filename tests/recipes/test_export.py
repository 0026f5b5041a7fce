"""`wakelark export` of a finished run, by the command a user types; files that do not hold are not written."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from wakelark.export.parity import probe_audio
from wakelark.peers.tflite_file import read_signature
from wakelark.runtime.detector import Detector

from .conftest import COMMAND, CommandLine, Trained


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("exported")


@pytest.fixture(scope="module")
def exported(wakelark: CommandLine, smoke: Trained, out: Path) -> dict[str, Any]:
    """The targets of the accurate and the tiny model."""
    done = wakelark.run("export", smoke.folder, "--to", "onnx", "--to", "openwakeword", "--out", out, "--json")
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 1
    return json.loads(done.stdout)


def entry(exported: dict[str, Any], name: str) -> dict[str, Any]:
    (found,) = (entry for entry in exported["targets"] if entry["name"] == name)
    return found


def copy_of(run: Path, folder: Path) -> Path:
    """The same run elsewhere, to be damaged."""
    return shutil.copytree(run, folder / "run")


def change_weights(file: Path, part: str) -> None:
    """Make one weight of a saved network another."""
    with safe_open(file, framework="numpy") as opened:
        metadata = opened.metadata()
    tensors = load_file(file)
    (name,) = (name for name in tensors if name.endswith(part))
    tensors[name] = tensors[name] * np.float32(1.01)
    save_file(tensors, file, metadata)


def test_the_folder_holds_what_is_told(exported: dict[str, Any], out: Path) -> None:
    record = json.loads((out / "export.json").read_text())
    written = [entry for entry in exported["targets"] if entry["status"] == "written"]
    assert record["targets"] == sorted(written, key=lambda entry: entry["name"])
    told = {f"{entry['name']}/{file['name']}" for entry in written for file in entry["files"]}
    there = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    cards = {f"{name}.json" for name in told if name.startswith("onnx/")}
    assert there == told | cards | {"export.json", "EXPORT.md"}
    for entry_ in written:
        for file in entry_["files"]:
            assert file["size_bytes"] == (out / entry_["name"] / file["name"]).stat().st_size
        assert all(check["figure"] <= check["allowed"] for check in entry_["parity"])
        assert len(entry_["parity"]) > 0


def test_the_page_tells_all_of_it(exported: dict[str, Any], out: Path, smoke: Trained) -> None:
    page = (out / "EXPORT.md").read_text()
    for entry_ in exported["targets"]:
        if entry_["status"] == "written":
            assert f"## `{entry_['name']}/`" in page
            assert all(f"| `{file['name']}` |" in page for file in entry_["files"])
            assert all(note in page for note in entry_["notes"])
    realised = smoke.report["models"][0]["realised"]
    assert f"{realised['missed']} of {realised['positives']}" in page
    assert "was synthetic" in page  # a smoke run has no recordings
    assert all(item["licence"] in page for item in smoke.report["pretrained"])


def test_float_files_are_those_of_the_run(exported: dict[str, Any], out: Path, smoke: Trained) -> None:
    found = entry(exported, "onnx")
    for name in ("model.onnx", "model_tiny.onnx"):
        assert (out / "onnx" / name).read_bytes() == (smoke.folder / name).read_bytes()
        (file,) = (file for file in found["files"] if file["name"] == name)
        assert file["facts"]["opset"] == 17
        assert 0 <= file["facts"]["difference"] < 1e-4


def test_int8_files_cost_what_is_told_or_are_not_there(
    exported: dict[str, Any], out: Path, wakelark: CommandLine, smoke: Trained
) -> None:
    found = entry(exported, "onnx")
    names = {file["name"]: file for file in found["files"]}
    for name in ("model", "model_tiny"):
        file = f"{name}.int8.onnx"
        if file not in names:
            assert not (out / "onnx" / file).exists()
            assert any(note.startswith(f"{file} was not written") and "points more" in note for note in found["notes"])
            continue
        assert names[file]["size_bytes"] < 0.55 * names[f"{name}.onnx"]["size_bytes"]
        told = names[file]["facts"]["against_float"]
        assert told["missed"] <= told["missed_before"] + 1  # of two dozen clips
        command = ("evaluate", out / "onnx" / file, "--positives", smoke.folder / "corpus" / "manifest.jsonl", "--json")
        evaluated = [wakelark.run(*command, "--split", split) for split in ("dev", "test")]
        assert [done.returncode for done in evaluated] == [0, 0]
        figures = [json.loads(done.stdout) for done in evaluated]
        assert sum(figure["missed"] for figure in figures) == told["missed"]
        assert sum(figure["positives"] for figure in figures) == told["clips"]


def test_openwakeword_files_run_in_their_runtime_as_told(
    exported: dict[str, Any], out: Path, wakelark: CommandLine, smoke: Trained
) -> None:
    found = entry(exported, "openwakeword")
    assert [file["name"] for file in found["files"]] == ["alexa.tflite", "alexa.onnx"]
    assert len(found["parity"]) == 3
    told = found["files"][0]["facts"]["against_model_onnx"]
    command = ("evaluate", out / "openwakeword" / "alexa.tflite", "--json", "--split", "test")
    done = wakelark.run(*command, "--positives", smoke.folder / "corpus" / "manifest.jsonl")
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    assert (figures["model"]["phrase"], figures["threshold"]) == ("alexa", 0.5)
    assert figures["missed"] <= told["missed"] <= told["clips"] // 2  # the test clips are some of those told of
    data = (out / "openwakeword" / "alexa.tflite").read_bytes()
    signature = read_signature(data, name="alexa.tflite")
    assert signature.text == "takes float32 [1, 16, 96] and gives float32 [1, 1]"
    session = onnxruntime.InferenceSession(
        (out / "openwakeword" / "alexa.onnx").read_bytes(), providers=["CPUExecutionProvider"]
    )
    assert (session.get_inputs()[0].shape, session.get_outputs()[0].shape) == ([1, 16, 96], [1, 1])


@pytest.mark.parametrize(
    ("network", "weight", "file", "targets"),
    [
        ("student", "head.narrow.weight", "model_tiny.onnx", ["onnx"]),
        ("heads", "0.mix.weight", "model.onnx", ["onnx", "openwakeword"]),
    ],
)
def test_weights_that_are_not_those_of_the_file_are_refused(
    network: str, weight: str, file: str, targets: list[str], wakelark: CommandLine, smoke: Trained, tmp_path: Path
) -> None:
    run = copy_of(smoke.folder, tmp_path)
    change_weights(run / "checkpoints" / f"{network}.safetensors", weight)
    words = [word for target in targets for word in ("--to", target)]
    done = wakelark.run("export", run, *words, "--out", tmp_path / "out", "--json")
    assert done.returncode == 4
    found = json.loads(done.stdout)["targets"]
    assert [entry["name"] for entry in found] == targets
    for failed in found:
        assert failed["status"] == "failed"
        assert file in failed["reason"]
        assert "differs from the trained network by" in failed["reason"]
        assert "allowed: " in failed["reason"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["EXPORT.md", "export.json"]


def test_a_damaged_file_is_refused(wakelark: CommandLine, smoke: Trained, tmp_path: Path) -> None:
    run = copy_of(smoke.folder, tmp_path)
    model = onnx.load(run / "model.onnx")
    heaviest = max(model.graph.initializer, key=lambda constant: len(constant.raw_data))
    values = onnx.numpy_helper.to_array(heaviest).copy()
    heaviest.CopyFrom(onnx.numpy_helper.from_array(values * np.float32(1.02), heaviest.name))
    onnx.save(model, run / "model.onnx")
    done = wakelark.run("export", run, "--to", "onnx", "--out", tmp_path / "out")
    assert done.returncode == 4
    assert "differs from the trained network by" in done.stdout
    assert not (tmp_path / "out" / "onnx").exists()


def test_what_cannot_be_is_refused_before_anything_is_written(
    wakelark: CommandLine, smoke: Trained, tmp_path: Path
) -> None:
    unknown = wakelark.run("export", smoke.folder, "--to", "alexa", "--out", tmp_path / "out")
    assert (unknown.returncode, "not a target" in unknown.stderr) == (2, True)
    nothing = wakelark.run("export", tmp_path, "--out", tmp_path / "out")
    assert (nothing.returncode, "holds no run" in nothing.stderr) == (2, True)
    unfinished = copy_of(smoke.folder, tmp_path)
    (unfinished / "report.json").unlink()
    done = wakelark.run("export", unfinished, "--out", tmp_path / "out")
    assert (done.returncode, "--resume" in done.stderr) == (4, True)
    (tmp_path / "mine" / "onnx").mkdir(parents=True)
    foreign = wakelark.run("export", smoke.folder, "--to", "onnx", "--out", tmp_path / "mine")
    assert (foreign.returncode, "no export wrote it" in foreign.stderr) == (2, True)
    assert not (tmp_path / "out").exists()
    assert list((tmp_path / "mine").rglob("*")) == [tmp_path / "mine" / "onnx"]


def test_a_run_without_a_student_for_esphome_says_how_to_get_one(
    wakelark: CommandLine, smoke: Trained, tmp_path: Path
) -> None:
    run = copy_of(smoke.folder, tmp_path)
    (run / "model_micro.safetensors").unlink(missing_ok=True)
    done = wakelark.run("export", run, "--to", "esphome", "--out", tmp_path / "out")
    assert done.returncode == 2
    assert f"wakelark train --resume --out {run} --for esphome" in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(shutil.which("chromium") is None, reason="no Chromium: the web target cannot be tried")
def test_the_page_was_tried_in_a_browser(wakelark: CommandLine, smoke: Trained, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = wakelark.run("export", smoke.folder, "--to", "web", "--out", out, "--json")
    assert done.returncode == 0, done.stderr
    found = entry(json.loads(done.stdout), "web")
    assert found["status"] == "written", found
    for name in ("model_tiny.onnx", "model.onnx"):
        assert (out / "web" / name).read_bytes() == (smoke.folder / name).read_bytes()
    for words in ("model_tiny.onnx, a recording", "model.onnx, a recording", "microphone: largest"):
        assert any(words in check["what"] for check in found["parity"])


def test_without_a_browser_no_page_is_written(wakelark: CommandLine, smoke: Trained, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    environment = {**wakelark.environment, "PATH": str(tmp_path / "empty")}
    command = [*COMMAND, "export", str(smoke.folder), "--to", "web", "--out", str(tmp_path / "out")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 5
    assert "apt install chromium" in done.stderr
    assert not (tmp_path / "out").exists()


def test_exporting_again_replaces_what_is_there(
    wakelark: CommandLine, smoke: Trained, exported: dict[str, Any], out: Path
) -> None:
    (out / "onnx" / "stale.onnx").write_bytes(b"of an earlier run")
    done = wakelark.run("export", smoke.folder, "--to", "onnx", "--out", out, "--json")
    assert done.returncode == 0, done.stderr
    again = json.loads(done.stdout)
    assert [entry["name"] for entry in again["targets"]] == ["onnx"]
    assert entry(again, "onnx") == entry(exported, "onnx")
    assert not (out / "onnx" / "stale.onnx").exists()
    assert not [path for path in out.iterdir() if path.name.startswith(".")]


def test_int8_scores_do_not_depend_on_the_chunks(exported: dict[str, Any], out: Path) -> None:
    audio = probe_audio(np.random.default_rng(3), seconds=6)
    for file in entry(exported, "onnx")["files"]:
        if file["facts"]["weights"] == "int8":
            whole, pieces = (Detector.load(out / "onnx" / file["name"]) for _ in range(2))
            parts = [score for part in np.array_split(audio, 37) for score in pieces.score(part)]
            np.testing.assert_allclose(parts, whole.score(audio), atol=1e-5)
