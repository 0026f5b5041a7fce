"""The test set of an ablation says what `wakelark evaluate` says of the same network's file, from features."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
import torch

from wakelark.audio import SAMPLE_RATE
from wakelark.config import Config, StudentConfig
from wakelark.corpus.streams import Stream, StreamFile
from wakelark.errors import DataError
from wakelark.evaluation.events import smoothing_steps
from wakelark.export.onnx import export_student, student_facts
from wakelark.models.build import build_student
from wakelark.models.student import Student
from wakelark.pipeline.ablation_trials import SNR_DB, prepare_held_out, score_held_out
from wakelark.pipeline.clip_lists import read_clips
from wakelark.pipeline.corpus import Corpus
from wakelark.pipeline.evaluate import EVENT_FLOOR, stream_source, test_noise
from wakelark.pipeline.listener import Listener
from wakelark.pipeline.networks import TinyNetwork
from wakelark.pipeline.scoring import score_clips, score_streams

from .test_export import card_of

test_noise.__test__ = False  # pyright: ignore[reportFunctionMemberAccess]  # noise of tests, not a test


def babble(seconds: float, seed: int) -> np.ndarray:
    """Noise whose level swings: something a network has opinions on."""
    rng = np.random.default_rng(seed)
    times_s = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    swing = np.abs(np.sin(2 * np.pi * times_s * 1.7)) * np.abs(np.sin(times_s * 0.4))
    return rng.standard_normal(times_s.size) * 0.1 * swing


def record(cache: Path, name: str, kind: str, seconds: float, seed: int) -> Stream:
    samples = np.rint(babble(seconds, seed) * 32767).astype(np.int16)
    (cache / "recordings").mkdir(parents=True, exist_ok=True)
    np.save(cache / "recordings" / f"{name}.npy", samples)
    digest = hashlib.sha256(samples.tobytes()).hexdigest()
    return Stream(
        name=name, path=f"recordings/{name}.npy", role="test", kind=kind, licence="CC0", package=name, version="1",
        samples=samples.size, sha256=digest, files=(StreamFile(name, 0, samples.size, digest),), skipped=(),
    )  # fmt: skip


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    folder = tmp_path / "clips"
    folder.mkdir()
    for number, seconds in enumerate((0.8, 1.3, 2.1)):
        sf.write(folder / f"{number}.wav", babble(seconds, number), SAMPLE_RATE)
    return folder


@pytest.fixture
def student() -> Student:
    torch.manual_seed(0)
    student = build_student(StudentConfig(trunk="none", channels=16, kernels=(3, 5)))
    assert isinstance(student, Student)
    for _ in range(10):
        student(torch.randn(8, 40, 198) * 1.5)
    with torch.no_grad():
        student.head.out.weight *= 10
    return student.eval()


def silent(done: int, total: int, what: str) -> None:
    """No progress."""


def test_features_and_file_agree(cache: Path, clips: Path, student: Student, tmp_path: Path) -> None:
    config = Config()
    config.training.workers = 1
    corpus = Corpus([], [record(cache, "talk", "speech", 40.0, 8), record(cache, "band", "music", 30.0, 9)])
    held_out = prepare_held_out(config, corpus, clips, tmp_path / "kept", progress=silent)
    found = score_held_out(TinyNetwork(student), held_out, config.evaluation)
    steps = smoothing_steps(step_s=0.04, smoothing_s=config.evaluation.smoothing_s)
    card = card_of(student_facts(student), smoothing_steps=steps, refractory_s=config.evaluation.refractory_s)
    listener = Listener(model=export_student(student, card, tmp_path / "model.onnx").path)

    noise = test_noise(SNR_DB, corpus.streams)
    for scores, under in ((found.clean, None), (found.noisy, noise)):
        expected, _ = score_clips(
            listener, read_clips(clips, split="test", label=1).sources, noise=under, seed=0, workers=1, progress=silent
        )
        assert scores == pytest.approx([clip.score for clip in expected], abs=0.005)
    streams, _ = score_streams(
        listener, [stream_source(stream) for stream in corpus.streams], floor=EVENT_FLOOR, workers=1, progress=silent
    )
    for number, heard in enumerate(streams):
        late = heard.events.times_s > 3.0  # the file has heard silence before, the features begin with the recording
        expected_loudest = np.sort(heard.events.scores[late])[-3:]
        own = found.score[(found.recording == number) & (found.time_s > 3.0)]
        assert np.sort(own)[-3:] == pytest.approx(expected_loudest, abs=0.005)
    assert held_out.hours == pytest.approx(70 / 3600)


def test_what_is_kept_is_found_again(cache: Path, clips: Path, tmp_path: Path) -> None:
    config = Config()
    config.training.workers = 1
    corpus = Corpus([], [record(cache, "talk", "speech", 20.0, 8)])
    first = prepare_held_out(config, corpus, clips, tmp_path / "kept", progress=silent)
    calls: list[str] = []
    again = prepare_held_out(config, corpus, clips, tmp_path / "kept", progress=lambda d, t, what: calls.append(what))
    assert again.key == first.key
    assert "features of the test clips" not in calls
    for one, other in zip([*first.clean, *first.noisy], [*again.clean, *again.noisy], strict=True):
        assert (one.features.logmel == other.features.logmel).all()
        assert (one.hit_from_s, one.hit_until_s) == (other.hit_from_s, other.hit_until_s)
    assert not (first.clean[0].features.logmel == first.noisy[0].features.logmel).all()


def test_without_positives_there_is_no_test_set(cache: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no test clips"):
        prepare_held_out(Config(phrase="alexa"), Corpus([], []), None, tmp_path, progress=silent)
