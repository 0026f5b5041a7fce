"""From the words of `wakelark train` to a folder and a configuration; everything impossible is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from wakelark.config import Config
from wakelark.config_file import dump_config
from wakelark.errors import ConfigError, DataError, WakelarkError
from wakelark.pipeline.preflight import preflight
from wakelark.pipeline.settings import Request, settle

NOTHING: dict[str, Any] = {
    "phrase": "", "config": None, "overrides": [], "pronunciations": [], "language": None, "positives": None,
    "negatives": None, "out": None, "preset": None, "device": "auto", "resume": False,
}  # fmt: skip


def request(**words: Any) -> Request:
    return Request(**{**NOTHING, **words})


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_phrase_is_enough() -> None:
    folder, config = settle(request(phrase="  Hey Computer "))
    assert folder.root == Path("runs/hey-computer")
    assert config == Config(phrase="Hey Computer")


def test_line_breaks_in_a_phrase_are_spaces(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text('phrase: "hey\\n  computer "')
    assert settle(request(phrase="", config=tmp_path / "c.yaml"))[1].phrase == "hey computer"
    assert settle(request(phrase="hey\tcomputer\n"))[1].phrase == "hey computer"


def test_every_word_goes_where_it_belongs(tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own ': other").mkdir()
    (tmp_path / "a.yaml").write_text("phrase: from the file\nseed: 3\nloss:\n  hard_negative_weight: 2.5\n")
    folder, config = settle(
        request(
            phrase="hey", config=Path("a.yaml"), overrides=["seed=4"], pronunciations=["hei", "[[h'eI]]"],
            language="en-gb", positives=Path("own"), negatives=Path("own ': other"), out=Path("there"), preset="smoke",
        )
    )  # fmt: skip
    assert folder.root == Path("there")
    assert (config.phrase, config.seed, config.loss.hard_negative_weight) == ("hey", 4, 2.5)
    assert (config.pronunciations, config.language, config.preset) == (["hei", "[[h'eI]]"], "en-gb", "smoke")
    assert config.positives == str(tmp_path / "own")  # whole, so that --resume works from anywhere
    assert config.negatives == str(tmp_path / "own ': other")


def test_the_phrase_may_stand_in_the_file(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("phrase: hey you\npositives: own\n")
    (tmp_path / "own").mkdir()
    folder, config = settle(request(config=Path("a.yaml")))
    assert (folder.root, config.positives) == (Path("runs/hey-you"), str(tmp_path / "own"))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({}, "which phrase"),
        ({"phrase": "   "}, "which phrase"),
        ({"out": Path("x")}, "which phrase"),
        ({"phrase": "", "config": Path("empty.yaml")}, "phrase is empty"),
        ({"phrase": "hey", "device": "tpu"}, "--device tpu"),
        ({"phrase": "hey", "preset": "fast"}, "smoke, quick, standard, thorough"),
        ({"phrase": "hey", "overrides": ["training.stepps=3"]}, "did you mean 'training.steps'"),
        ({"phrase": "hey", "overrides": ["training.steps"]}, "key=value"),
        ({"phrase": "hey", "overrides": ["seed=-1"]}, "at least 0"),
        ({"phrase": "hey", "config": Path("gone.yaml")}, "gone.yaml"),
        ({"phrase": "hey", "positives": Path("gone")}, "--positives gone: no such folder"),
        ({"phrase": "hey", "negatives": Path("empty.yaml")}, "--negatives empty.yaml: a file"),
        ({"resume": True}, "--resume --out DIR"),
        ({"resume": True, "config": Path("empty.yaml")}, "--resume --out DIR"),
        ({"resume": True, "phrase": "hey"}, "nothing to resume in runs/hey"),
        ({"resume": True, "out": Path("nowhere")}, "nothing to resume in nowhere"),
    ],
)
def test_what_is_impossible_is_refused(tmp_path: Path, words: dict[str, Any], message: str) -> None:
    (tmp_path / "empty.yaml").write_text("seed: 1\n")
    with pytest.raises(ConfigError) as refused:
        settle(request(**words))
    assert message in str(refused.value)
    assert [path.name for path in tmp_path.iterdir()] == ["empty.yaml"]  # nothing was begun


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "config.yaml").write_text(dump_config(Config(phrase="hey you", seed=7, preset="smoke")))
    return folder


def test_resume_takes_everything_from_the_folder(run: Path) -> None:
    folder, config = settle(request(resume=True, out=run))
    assert (folder.root, config.phrase, config.seed) == (run, "hey you", 7)
    assert settle(request(resume=True, out=run, phrase="hey you"))[1] == config


def test_a_finished_or_begun_run_is_refused_before_anything_else(run: Path) -> None:
    with pytest.raises(ConfigError, match="wakelark train --resume --out"):
        settle(request(phrase="hey you", out=run))


@pytest.mark.parametrize(
    ("words", "option"),
    [
        ({"config": Path("x.yaml")}, "--config"), ({"preset": "quick"}, "--preset"), ({"language": "de"}, "--language"),
        ({"overrides": ["seed=1"]}, "--set"), ({"pronunciations": ["x"]}, "--pronunciation"),
        ({"positives": Path("p")}, "--positives"), ({"negatives": Path("n")}, "--negatives"),
        ({"phrase": "other"}, "is a run for 'hey you', not 'other'"),
    ],
)  # fmt: skip
def test_a_resumed_run_cannot_be_changed(run: Path, words: dict[str, Any], option: str) -> None:
    with pytest.raises(ConfigError) as refused:
        settle(request(resume=True, out=run, **words))
    assert option in str(refused.value)


def smoke(**changes: Any) -> Config:
    return Config(**{"phrase": "hey computer", **changes})


@pytest.mark.parametrize(
    ("changes", "code", "message"),
    [
        ({"phrase": "!!!"}, 2, "no letters or digits"),
        ({"language": "xx"}, 2, "'xx'"),
        ({"corpus": {"voices_dir": "gone"}}, 2, "gone"),
        ({"corpus": {"espeak_positives": 0, "kokoro_positives": 0, "piper_positives": 5}, "language": "fr"}, 2, "fr"),
        ({"positives": "empty"}, 3, "no audio files"),
        ({"negatives": "empty"}, 3, "no audio files"),
    ],
)
def test_preflight_refuses_what_would_fail_later(
    tmp_path: Path, changes: dict[str, Any], code: int, message: str
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "notes.txt").write_text("no audio")
    with pytest.raises(WakelarkError) as refused:
        preflight(smoke(**changes))
    assert (refused.value.exit_code, message in str(refused.value)) == (code, True), refused.value


def test_preflight_takes_own_recordings_alone(tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "a.wav").write_bytes(b"RIFF")
    none = {"espeak_positives": 0, "kokoro_positives": 0, "piper_positives": 0, "flite_positives": 0}
    preflight(smoke(positives="own", corpus=none))
    (tmp_path / "nothing").mkdir()
    with pytest.raises(DataError):
        preflight(smoke(positives="own", negatives=str(tmp_path / "nothing"), corpus=none))


def test_preflight_tells_the_risks() -> None:
    assert any(risk.level == "warning" for risk in preflight(smoke(phrase="go")))
    assert not any(risk.level == "warning" for risk in preflight(smoke()))
