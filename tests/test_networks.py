"""Scores offline, on stored features, are those of the exported file that hears the same audio as a stream."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from wakelark.audio import HOP_SAMPLES, SAMPLE_RATE, to_float, to_int16
from wakelark.export.onnx import NetworkFacts, accurate_facts, export_accurate, export_student, student_facts
from wakelark.export.parity import probe_audio
from wakelark.model_card import ModelCard
from wakelark.models.heads import HeadEnsemble
from wakelark.models.student import Student
from wakelark.pipeline.networks import AccurateNetwork, Network, TinyNetwork
from wakelark.runtime.detector import Detector
from wakelark.training.clip_features import ClipFeatures, compute_clip_features

from .swinging import swinging_heads, swinging_student

SECONDS = 7
EMPTY_S = 0.0035
"""The embedding's spectrum is taken over 512 samples, but its window is zero in the last 56 of them."""


def card_of(facts: NetworkFacts) -> ModelCard:
    values: dict[str, Any] = {field.name: getattr(facts, field.name) for field in dataclasses.fields(facts)}
    return ModelCard(
        **values, wakelark_version="0", phrase="x", language="en-us", threshold=0.5, smoothing_steps=1,
        refractory_s=1.5, gate_db=0.0, gate_hold_s=1.5, fa_per_hour=0.5, created="2026-01-01",
    )  # fmt: skip


@pytest.fixture(scope="module")
def audio() -> np.ndarray:
    return to_int16(probe_audio(np.random.default_rng(3), seconds=SECONDS))


@pytest.fixture(scope="module")
def heads() -> HeadEnsemble:
    return swinging_heads(gain=100, temperatures=[1.0, 2.0], biases=[5.0, 5.0])


@pytest.fixture(scope="module")
def student() -> Student:
    return swinging_student(gain=5)


def assert_streams_alike(network: Network, model: Path, audio: np.ndarray) -> None:
    """The grid of the stream has some phase of 10 ms; from there on, every offline score is a streamed score.

    The streamed one is known at the end of the step in which the offline one's audio ends.
    """
    streamed = np.array(Detector.load(model).score(to_float(audio)))
    fitting = []
    for phase in range(round(network.step_s * 100)):
        offline = network.scores(features_of(audio[phase * HOP_SAMPLES :]))
        assert np.ptp(offline) > 0.2  # else everything would be alike
        end_s = network.first_s + phase * 0.01 - EMPTY_S
        first = math.ceil(end_s / network.step_s - 1e-9) - 1
        both = min(len(streamed) - first, len(offline))
        if np.abs(offline[:both] - streamed[first : first + both]).max() < 0.02:  # features are stored in float16
            fitting.append((phase, (first + 1) * network.step_s - end_s, both))
    assert len(fitting) == 1
    _, late_s, both = fitting[0]
    assert 0 <= late_s < 0.02  # not a hop more than the front end needs
    assert both > (SECONDS - network.first_s) / network.step_s - 2


def features_of(audio: np.ndarray) -> ClipFeatures:
    return compute_clip_features([audio], workers=1, progress=lambda done, total, what: None, what="features")[0]


def test_the_accurate_network(heads: HeadEnsemble, audio: np.ndarray, tmp_path: Path) -> None:
    export_accurate(heads, card_of(accurate_facts(heads)), tmp_path / "model.onnx")
    network = AccurateNetwork(heads)
    assert network.step_s == 0.08
    assert network.first_s == pytest.approx((75 * 160 + 512 + 9 * 1280) / SAMPLE_RATE)
    assert_streams_alike(network, tmp_path / "model.onnx", audio)


def test_the_tiny_network(student: Student, audio: np.ndarray, tmp_path: Path) -> None:
    export_student(student, card_of(student_facts(student)), tmp_path / "model.onnx")
    assert_streams_alike(TinyNetwork(student), tmp_path / "model.onnx", audio)


def test_long_streams_are_scored_in_blocks(student: Student, heads: HeadEnsemble) -> None:
    rng = np.random.default_rng(0)
    long = ClipFeatures(
        rng.standard_normal((45_000, 40)).astype(np.float16), rng.standard_normal((25_000, 96)).astype(np.float16)
    )
    for network, cut in ((TinyNetwork(student), 30_000), (AccurateNetwork(heads), 15_000)):
        whole = network.logits(long)
        steps = cut // 4 if isinstance(network, TinyNetwork) else cut
        tail = network.logits(ClipFeatures(long.logmel[cut:], long.embeddings[cut:]))
        np.testing.assert_allclose(whole[steps : steps + len(tail)], tail, atol=1e-4)


def test_audio_shorter_than_the_network_hears_gives_no_score(student: Student, heads: HeadEnsemble) -> None:
    short = ClipFeatures(np.zeros((20, 40), np.float16), np.zeros((3, 96), np.float16))
    assert len(TinyNetwork(student).logits(short)) == len(AccurateNetwork(heads).logits(short)) == 0
