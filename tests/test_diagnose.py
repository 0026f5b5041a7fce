"""`wakelark diagnose` as a user runs it, with a tiny model that hears loudness, and with clips of real people."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from wakelark.audio import SAMPLE_RATE, audio_facts, read_audio, to_int16, write_wav
from wakelark.corpus.clip import Clip
from wakelark.corpus.manifest import write_manifest
from wakelark.corpus.speech_span import speech_span
from wakelark.evaluation.sound_check import Fault
from wakelark.pipeline.diagnosis import Facts, Neighbours, WhatIf, explain
from wakelark.pipeline.known_sounds import choose_known, index_sounds
from wakelark.runtime.detector import Detector

from .judged_pair import presets, write_pair
from .test_evaluate_cli import run, run_json
from .tiny_model import write_tiny_model


def burst(level: float, *, seconds: float = 4.0, at_s: float = 2.0) -> np.ndarray:
    rng = np.random.default_rng(0)
    audio = rng.standard_normal(round(seconds * SAMPLE_RATE)) * 1e-4
    start = round(at_s * SAMPLE_RATE)
    audio[start : start + 6400] += rng.standard_normal(6400) * level
    return np.clip(audio, -1, 1).astype(np.float32)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_tiny_model(tmp_path / "model.onnx")


def codes(result: dict[str, Any]) -> list[str]:
    return [reason["code"] for reason in result["verdict"]["reasons"]]


def test_a_recording_that_fires(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_wav(tmp_path / "loud.wav", burst(0.3))
    result = run_json(["diagnose", str(model), str(tmp_path / "loud.wav")], capsys)
    assert result["fired"] is True
    assert result["fired_s"] == [pytest.approx(2.15, abs=0.1)]
    assert result["peak"]["smoothed"] >= result["threshold"] == 0.5
    assert result["format"] == {"container": "wav", "codec": "PCM_16", "sample_rate": 16000, "channels": 1}
    assert codes(result)[0] == "clearly"
    assert result["neighbours"] is None
    assert "--run" in result["neighbours_left_out"]
    assert len(result["trace"]["scores"]) == int(5.5 / result["trace"]["step_s"])


def test_a_faint_recording_would_fire_if_it_were_louder(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_wav(tmp_path / "faint.wav", burst(0.003))
    result = run_json(["diagnose", str(model), str(tmp_path / "faint.wav")], capsys)
    assert result["fired"] is False
    assert codes(result)[:2] == ["recording", "sound-quiet"]
    first = result["verdict"]["reasons"][0]
    assert "+30 dB the same sound scores" in first["what"]  # from -50 dB to -20 dB
    assert result["what_if"][0]["peak"] > 10 * result["what_if"][0]["as_it_is"]


def test_the_text_says_what_and_what_to_do(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    soundfile.write(tmp_path / "two.wav", np.stack([burst(0.2, seconds=20)] * 2, axis=1), 16_000)
    code, out, _ = run(["diagnose", str(model), str(tmp_path / "two.wav"), "--trace"], capsys)
    assert code == 0
    assert "20.00 s, 16000 Hz, 2 channel(s), wav PCM_16" in out
    assert "It did not fire: the score peaked at 0.4" in out
    assert "it only just missed the threshold" in out
    assert "->" in out
    assert "threshold" in next(line for line in out.splitlines() if line.startswith(" 0.5 |"))


def told(result: dict[str, Any], code: str) -> str:
    return next(reason["remedy"] for reason in result["verdict"]["reasons"] if reason["code"] == code)


def test_presets_are_asked_and_advised(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = write_tiny_model(tmp_path / "presets.onnx", presets=presets())
    write_wav(tmp_path / "near.wav", burst(0.2))  # scores 0.4 and a little: sensitive hears it, normal does not
    words = ["diagnose", str(model), str(tmp_path / "near.wav")]
    result = run_json(words, capsys)
    assert [(row["name"], row["would_fire"]) for row in result["presets"]] == [
        ("strict", False), ("normal", False), ("sensitive", True)
    ]  # fmt: skip
    assert result["fired"] is False
    assert "--preset sensitive" in told(result, "close")
    eager = run_json([*words, "--preset", "sensitive"], capsys)
    assert (eager["fired"], eager["threshold"]) == (True, 0.3)
    assert "--preset normal" in told(eager, "barely")
    assert eager["fired_s"] == [hit.time_s for hit in Detector.load(model, preset="sensitive").process(burst(0.2))]
    code, _, err = run([*words, "--preset", "wild"], capsys)
    assert code == 2
    assert "there are strict, normal, sensitive" in err


def test_a_shut_gate_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hum = np.sin(2 * np.pi * 60 * np.arange(3 * SAMPLE_RATE) / SAMPLE_RATE).astype(np.float32)
    write_wav(tmp_path / "hum.wav", (0.6 * hum).astype(np.float32))
    for gate_db, fired in ((0.0, True), (20.0, False)):
        model = write_tiny_model(tmp_path / f"gate{gate_db}.onnx", gate_db=gate_db)
        result = run_json(["diagnose", str(model), str(tmp_path / "hum.wav")], capsys)
        assert result["fired"] is fired
        assert bool(Detector.load(model).process(read_audio(tmp_path / "hum.wav", max_seconds=10))) is fired
        assert ("gate" in codes(result)) is not fired
        assert result["peak"]["ungated"] > 0.9


def test_silence_is_named_and_nothing_else(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_wav(tmp_path / "silent.wav", np.zeros(16_000, np.float32))
    result = run_json(["diagnose", str(model), str(tmp_path / "silent.wav")], capsys)
    assert codes(result) == ["silent"]


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["{model}", "{tmp}/gone.wav"], 3, "no such file"),
        (["{tmp}/gone.onnx", "{sound}"], 4, "no model file"),
        (["{model}", "{sound}", "--run", "{tmp}"], 2, "corpus/manifest.jsonl"),
        (["{model}", "{sound}", "--threshold", "2"], 2, "threshold"),
        (["{model}", "{model}"], 3, "model.onnx"),
    ],
)
def test_wrong_use_is_one_message_with_its_code(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], code: int, message: str
) -> None:
    write_wav(tmp_path / "sound.wav", burst(0.1))
    places = {"model": model, "tmp": tmp_path, "sound": tmp_path / "sound.wav"}
    found, out, err = run(["diagnose", *(word.format(**places) for word in words)], capsys)
    assert (found, out) == (code, "")
    assert message in err


def own_clips(folder: Path, cache: Path, *, per_phrase: int, start: int) -> list[Clip]:
    """Real recordings as the clips of a run that was trained on "alexa"."""
    clips = []
    for phrase in ("alexa", "smart_mirror"):
        for number, path in enumerate(sorted((folder / phrase).glob("*.flac"))[start : start + per_phrase]):
            audio = to_int16(read_audio(path, max_seconds=10))
            place = f"own/{phrase}{number}.flac"
            (cache / "own").mkdir(parents=True, exist_ok=True)
            soundfile.write(cache / place, audio, SAMPLE_RATE, subtype="PCM_16")
            positive = phrase == "alexa"
            span = speech_span(audio) or (0, len(audio))
            clips.append(
                Clip(
                    id=f"{phrase}{number}", path=place, samples=len(audio), label=int(positive),
                    kind="alone" if positive else "near_miss", text=phrase.replace("_", " "), voice=f"v{number}",
                    phrase_start=span[0] if positive else None, phrase_end=span[1] if positive else None,
                )
            )  # fmt: skip
    return clips


def test_what_it_resembles_is_told_where_the_model_lies_in_its_run(
    real_recordings: Path, cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    model = write_tiny_model(folder / "model.onnx", phrase="alexa")
    write_manifest(own_clips(real_recordings, cache, per_phrase=4, start=0), folder / "corpus" / "manifest.jsonl")
    other = {phrase: sorted((real_recordings / phrase).glob("*.flac"))[40] for phrase in ("alexa", "smart_mirror")}
    for phrase, what in (("alexa", "the phrase"), ("smart_mirror", "near miss")):
        result = run_json(["diagnose", str(model), str(other[phrase])], capsys)
        near = result["neighbours"]
        assert (near["text"], near["what"], near["compared_with"]) == (phrase.replace("_", " "), what, 8)
        assert near["votes"] >= 3
        assert result["neighbours_left_out"] == ""


def test_the_choice_of_clips_and_their_embeddings_are_kept(real_recordings: Path, cache: Path) -> None:
    clips = own_clips(real_recordings, cache, per_phrase=6, start=10)
    chosen = choose_known(clips, of_a_text=4)
    assert len([clip for clip in chosen if clip.text == "alexa"]) == 6
    assert len([clip for clip in chosen if clip.text == "smart mirror"]) == 4  # of one text of a near miss
    assert {clip.id for clip in choose_known(clips[::-1], of_a_text=4)} == {clip.id for clip in chosen}
    calls: list[int] = []
    first = index_sounds(chosen, progress=lambda done, total, what: calls.append(done))
    again = index_sounds(chosen, progress=lambda done, total, what: calls.append(done))
    assert calls == list(range(1, 11))
    assert np.array_equal(first.index.mean, again.index.mean)


@pytest.mark.parametrize(
    ("level", "gain", "fired", "woken", "code"),
    [(0.3, 5.0, True, True, "clearly"), (0.003, 5.0, False, False, "asleep"), (0.15, 0.01, False, True, "judge")],
)
def test_a_pair_is_asked_as_one_detector(
    level: float, gain: float, fired: bool, woken: bool, code: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both hear loudness: a faint burst wakes nobody; a judge that is nearly deaf does not agree with a louder one."""
    tiny, judge = write_pair(tmp_path, gain=gain)
    write_wav(tmp_path / "burst.wav", burst(level))
    words = ["diagnose", str(tiny), str(tmp_path / "burst.wav"), "--judge", str(judge)]
    result = run_json(words, capsys)
    assert (result["fired"], result["judge"]["woken"]) == (fired, woken)
    assert result["fired"] == bool(Detector.load(tiny, judge=judge).process(burst(level)))
    assert code in codes(result)
    assert (result["threshold"], result["judge"]["wake_threshold"]) == (pytest.approx(0.4), pytest.approx(0.1))
    assert [row["threshold"] for row in result["presets"]] == [0.6, 0.4, 0.2]
    assert ("judge: woken" if woken else "judge: not woken") in run(words, capsys)[1]


