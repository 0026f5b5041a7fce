"""`wakelark detect`, `score` and `evaluate` as a user runs them, with a tiny model that hears loudness."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from wakelark.audio import SAMPLE_RATE, to_float, to_int16, write_wav
from wakelark.cli import main
from wakelark.corpus.streams import Piece, write_stream
from wakelark.pipeline.breakdown import conditions
from wakelark.pipeline.evaluate import EvaluationRequest, evaluate

from .judged_pair import judge_bytes, write_pair
from .tiny_model import STEP, expected_scores, write_tiny_model

EVALUATE_KEYS = {
    "positives", "missed", "miss_rate", "miss_rate_ci", "hours", "false_alarms", "fa_per_hour", "fa_per_hour_ci",
    "threshold", "operating_points", "groups", "files",
}  # fmt: skip


def sound(seconds: float, *bursts_s: float, level: float = 0.5) -> np.ndarray:
    audio = np.random.default_rng(0).standard_normal(round(seconds * SAMPLE_RATE)).astype(np.float32) * np.float32(
        0.001
    )
    for start_s in bursts_s:
        audio[round(start_s * SAMPLE_RATE) : round((start_s + 0.3) * SAMPLE_RATE)] += level
    return audio


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_tiny_model(tmp_path / "model.onnx")


@pytest.fixture
def positives(tmp_path: Path) -> Path:
    """Three loud clips of two people, one too faint to be heard, and a broken file."""
    folder = tmp_path / "positives"
    for speaker, name, level in (("ann", "1", 0.5), ("ann", "2", 0.5), ("bob", "3", 0.5), ("bob", "4", 0.05)):
        (folder / speaker).mkdir(parents=True, exist_ok=True)
        write_wav(folder / speaker / f"{name}.wav", sound(1.0, 0.4, level=level))
    (folder / "broken.wav").write_bytes(b"no sound at all")
    return folder


@pytest.fixture
def negatives(tmp_path: Path) -> Path:
    folder = tmp_path / "negatives"
    folder.mkdir()
    write_wav(folder / "radio.wav", sound(60, 10.0, 30.0, level=0.3))  # two false alarms at 0.3**2 * 10 = 0.9
    write_wav(folder / "quiet.wav", sound(30))
    return folder


def run(words: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stop:
        main(words)
    out = capsys.readouterr()
    return int(stop.value.code or 0), out.out, out.err


def run_json(words: list[str], capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    code, out, err = run([*words, "--json"], capsys)
    assert code == 0, err
    assert len(out.strip().splitlines()) == 1
    return json.loads(out)


def test_evaluate_counts_by_hand(
    model: Path, positives: Path, negatives: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["evaluate", str(model), "--positives", str(positives), "--negatives", str(negatives), "--workers", "1"]
    result = run_json(words, capsys)
    assert result.keys() >= EVALUATE_KEYS
    assert (result["positives"], result["missed"], result["miss_rate"]) == (4, 1, 0.25)
    assert (result["false_alarms"], result["threshold"]) == (2, 0.5)
    assert result["hours"] == pytest.approx(90 / 3600)
    assert result["fa_per_hour"] == pytest.approx(80)
    low, high = result["miss_rate_ci"]
    assert low < 0.25 < high
    assert result["skipped"] == [{"file": str(positives / "broken.wav"), "reason": "unreadable"}]
    groups = {row["name"]: (row["positives"], row["missed"]) for row in result["groups"]["positives"]}
    assert groups == {"ann": (2, 0), "bob": (2, 1)}
    assert {row["name"]: row["false_alarms"] for row in result["groups"]["negatives"]} == {
        "quiet.wav": 0,
        "radio.wav": 2,
    }
    half = next(point for point in result["operating_points"] if point["fa_per_hour_budget"] == 0.5)
    assert half["threshold"] > 0.5  # not one alarm fits into 90 seconds
    assert half["miss_rate"] == 0.25
    assert [file["detected"] for file in result["files"]] == [True, True, True, False]
    assert not any(point["supported"] for point in result["operating_points"])
    assert half["hours_needed"] == pytest.approx(5.99, abs=0.01)
    assert half["claim"] is None
    assert any("0.03 hours cannot show that 0.1, 0.2, 0.5, 1, 2 false" in warning for warning in result["warnings"])


def test_evaluate_is_the_same_with_any_number_of_workers_and_repeats(
    model: Path, positives: Path, negatives: Path
) -> None:
    for number in range(26):  # more than one task, so that a pool is started
        write_wav(positives / f"more{number}.wav", sound(0.5, 0.1, level=number / 50))

    def result(workers: int, seed: int) -> dict[str, object]:
        request = EvaluationRequest(
            model=model,
            positives=positives,
            negatives=negatives,
            conditions=conditions([5.0, 20.0], [3.0]),
            near_misses=positives / "bob",
            noise=negatives,
            workers=workers,
            seed=seed,
        )
        return evaluate(request, progress=lambda done, total, what: None)

    assert result(1, 0) == result(2, 0)
    assert result(1, 0)["files"] != result(1, 1)["files"]


def test_evaluate_uses_the_test_recordings_of_the_cache(
    model: Path, positives: Path, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pieces = [Piece("first.wav", "a", to_int16(sound(60))), Piece("second.wav", "b", to_int16(sound(60, 5.0)))]
    for role, name in (("test", "qabcs-data"), ("train", "klettres-data")):
        write_stream(
            pieces, name=name, path=f"recordings/{name}.npy", role=role, kind="speech", licence="x", package=name,
            version="1", skipped=[],
        )  # fmt: skip
    result = run_json(["evaluate", str(model), "--positives", str(positives)], capsys)
    assert result["hours"] == pytest.approx(120 / 3600)
    assert [row["name"] for row in result["groups"]["negatives"]] == ["qabcs-data"]
    assert result["false_alarms"] == 1


def test_without_any_negatives_misses_are_still_told(
    model: Path, positives: Path, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = run_json(["evaluate", str(model), "--positives", str(positives)], capsys)
    assert (result["missed"], result["hours"], result["fa_per_hour"]) == (1, 0.0, None)
    assert "wakelark fetch" in result["warnings"][0]


def test_a_list_of_files_is_a_split(
    model: Path, positives: Path, negatives: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (positives / "test.txt").write_text("# test split\nann/1.wav\n\nbob/4.wav\nbob/gone.wav\n")
    words = ["evaluate", str(model), "--positives", str(positives / "test.txt"), "--negatives", str(negatives)]
    result = run_json(words, capsys)
    assert [file["file"] for file in result["files"]] == ["ann/1.wav", "bob/4.wav"]
    assert [row["reason"] for row in result["skipped"]] == ["missing"]


def test_evaluate_for_people_says_both_rates(
    model: Path, positives: Path, negatives: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run(["evaluate", str(model), "--positives", str(positives), "--negatives", str(negatives)], capsys)
    assert code == 0
    assert "missed 1 of 4: 25.0%" in out
    assert "2 false alarms in 0.03 hours" in out
    assert "broken.wav" in err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["{tmp}/gone.onnx", "--positives", "{positives}"], 4, "no model file"),
        (["{model}", "--positives", "{tmp}/gone"], 3, "neither a folder nor a list"),
        (["{model}", "--positives", "{empty}"], 3, "no audio files"),
        (["{model}", "--positives", "{model}"], 3, "not a text file"),
        (["{model}", "--positives", "{positives}", "--noise", "{negatives}"], 2, "--snr"),
        (["{model}", "--positives", "{positives}", "--noise", "{negatives}", "--snr", "nan"], 2, "--snr nan"),
        (["{model}", "--positives", "{positives}", "--threshold", "2"], 2, "threshold"),
        (["{model}", "--positives", "{positives}", "--negatives", "{empty}"], 3, "no audio files"),
        (["{model}"], 2, "positives"),
    ],
)
def test_wrong_use_is_one_message_with_its_code(
    model: Path, positives: Path, negatives: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    arguments: list[str], code: int, message: str,
) -> None:  # fmt: skip
    (tmp_path / "empty").mkdir()
    places = {
        "tmp": tmp_path, "model": model, "positives": positives, "negatives": negatives, "empty": tmp_path / "empty",
    }  # fmt: skip
    found, out, err = run(["evaluate", *(word.format(**places) for word in arguments)], capsys)
    assert (found, out) == (code, "")
    assert message in err
    assert "Traceback" not in err


def test_detect_finds_the_phrase_at_the_end_of_a_file(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_wav(tmp_path / "one.wav", sound(5, 2.0))
    write_wav(tmp_path / "end.wav", sound(3, 2.7))
    write_wav(tmp_path / "none.wav", sound(3))
    (tmp_path / "broken.wav").write_bytes(b"RIFF")
    names = [str(tmp_path / f"{name}.wav") for name in ("one", "end", "none", "broken")]
    result = run_json(["detect", str(model), *names], capsys)
    assert [Path(hit["file"]).name for hit in result["detections"]] == ["one.wav", "end.wav"]
    assert result["detections"][0]["time_s"] == pytest.approx(2.1, abs=0.1)
    assert result["detections"][0].keys() == {"file", "time_s", "score", "phrase"}
    assert [Path(row["file"]).name for row in result["skipped"]] == ["broken.wav"]
    assert run_json(["detect", str(model), "--threshold", "1.0", names[0]], capsys)["threshold"] == 1.0
    code, out, _ = run(["detect", str(model), names[2]], capsys)
    assert (code, "not heard" in out) == (0, True)
    assert run(["detect", str(model), names[3]], capsys)[0] == 3


def test_score_gives_the_raw_scores(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    audio = to_float(to_int16(sound(2, 1.0)))
    write_wav(tmp_path / "one.wav", audio)
    result = run_json(["score", str(model), str(tmp_path / "one.wav")], capsys)
    assert result["step_s"] == STEP / SAMPLE_RATE
    assert result["scores"] == pytest.approx(expected_scores(audio), abs=1e-6)
    code, out, _ = run(["score", str(model), str(tmp_path / "one.wav")], capsys)
    assert (code, len(out.splitlines())) == (0, 50)


def test_real_recordings_are_read(model: Path, real_recordings: Path) -> None:
    request = EvaluationRequest(model=model, positives=real_recordings / "alexa", negatives=real_recordings / "alexa")
    result = evaluate(request, progress=lambda done, total, what: None)
    assert result["positives"] == 315
    assert result["skipped"] == []


def test_a_judge_is_measured_with_the_model_it_checks(
    tmp_path: Path, positives: Path, negatives: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny, judge = write_pair(tmp_path)
    words = ["evaluate", str(tiny), "--positives", str(positives), "--negatives", str(negatives), "--workers", "1"]
    alone, both = run_json(words, capsys), run_json([*words, "--judge", str(judge)], capsys)
    assert both.keys() == alone.keys()
    assert (alone["judge"], alone["threshold"], both["threshold"]) == (None, 0.5, 0.4)
    assert both["judge"]["is_known"]
    assert both["judge"]["wake_threshold"] == 0.1
    assert both["judge"]["wakes_per_hour"] == pytest.approx(2 / (90 / 3600))
    assert 0 < both["judge"]["heard_share"] < 0.1
    counts = [both[key] for key in ("missed", "false_alarms")]
    strict = run_json([*words, "--judge", str(judge), "--preset", "strict"], capsys)
    assert strict["threshold"] == 0.6
    assert all(count <= more for count, more in zip([strict["false_alarms"]], counts[1:], strict=True))
    chosen = run_json([*words, "--judge", str(judge), "--threshold", "0.95", "--judge-threshold", "0.01"], capsys)
    assert (chosen["judge"]["wake_threshold"], chosen["threshold"]) == (0.95, 0.01)
    _, out, _ = run([*words, "--judge", str(judge)], capsys)
    assert "the judge was woken 80.0 times per hour" in out


def test_a_foreign_judge_is_said(
    tmp_path: Path, positives: Path, negatives: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny, judge = write_pair(tmp_path)
    judge.write_bytes(judge_bytes(gain=6.0))
    words = ["--judge", str(judge), "--json"]
    code, out, err = run(
        ["evaluate", str(tiny), "--positives", str(positives), "--negatives", str(negatives), *words], capsys
    )
    assert (code, json.loads(out)["judge"]["is_known"]) == (0, False)
    assert "not tried with this judge" in err
    code, out, err = run(["detect", str(tiny), str(negatives / "radio.wav"), *words], capsys)
    assert (code, json.loads(out)["threshold"]) == (0, 0.5)
    assert "not tried with this judge" in err


def test_detect_takes_presets_and_a_judge(tmp_path: Path, negatives: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tiny, judge = write_pair(tmp_path)
    words = ["detect", str(tiny), str(negatives / "radio.wav")]
    for preset, threshold, count in (("strict", 0.7, 2), ("sensitive", 0.3, 2)):
        result = run_json([*words, "--preset", preset], capsys)
        assert (result["threshold"], len(result["detections"])) == (threshold, count)
    result = run_json([*words, "--judge", str(judge)], capsys)
    assert (result["threshold"], len(result["detections"])) == (0.4, 2)
    code, _, err = run([*words, "--preset", "eager"], capsys)
    assert code == 2
    assert "strict, normal, sensitive" in err
    scores = run_json(["score", str(tiny), str(negatives / "quiet.wav")], capsys)
    assert scores["presets"] == {"strict": 0.7, "normal": 0.5, "sensitive": 0.3}
