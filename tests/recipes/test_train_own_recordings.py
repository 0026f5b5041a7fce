"""A training with the user's own recordings, good and bad ones, as the only real sound."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from wakelark.audio import SAMPLE_RATE, read_audio, write_wav
from wakelark.corpus.manifest import read_manifest
from wakelark.export.parity import probe_audio
from wakelark.pipeline.mined_file import read_rounds

from .conftest import CommandLine, Trained

TINY = {
    "corpus.espeak_positives": 30, "corpus.piper_positives": 0, "corpus.flite_positives": 0,
    "corpus.near_miss_phrases": 6, "teacher.heads": 1,
    "teacher.steps": 30, "training.steps": 30, "training.steps_per_epoch": 15, "training.batch_size": 64,
    "mining.events_per_round": 10, "mining.score_min": 1e-6,
}  # fmt: skip


def settings(changes: dict[str, object] | None = None) -> list[str]:
    return [word for key, value in {**TINY, **(changes or {})}.items() for word in ("--set", f"{key}={value}")]


@pytest.fixture
def own(tmp_path: Path, smoke: Trained, wakelark: CommandLine) -> Path:
    """Three "people" who say the phrase, a radio of a few minutes, a short noise, and files that are none."""
    spoken = [c for c in read_manifest(smoke.folder / "corpus" / "manifest.jsonl") if c.kind == "alone"]
    for number, clip in enumerate(spoken[:9]):
        speaker = tmp_path / "positives" / f"person{number % 3}"
        speaker.mkdir(parents=True, exist_ok=True)
        shutil.copy(wakelark.cache / clip.path, speaker)
    twice = next((tmp_path / "positives" / "person0").iterdir())
    write_wav(tmp_path / "positives" / "person1" / "quieter.wav", 0.5 * read_audio(twice, max_seconds=None))
    negatives = tmp_path / "negatives"
    negatives.mkdir()
    for number in range(6):
        write_wav(negatives / f"radio{number}.wav", probe_audio(np.random.default_rng(number), seconds=40))
    write_wav(negatives / "noise.wav", probe_audio(np.random.default_rng(9), seconds=3))
    write_wav(negatives / "silent.wav", np.zeros(SAMPLE_RATE, np.float32))
    (tmp_path / "positives" / "broken.wav").write_bytes(b"RIFF\x00\x00")
    (negatives / "page.mp3").write_bytes(b"<html>not found</html>" * 50)
    return tmp_path


def test_own_recordings_are_trained_on_and_broken_ones_are_listed(own: Path, wakelark: CommandLine) -> None:
    folder = own / "run"
    words = ["--positives", own / "positives", "--negatives", own / "negatives", "--out", folder, "--json"]
    done = wakelark.run("train", "alexa", "--preset", "smoke", *settings(), *words)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    said = "\n".join(report["warnings"])
    for name in ("broken.wav", "silent.wav", "page.mp3"):
        assert name in said
    clips = read_manifest(folder / "corpus" / "manifest.jsonl")
    kinds = {clip.kind for clip in clips}
    assert kinds >= {"own_positive", "own_negative", "recording", "alone", "sentence"}
    assert sum(clip.kind == "own_positive" for clip in clips) >= 4
    roles = {clip.split for clip in clips if clip.is_stream}
    assert roles == {"train", "dev"}
    (tried,) = read_rounds(folder / "corpus" / "mined.jsonl")
    mined = tried.of("keep", "undone")
    assert all(clip.hard_negative and clip.source == "negatives" for clip in mined)
    assert [entry["model"] for entry in report["facts"]["mining"]] == ["accurate", "tiny"]  # a round of each was tried
    assert (folder / "model_tiny.onnx").is_file()
    health = report["health"]
    assert health["checked"]["own clips"] == sum(clip.kind in ("own_positive", "own_negative") for clip in clips)
    assert health["checked"]["own clips judged by what they sound like"] == health["checked"]["own clips"]
    copied = [found for found in health["findings"] if "repeats" in found["check"]]
    assert copied, "one of them was put there twice"
    assert all(found["remedy"] and 0 < found["count"] <= found["of"] for found in health["findings"])
    assert health["warnings"] == sum(warning.startswith("data: ") for warning in report["warnings"])


def test_without_synthesis_few_recordings_are_refused_and_leave_nothing(own: Path, wakelark: CommandLine) -> None:
    none = {"corpus.espeak_positives": 0}
    words = ["--positives", own / "positives", "--negatives", own / "negatives", "--out", own / "run"]
    done = wakelark.run("train", "alexa", "--preset", "smoke", *settings(none), *words)
    assert done.returncode == 3
    assert "at least 20" in done.stderr
    assert not (own / "run").exists()
