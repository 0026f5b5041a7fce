"""`wakelark benchmark` from end to end, with a tiny model that hears loudness beside others like it."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from wakelark.audio import SAMPLE_RATE, write_wav
from wakelark.cli import main
from wakelark.evaluation.benchmark_chart import MOST_MODELS
from wakelark.pipeline import benchmark as module
from wakelark.runtime.detector import Detector

from .judged_pair import write_pair
from .tiny_model import write_tiny_model


def sound(seconds: float, *bursts: tuple[float, float]) -> np.ndarray:
    """Faint hiss with bursts (start in seconds, level) of 0.3 s."""
    audio = np.random.default_rng(0).standard_normal(round(seconds * SAMPLE_RATE)).astype(np.float32) / 1000
    for start_s, level in bursts:
        audio[round(start_s * SAMPLE_RATE) : round((start_s + 0.3) * SAMPLE_RATE)] += level
    return audio.astype(np.float32)


@pytest.fixture(autouse=True)
def _one_short_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Costs of two seconds in one process per model: their size is not what is tested."""
    for name, value in (("LIVE_PROCESSES", 1), ("LIVE_ROUNDS", 1), ("LIVE_S", 2)):
        monkeypatch.setattr(module, name, value)


@pytest.fixture
def positives(tmp_path: Path) -> Path:
    """Levels 0.3 and 0.25 score 0.9 and 0.625, 0.05 scores 0.025; and a broken file."""
    folder = tmp_path / "positives"
    folder.mkdir()
    for name, level in (("a", 0.3), ("b", 0.3), ("c", 0.25), ("d", 0.05)):
        write_wav(folder / f"{name}.wav", sound(1.0, (0.4, level)))
    (folder / "broken.wav").write_bytes(b"no sound at all")
    return folder


@pytest.fixture
def negatives(tmp_path: Path) -> Path:
    """One event of score 0.784, one of 0.256, in a minute and a half."""
    folder = tmp_path / "negatives"
    folder.mkdir()
    write_wav(folder / "radio.wav", sound(60, (10.0, 0.28), (30.0, 0.16)))
    write_wav(folder / "quiet.wav", sound(30))
    return folder


