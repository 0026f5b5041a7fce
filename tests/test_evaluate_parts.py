"""Groups, near misses, latency, distance and conditions of `wakelark evaluate`, worked out by hand."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from wakelark.audio import SAMPLE_RATE, to_int16, write_wav
from wakelark.augment.room import Room, critical_distance_m
from wakelark.augment.signal import db_to_gain
from wakelark.corpus.clip import Clip
from wakelark.corpus.manifest import write_manifest
from wakelark.corpus.packages import PACKAGES, kind_of_audio
from wakelark.errors import DataError
from wakelark.evaluation.distance import AS_RECORDED_M, at_distance
from wakelark.evaluation.groups import ScoredClip, miss_bootstrap
from wakelark.evaluation.intervals import wilson_interval
from wakelark.evaluation.latency import latency_figures, latency_s
from wakelark.evaluation.near_misses import near_miss_figures
from wakelark.evaluation.stream import positive_trial
from wakelark.evaluation.trace import Trace, trace_of
from wakelark.pipeline.breakdown import conditions
from wakelark.pipeline.clip_lists import read_clips
from wakelark.pipeline.clip_measures import ClipMeasure, measured_traits
from wakelark.pipeline.evaluate import EvaluationRequest, evaluate

from .test_evaluate_cli import run, run_json, sound
from .tiny_model import STEP, write_tiny_model


def silent(done: int, total: int, what: str) -> None:
    """No progress."""


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_tiny_model(tmp_path / "model.onnx")


@pytest.fixture
def negatives(tmp_path: Path) -> Path:
    folder = tmp_path / "negatives"
    for kind, bursts in (("dialogue", (10.0, 30.0)), ("music", ())):
        (folder / kind).mkdir(parents=True)
        write_wav(folder / kind / "one.wav", sound(60, *bursts, level=0.3))
    return folder


@pytest.fixture
def manifest(tmp_path: Path, cache: Path) -> Path:
    """Two voices with two positives each, a near miss each, one clip of another split, and a recording."""
    clips = []
    for number, (voice, kind, split, level) in enumerate(
        [
            ("kokoro/af_x", "alone", "test", 0.5), ("kokoro/af_x", "in_sentence", "test", 0.5),
            ("espeak/y", "alone", "test", 0.5), ("espeak/y", "in_sentence", "test", 0.05),
            ("kokoro/af_x", "near_miss", "test", 0.5), ("espeak/y", "near_miss", "test", 0.05),
            ("piper/z", "alone", "train", 0.5),
        ]
    ):  # fmt: skip
        audio = to_int16(sound(1.0, 0.4, level=level))
        path = f"speech/{number}.flac"
        (cache / "speech").mkdir(parents=True, exist_ok=True)
        soundfile.write(cache / path, audio, SAMPLE_RATE, subtype="PCM_16")
        positive = kind != "near_miss"
        clips.append(
            Clip(
                id=f"{number:016}", path=path, samples=len(audio), label=int(positive), kind=kind,
                text=f"text {number}", voice=voice, engine=voice.partition("/")[0], split=split,
                phrase_start=6400 if positive else None,
                phrase_end=round(0.7 * SAMPLE_RATE) if positive else None, sex="female" if "af" in voice else "",
            )
        )  # fmt: skip
    clips.append(Clip(id="r", path="recordings/x.npy", samples=10, label=0, kind="recording", split="test"))
    write_manifest(clips, tmp_path / "manifest.jsonl")
    return tmp_path / "manifest.jsonl"


def rows(result: dict[str, Any], trait: str) -> dict[str, tuple[int, int]]:
    return {row["name"]: (row["positives"], row["missed"]) for row in result["groups"]["traits"][trait]}


def test_a_manifest_is_evaluated_by_its_test_split_with_its_near_misses(
    model: Path, manifest: Path, negatives: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["evaluate", str(model), "--positives", str(manifest), "--negatives", str(negatives), "--workers", "1"]
    result = run_json(words, capsys)
    assert (result["positives"], result["missed"]) == (4, 1)
    assert rows(result, "engine") == {"kokoro": (2, 0), "espeak": (2, 1)}
    assert rows(result, "said") == {"phrase alone": (2, 0), "in a sentence": (2, 1)}
    assert rows(result, "sex") == {"female": (2, 0), "unknown": (2, 1)}
    assert "accent" not in result["groups"]["traits"]
    assert (result["bootstrap_unit"], result["miss_rate_bootstrap_ci"]) == (None, None)  # of two speakers
    near = result["near_misses"]
    assert (near["clips"], near["fired"], near["per_1000"]) == (2, 1, 500)
    assert near["per_1000_ci"] == [1000 * bound for bound in wilson_interval(1, 2)]
    assert [(row["text"], row["fired"]) for row in near["by_text"]] == [("text 4", 1), ("text 5", 0)]
    kinds = {row["name"]: (row["false_alarms"], row["hours"]) for row in result["groups"]["kinds"]}
    assert kinds == {"dialogue": (2, pytest.approx(1 / 60)), "music": (0, pytest.approx(1 / 60))}
    # The burst of 0.3 s begins 0.4 s into the clip and the phrase ends at 0.7 s. Mean power of three steps, the mean
    # of three such scores: at 0.5 amplitude it passes 0.5 in the third step of the burst.
    latency = result["latency"]
    assert (latency["clips"], latency["word_ends"]) == (3, "3 known from the synthesis")
    assert latency["median_s"] == pytest.approx(-0.18, abs=2 * STEP / SAMPLE_RATE)
    assert run_json([*words, "--split", "train"], capsys)["positives"] == 1
    code, _, err = run([*words, "--split", "dev"], capsys)
    assert (code, "--split" in err) == (3, True)


def test_conditions_are_rows_and_the_first_is_the_headline(
    model: Path, manifest: Path, negatives: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["evaluate", str(model), "--positives", str(manifest), "--negatives", str(negatives), "--workers", "1"]
    result = run_json([*words, "--distance", "0.5", "--distance", "20", "--snr", "30", "--snr", "20"], capsys)
    asked = [(row["distance_m"], row["snr_db"]) for row in result["conditions"]]
    assert asked == [(0.5, 30.0), (0.5, 20.0), (20.0, 30.0), (20.0, 20.0)]
    assert (result["distance_m"], result["snr_db"]) == asked[0]
    assert 1 <= result["missed"] == result["conditions"][0]["missed"] < 4
    far = result["conditions"][2]
    assert far["missed"] > result["missed"]  # at 20 m the direct sound is 32 dB quieter, and the model hears loudness
    assert [point["fa_per_hour_budget"] for point in far["matched"]] == [
        point["fa_per_hour_budget"] for point in result["operating_points"]
    ]
    code, out, _ = run([*words, "--distance", "8"], capsys)
    assert (code, "near misses woke it" in out) == (0, True)
    assert run([*words, "--distance", "0.1"], capsys)[0] == 2


def test_the_same_evaluation_gives_the_same_numbers_to_the_last_digit(
    model: Path, manifest: Path, negatives: Path
) -> None:
    request = EvaluationRequest(
        model=model, positives=manifest, negatives=negatives, conditions=conditions([10.0, 0.0], [2.0]), workers=1
    )
    results = [json.dumps(evaluate(request, progress=silent)) for _ in range(2)]
    assert results[0] == results[1]
    other = json.dumps(evaluate(dataclasses.replace(request, seed=1), progress=silent))
    assert other != results[0]


def positives_folder(root: Path) -> Path:
    for name, level in (("ann/1", 0.5), ("ann/2", 0.5), ("bob/3", 0.05)):
        path = root / "own" / f"{name}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        audio = sound(1.5)
        audio[9600:14400] += np.random.default_rng(1).standard_normal(4800).astype(np.float32) * np.float32(level)
        write_wav(path, audio)
    return root / "own"


def test_a_sidecar_tells_who_speaks(
    model: Path, tmp_path: Path, negatives: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = positives_folder(tmp_path)
    (folder / "speakers.csv").write_text(
        "file,speaker,sex,age,room\nann,Ann,female,34,kitchen\nann/2.wav,Ann,female,34,hall\nbob/3.wav,Bob,male,9,\n"
        "carl,Carl,male,80,\n"
    )
    result = run_json(
        ["evaluate", str(model), "--positives", str(folder), "--negatives", str(negatives), "--workers", "1"], capsys
    )
    assert rows(result, "sex") == {"female": (2, 0), "male": (1, 1)}
    assert rows(result, "age") == {"20 to 39": (2, 0), "child, below 13": (1, 1)}
    assert rows(result, "room") == {"kitchen": (1, 0), "hall": (1, 0), "unknown": (1, 1)}
    assert any("1 entries name no recording there, such as carl" in warning for warning in result["warnings"])
    assert result["near_misses"] is None
    # The burst ends at 0.9 s; nobody told, so the end of its energy stands for it.
    assert result["latency"]["word_ends"] == "2 taken as the end of the speech's energy"
    assert result["latency"]["median_s"] == pytest.approx(-0.2, abs=0.08)


def test_a_sidecar_as_jsonl_and_one_without_speakers(tmp_path: Path) -> None:
    folder = positives_folder(tmp_path)
    (folder / "speakers.jsonl").write_text('{"file": "ann", "accent": "Scottish"}\n')
    clips = read_clips(folder, split="test", label=1)
    assert clips.traits == {"accent": {"ann/1.wav": "Scottish", "ann/2.wav": "Scottish"}}
    assert "no speaker for 3 of 3" in clips.notes[0]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"speakers.csv": "name,speaker\na,b\n"}, "names a `file`"),
        ({"speakers.jsonl": "{not json\n"}, "cannot be read"),
        ({"speakers.jsonl": "[1]\n"}, "names a `file`"),
        ({"speakers.csv": "file\nann\n", "speakers.jsonl": ""}, "keep one of them"),
    ],
)
def test_a_broken_sidecar_is_an_error(tmp_path: Path, files: dict[str, str], message: str) -> None:
    folder = positives_folder(tmp_path)
    for name, text in files.items():
        (folder / name).write_text(text)
    with pytest.raises(DataError, match=message):
        read_clips(folder, split="test", label=1)


def test_latency_counts_from_the_end_of_the_word() -> None:
    trace = Trace(0.1, 0.1, (0.9, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.4, 0.7, 0.2))
    assert latency_s(trace, word_end_s=1.15, threshold=0.6) == pytest.approx(0.15)
    assert latency_s(trace, word_end_s=1.15, threshold=0.3) == pytest.approx(0.05)
    assert latency_s(trace, word_end_s=1.05, threshold=0.8) == pytest.approx(-0.95)  # within a second before
    assert latency_s(trace, word_end_s=1.15, threshold=0.8) is None
    figures = latency_figures([0.1, 0.2, 0.3], estimated=1)
    assert (figures["median_s"], figures["p90_s"]) == (0.2, pytest.approx(0.28))
    assert latency_figures([], estimated=0)["median_s"] is None


def test_a_trace_begins_with_the_clip_and_ends_with_its_hit_window() -> None:
    trial = positive_trial(np.zeros(SAMPLE_RATE, np.float32), rng=np.random.default_rng(0), word_end_s=0.5)
    smoothed = np.linspace(0.1, 5.5, 55, dtype=np.float64)  # step k ends at 0.1 (k + 1) s: every score is its time
    trace = trace_of(smoothed, trial, step_s=0.1)
    assert trace.scores[0] == pytest.approx(3.0)
    assert trace.first_s == pytest.approx(0.0)
    assert trace.scores[-1] == pytest.approx(4.5)  # 3 s before the clip, word end at 0.5 s, 1 s after it


def test_distance_makes_it_quieter_and_more_reverberant() -> None:
    click = np.zeros(SAMPLE_RATE, np.float32)
    click[100] = 0.5
    for distance_m in (0.5, 1.0, 4.0):
        heard = at_distance(click, distance_m, rng=np.random.default_rng(3))
        assert heard.shape == click.shape
        assert heard[100] == pytest.approx(0.5 * AS_RECORDED_M / distance_m, rel=0.02)
        drawn = Room().draw(np.random.default_rng(3))
        direct, rest = heard[100] ** 2, float(np.sum(np.square(np.delete(heard, 100), dtype=np.float64)))
        expected = (critical_distance_m(drawn.volume_m3, drawn.rt60_s) / distance_m) ** 2
        assert direct / rest == pytest.approx(expected, rel=0.1)
    assert db_to_gain(-6.02) == pytest.approx(0.5, rel=1e-3)
    with pytest.raises(ValueError, match="nearer"):
        at_distance(click, 0.4, rng=np.random.default_rng(0))


def test_no_distance_leaves_the_scale() -> None:
    loud = np.random.default_rng(0).uniform(-1, 1, SAMPLE_RATE).astype(np.float32)
    assert np.abs(at_distance(loud, 0.5, rng=np.random.default_rng(0))).max() <= 1.0


def test_near_misses_have_a_bootstrap_by_voice() -> None:
    clips = [
        ScoredClip(file=f"{voice}{number}", score=float(voice == "a"), speaker=voice, text="his computer")
        for voice in "abcde" for number in range(10)
    ]  # fmt: skip
    figures = near_miss_figures(clips, threshold=0.5, rng=np.random.default_rng(0))
    assert figures is not None
    assert (figures["per_1000"], figures["bootstrap_unit"]) == (200, "speaker")
    # One voice in five wakes it; drawn never with p = 0.8^5 = 0.33, three times or more with 0.058, four with 0.007.
    assert figures["per_1000_bootstrap_ci"] == [0, pytest.approx(600)]
    few = near_miss_figures(clips[:40], threshold=0.5, rng=np.random.default_rng(0))
    assert few is not None
    assert (few["per_1000_bootstrap_ci"], few["bootstrap_unit"]) == (None, None)
    assert near_miss_figures([], threshold=0.5, rng=np.random.default_rng(0)) is None


def test_a_bootstrap_says_nothing_where_all_are_alike() -> None:
    rng = np.random.default_rng(0)
    clips = [ScoredClip(file=str(number), score=1.0, speaker=str(number)) for number in range(9)]
    assert miss_bootstrap(clips, threshold=0.5, rng=rng) is None
    assert miss_bootstrap([replace(clips[0], score=0.0), *clips[1:]], threshold=0.5, rng=rng) is not None
    assert miss_bootstrap([], threshold=0.5, rng=rng) is None


def test_rates_are_thirds_and_noise_comes_in_bands() -> None:
    measures = {str(n): ClipMeasure(None, False, 0.5 + 0.1 * n, 4.0 * n) for n in range(9)}
    traits = measured_traits(measures)
    assert list(traits["speaking_rate"].values()) == [
        *["fast, up to 0.77 s"] * 3, *["medium"] * 3, *["slow, above 1.03 s"] * 3,
    ]  # fmt: skip
    assert [traits["recording_snr"][str(n)] for n in (0, 3, 5, 8)] == [
        "below 10 dB", "10 to 20 dB", "20 to 30 dB", "30 dB and above",
    ]  # fmt: skip
    assert "speaking_rate" not in measured_traits(dict(list(measures.items())[:5]))


def test_every_test_recording_says_what_is_heard() -> None:
    heard = [
        kind_of_audio(package.name + part.suffix, part.kind)
        for package in PACKAGES for part in package.parts if part.role == "test"
    ]  # fmt: skip
    assert set(heard) == {"dialogue", "single words", "sentences", "music", "noise"}
