"""`doctor` and `fetch` as a user calls them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from wakelark.cli import VERBS, main
from wakelark.cli.health import check_config, check_disk, check_engines, check_packages, check_recordings, examine
from wakelark.cli.train import announce_fetch


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int | str | None, str, str]:
    with pytest.raises(SystemExit) as stop:
        main(list(words))
    printed = capsys.readouterr()
    return stop.value.code, printed.out, printed.err


def test_json_is_one_object_with_every_check(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "doctor", "--json")
    data = json.loads(out)
    assert code == (0 if data["ok"] else 5)
    names = [check["name"] for check in data["checks"]]
    assert names[:2] == ["python", "packages"]
    assert {"torch", "recordings", "cache", "microphone", "voices: espeak"} <= set(names)
    assert {check["status"] for check in data["checks"]} <= {"ok", "warn", "fail"}
    assert [c for c in data["checks"] if c["status"] != "ok" and not c["remedy"]] == []


def test_text_says_what_to_do(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = run(capsys, "doctor")
    assert "warn  recordings: none fetched yet\n      -> wakelark fetch" in out


def test_a_wrong_configuration_fails_with_its_message(
    cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "c.yaml").write_text("lerning_rate: 1\n")
    code, out, _ = run(capsys, "doctor", "--config", str(tmp_path / "c.yaml"))
    assert code == 5
    assert "lerning_rate" in out


def test_a_cache_that_cannot_be_written_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("WAKELARK_CACHE", str(tmp_path / "file" / "cache"))
    (check,) = check_disk()
    assert (check.status, bool(check.remedy)) == ("fail", True)


def test_packages_come_from_the_installed_metadata() -> None:
    checks = {check.name: check for check in check_packages()}
    assert checks["packages"].status == "ok"
    assert "numpy" in checks["packages"].detail
    assert "torch" in checks["packages [train]"].detail


def test_recordings_of_an_empty_cache(cache: Path) -> None:
    (check,) = check_recordings()
    assert check.status == "warn"


def test_examine_ends_with_the_configuration(cache: Path, tmp_path: Path) -> None:
    assert examine(tmp_path / "absent.yaml")[-1].name == "configuration"


def test_sizes_of_a_configuration_are_told(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("phrase: alexa\nteacher:\n  context_steps: 16\n")
    configuration, onnx, head = check_config(tmp_path / "c.yaml")
    assert (configuration.status, onnx.name, head.name) == ("ok", "sizes: onnx", "sizes: openwakeword")
    assert "model_tiny.onnx 22" in onnx.detail  # kB
    assert "kB per stream" in onnx.detail
    (tmp_path / "c.yaml").write_text("phrase: alexa\ntargets: [esphome]\n")
    assert "of 20 variables" in check_config(tmp_path / "c.yaml")[-1].detail
    (tmp_path / "c.yaml").write_text("phrase: alexa\ntargets: [esphome]\nmicro:\n  channels: 200\n  trunk: none\n")
    failed = check_config(tmp_path / "c.yaml")[-1]
    assert (failed.status, "bytes, at most 240,000 fit" in failed.detail) == ("fail", True)
    (tmp_path / "c.yaml").write_text("phrase: alexa\nstudent:\n  trunk: absent.safetensors\n")
    assert [check.status for check in check_config(tmp_path / "c.yaml")] == ["ok", "fail"]


def test_fetch_refuses_an_unknown_set(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "fetch", "--set", "huge", "--json")
    assert code == 2
    assert json.loads(out)["exit_code"] == 2
    assert "quick, standard, thorough" in err


def test_fetch_without_apt_fails_and_names_the_way_on(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    code, out, err = run(capsys, "fetch", "--set", "quick")
    assert code == 5
    assert "--negatives DIR" in err
    assert "this costs" in out


def test_train_without_apt_says_so_before_it_starts(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    announce_fetch("quick")
    said = capsys.readouterr().err
    assert "--negatives DIR" in said
    assert "this costs train 1.98 h" in said
    assert "to download" not in said


def test_the_number_of_voices_is_told(cache: Path) -> None:
    details = {check.name: check.detail for check in check_engines()}
    assert details["voices: espeak"].endswith(" 390 voices for en-us")  # 78 variants in five accents


def test_fetch_clean_frees_the_chosen_cache(cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = tmp_path / "other"
    (other / "recordings").mkdir(parents=True)
    (other / "recordings" / "x.npy").write_bytes(bytes(1000))
    code, out, _ = run(capsys, "fetch", "--clean", "--cache", str(other), "--json")
    assert (code, json.loads(out)["freed_bytes"]) == (0, 1000)
    assert not (other / "recordings").exists()
    assert "fetch" in VERBS