def run(words: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stop:
        main(["benchmark", *words, "--workers", "1"])
    out = capsys.readouterr()
    return int(stop.value.code or 0), out.out, out.err


def test_two_models_on_the_same_audio(
    tmp_path: Path, positives: Path, negatives: Path, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = write_tiny_model(tmp_path / "model.onnx")
    deaf = write_tiny_model(tmp_path / "deaf.onnx", threshold=0.95, kind="accurate")
    words = [str(model), str(deaf), "--peers", "none", "--positives", str(positives), "--negatives", str(negatives)]
    words += ["--snr", "20", "--out", str(tmp_path / "out"), "--json"]
    code, out, err = run(words, capsys)
    assert code == 0, err
    result = json.loads(out)
    first, second = result["models"]
    assert (result["phrase"], result["positives"], result["positives_from"]) == ("loud noise", 4, "positives")
    assert result["hours"] == pytest.approx(90 / 3600)
    assert (first["realised"]["missed"], first["realised"]["false_alarms"]) == (1, 1)
    assert (second["realised"]["missed"], second["realised"]["false_alarms"]) == (4, 0)
    assert first["realised_noisy"]["positives"] == 4
    assert first["matched"] == second["matched"]  # the same network: only its own threshold differs
    two = first["matched"][-1]
    # Not one alarm fits into 90 s, so the threshold lies above 0.784: two of four are heard.
    assert (two["fa_per_hour_budget"], two["miss_rate"], two["supported"]) == (2.0, 0.5, False)
    assert two["hours_needed"] == pytest.approx(1.5, abs=0.01)
    assert [Path(row["file"]).name for row in result["skipped"]] == ["broken.wav"]
    assert "too few" in result["warnings"][0]
    cost = result["cost"]["models"]["wakelark model.onnx"]
    assert all(cost[name] > 0 for name in ("cpu_s_per_s", "peak_mb", "load_s", "load_cpu_s"))
    assert (result["cost"]["cpu_ratios"], result["cost"]["processes"]) == ([], 1)

    written = {path.name: path.read_text() for path in (tmp_path / "out").iterdir()}
    assert written.keys() == {"benchmark.json", "benchmark.md", "benchmark.svg"}
    assert json.loads(written["benchmark.json"]) == result
    assert ElementTree.fromstring(written["benchmark.svg"]).tag.endswith("svg")
    for text in ("50.0 % (15.0 to 85.0)", "wakelark deaf.onnx", "2/h needs 1.5 h", "20 dB", "broken.wav"):
        assert text in written["benchmark.md"]
    tables = [part.splitlines() for part in written["benchmark.md"].split("\n\n") if part.startswith("|")]
    assert [len({line.count("|") for line in table}) for table in tables] == [1, 1, 1, 1]
    assert [kind["false_alarms"] for kind in first["kinds"]] == [1]
    assert sum(kind["hours"] for kind in first["kinds"]) == pytest.approx(90 / 3600)

    code, out, _ = run([*words, "--seed", "0"], capsys)
    again = json.loads(out)
    assert {key: value for key, value in again.items() if key != "cost"} == {
        key: value for key, value in result.items() if key != "cost"
    }


def test_a_published_model_is_compared(
    tmp_path: Path, positives: Path, negatives: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    package = pytest.importorskip("pymicro_wakeword", reason="the extra bench is not installed")
    micro = Path(package.__file__).parent / "models" / "alexa.json"
    model = write_tiny_model(tmp_path / "model.onnx", phrase="Alexa")
    words = [str(model), "--positives", str(positives), "--negatives", str(negatives), "--peers", str(micro)]
    code, out, err = run(words, capsys)
    assert code == 0, err
    assert "of microWakeWord alexa.json's CPU" in out
    assert str(tmp_path / "benchmark" / "benchmark.svg") in err
    result = json.loads((tmp_path / "benchmark" / "benchmark.json").read_text())
    assert [row["family"] for row in result["models"]] == ["wakelark", "microWakeWord"]
    assert result["models"][1]["realised"]["missed"] == 4  # nobody says "alexa" there
    assert result["versions"].keys() >= {"wakelark", "pymicro-wakeword"}
    (ratio,) = result["cost"]["cpu_ratios"]
    costs = result["cost"]["models"]
    assert ratio["ratio"] == costs[ratio["model"]]["cpu_s_per_s"] / costs[ratio["peer"]]["cpu_s_per_s"]
    assert result["warnings"] == [warning for warning in result["warnings"] if "too few" in warning]


def test_a_pair_is_one_more_detector(
    tmp_path: Path, positives: Path, negatives: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny, judge = write_pair(tmp_path)
    words = [str(tiny), str(judge), "--judge", str(judge), "--peers", "none", "--json"]
    words += ["--positives", str(positives), "--negatives", str(negatives)]
    code, out, err = run(words, capsys)
    assert code == 0, err
    result = json.loads(out)
    assert [row["name"] for row in result["models"]] == [
        "wakelark model_tiny.onnx", "wakelark model.onnx", "wakelark model_tiny.onnx + model.onnx"
    ]  # fmt: skip
    pair = result["models"][2]
    assert pair["threshold"] == Detector.load(tiny, judge=judge).fires_at
    assert pair["size_bytes"] == tiny.stat().st_size + judge.stat().st_size
    assert result["cost"]["models"][pair["name"]]["cpu_s_per_s"] > 0
    code, _, err = run([str(judge), "--judge", str(judge), *words[4:]], capsys)
    assert code == 2
    assert "nothing to judge" in err


def test_a_peer_of_another_phrase_is_told(
    tmp_path: Path, positives: Path, negatives: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = write_tiny_model(tmp_path / "model.onnx")
    (tmp_path / "other").mkdir()
    other = write_tiny_model(tmp_path / "other" / "model.onnx", phrase="thunder")
    words = [str(model), "--positives", str(positives), "--negatives", str(negatives), "--peers", str(other), "--json"]
    code, out, err = run(words, capsys)
    assert code == 0, err
    result = json.loads(out)
    assert any('"thunder", not "loud noise"' in warning for warning in result["warnings"])
    names = [row["name"] for row in result["models"]]
    assert names == [f"wakelark {tmp_path.name}/model.onnx", "wakelark other/model.onnx"]


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["{model}", "{other}", "--peers", "none", "--positives", "{positives}"], 2, "the same phrase"),
        (["{model}", "--peers", "none"], 2, "--positives"),
        (["{model}", "--peers", "none", "--positives", "{positives}"], 3, "wakelark fetch"),
        (["{model}", "--peers", "none", "--peers", "auto", "--positives", "{positives}"], 2, "stand alone"),
        (["{model}", "--peers", "{positives}/broken.wav", "--positives", "{positives}"], 4, "broken.wav"),
        (["{tmp}/gone.onnx", "--positives", "{positives}"], 4, "no model file"),
        (["{model}"] * (MOST_MODELS + 1) + ["--peers", "none", "--positives", "{positives}"], 2, "too many"),
        ([], 2, "MODEL"),
    ],
)
def test_wrong_use_is_one_message_with_its_code(
    tmp_path: Path, positives: Path, cache: Path, capsys: pytest.CaptureFixture[str],
    words: list[str], code: int, message: str,
) -> None:  # fmt: skip
    places: dict[str, Any] = {
        "model": write_tiny_model(tmp_path / "model.onnx"),
        "other": write_tiny_model(tmp_path / "other.onnx", phrase="thunder"),
        "positives": positives,
        "tmp": tmp_path,
    }
    found, out, err = run([word.format(**places) for word in words], capsys)
    assert (found, out) == (code, "")
    assert message in err
    assert "Traceback" not in err