def facts(**changes: Any) -> Facts:
    values: dict[str, Any] = {
        "phrase": "alexa", "threshold": 0.5, "fired_s": (), "peak": 0.1, "peak_s": 1.0, "raw_peak": 0.1,
        "raw_peak_s": 1.0, "ungated_peak": 0.1, "wakes_at": None, "own_peak": 0.1, "presets": (),
        "above_s": 0.0, "seconds": 3.0, "faults": (), "what_if": (), "neighbours": None,
        "run": None, "file": "x.wav",
    }  # fmt: skip
    return Facts(**(values | changes))


def near(similarity: float, *, phrase: int) -> Neighbours:
    row = {"text": "alexis", "what": "near miss", "holds_phrase": False, "voice": "v", "similarity": similarity}
    return Neighbours(
        nearest=(row,) * 5, compared_with=9, text="alexis", what="near miss", votes=4, phrase_votes=phrase,
        phrase_similarity=0.3,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"neighbours": near(0.8, phrase=0)}, ["other-words"]),
        ({"neighbours": near(0.8, phrase=4)}, ["unheard-voice"]),
        ({"neighbours": near(0.3, phrase=4)}, ["unlike"]),
        ({"peak": 0.001}, ["unlike"]),
        ({"peak": 0.4}, ["close"]),
        ({"raw_peak": 0.6}, ["brief"]),
        ({"raw_peak": 0.9, "ungated_peak": 0.6}, ["gate"]),
        ({"what_if": (WhatIf(change="+20 dB", peak=0.9, as_it_is=0.1),)}, ["recording"]),
        ({"what_if": (WhatIf(change="+20 dB", peak=0.12, as_it_is=0.1),)}, []),
        ({"faults": (Fault(code="noisy", what="noisy: 3 dB", remedy="r"),)}, ["sound-noisy"]),
        ({"fired_s": (1.0,), "peak": 0.55, "neighbours": near(0.8, phrase=0)}, ["near-miss", "barely"]),
        ({"fired_s": (1.0,), "peak": 0.99, "neighbours": near(0.8, phrase=5)}, ["phrase"]),
        ({"fired_s": (1.0,), "peak": 0.99}, ["clearly"]),
    ],
)
def test_the_reasons(changes: dict[str, Any], expected: list[str]) -> None:
    verdict = explain(facts(**changes))
    json.dumps(verdict)
    assert [reason["code"] for reason in verdict["reasons"]] == expected  # pyright: ignore[reportIndexIssue, reportGeneralTypeIssues]
    fires = bool(changes.get("fired_s"))
    assert str(verdict["headline"]).startswith("It fired at 1.00 s" if fires else "It did not fire")


def test_advice_names_the_run() -> None:
    verdict = explain(facts(neighbours=near(0.8, phrase=4), run="my runs/alexa"))
    assert "wakelark add 'my runs/alexa' FOLDER --as positive" in str(verdict["reasons"])


def test_audio_facts_of_an_mp3(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "x.mp3", np.zeros((8_000, 2)), 44_100, format="MP3")
    facts = audio_facts(tmp_path / "x.mp3")
    assert (facts.container, facts.sample_rate, facts.channels) == ("mp3", 44_100, 2)
