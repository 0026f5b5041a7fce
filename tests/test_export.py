"""The exported files: equal to torch when streamed, small, with the card inside, or not written at all."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import soundfile as sf
import torch
from torch import nn

from wakelark.config import StudentConfig
from wakelark.errors import ModelError
from wakelark.export.front_ends import add_embedding_mel, add_logmel
from wakelark.export.graph import StreamGraph
from wakelark.export.onnx import (
    NetworkFacts,
    accurate_facts,
    export_accurate,
    export_student,
    student_facts,
)
from wakelark.export.parity import check_parity, probe_audio, stream
from wakelark.export.student_graph import fold
from wakelark.features.embedding_mel import EmbeddingMel
from wakelark.features.logmel import logmel
from wakelark.model_card import CARD_KEY, ModelCard
from wakelark.models.build import build_student
from wakelark.models.heads import HeadEnsemble
from wakelark.models.student import Student

from .swinging import swinging_heads, swinging_student

LOGMEL_TOLERANCE = 1e-5


def card_of(facts: NetworkFacts, **changes: Any) -> ModelCard:
    values: dict[str, Any] = {field.name: getattr(facts, field.name) for field in dataclasses.fields(facts)}
    values |= {
        "wakelark_version": "0.1.0",
        "phrase": "hey computer",
        "language": "en-us",
        "threshold": 0.5,
        "smoothing_steps": 2,
        "refractory_s": 1.5,
        "gate_db": 0.0,
        "gate_hold_s": 1.5,
        "fa_per_hour": 0.5,
        "created": "2026-11-22",
    }
    return ModelCard(**{**values, **changes})


@pytest.fixture(scope="module")
def student() -> Student:
    return swinging_student(gain=10)


@pytest.fixture(scope="module")
def ensemble() -> HeadEnsemble:
    return swinging_heads(gain=10, temperatures=[1.0, 2.0, 0.5], biases=[0.5, -1.0, 0.0])


def run_frames(graph: StreamGraph, frames: str, audio: np.ndarray) -> np.ndarray:
    """Frames of a front end as a graph: the first `LAG_FRAMES` hear the silence before the audio."""
    size = graph.state_size
    model = graph.finish(graph.reshape(frames, [1, -1]), {}).SerializeToString()
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    state, rows = np.zeros((1, size), np.float32), []
    for part in np.split(audio, [160, 1600, len(audio) // 160 // 2 * 160]):
        scores, state = session.run(None, {"audio": part[None], "state": state})
        rows.append(np.asarray(scores))
    return np.concatenate(rows, 1).reshape(len(audio) // 160, -1)


def logmel_difference(audio: np.ndarray) -> float:
    """The largest difference of a value between the graph and numpy, from the silence before the audio to its end."""
    whole = audio[: len(audio) // 160 * 160].astype(np.float32)
    graph = StreamGraph("front_end")
    frames = graph.node("Transpose", [add_logmel(graph)], {"perm": [1, 0]})
    ours = run_frames(graph, frames, whole)
    expected = logmel(np.concatenate([np.zeros(320, np.float32), whole]))
    assert len(ours) == len(expected) == len(whole) // 160
    return float(np.abs(ours - expected).max())


def test_logmel_in_the_graph_equals_numpy() -> None:
    audio = probe_audio(np.random.default_rng(5), seconds=4)
    assert logmel_difference(audio) < LOGMEL_TOLERANCE
    assert logmel_difference(audio + np.random.default_rng(6).standard_normal(len(audio)) * 1e-3) < LOGMEL_TOLERANCE


def hard_audio() -> dict[str, np.ndarray]:
    """Audio with bands far below their neighbours, where float32 is off by up to 1e-4."""
    time_s = np.arange(16_000) / 16_000
    vowel = np.sum([np.sin(2 * np.pi * 120 * k * time_s) / k for k in range(1, 30)], axis=0)
    tones = {f"tone of {hz:g} Hz": np.sin(2 * np.pi * hz * time_s) for hz in (50.0, 440.0, 1000.0, 3937.3, 7999.0)}
    return tones | {
        "loud vowel before digital silence": vowel / np.abs(vowel).max() * (np.arange(16_000) < 8_003),
        "full-scale square wave": np.where(np.sin(2 * np.pi * 217 * time_s) >= 0, 1.0, -1.0),
        "full-scale offset": np.ones(16_000),
        "alternating samples": np.where(np.arange(16_000) % 2, 1.0, -1.0),
        "impulse": (np.arange(16_000) == 5_000).astype(np.float64),
        "silence": np.zeros(16_000),
    }


@pytest.mark.parametrize("name", hard_audio())
def test_logmel_in_the_graph_on_hard_audio(name: str) -> None:
    assert logmel_difference(hard_audio()[name]) < LOGMEL_TOLERANCE


def test_logmel_in_the_graph_on_real_speech(real_recordings: Path) -> None:
    for path in sorted(real_recordings.glob("*/*.flac"))[::60]:
        audio = sf.read(path)[0]
        assert logmel_difference(audio) < LOGMEL_TOLERANCE, path.name
        assert logmel_difference(audio / np.abs(audio).max()) < LOGMEL_TOLERANCE, f"{path.name} at full scale"


def test_embedding_mel_in_the_graph_equals_torch() -> None:
    audio = probe_audio(np.random.default_rng(7), seconds=3)
    graph = StreamGraph("front_end")
    ours = run_frames(graph, add_embedding_mel(graph), audio)
    whole = np.concatenate([np.zeros(320, np.float32), audio, np.zeros(512, np.float32)])
    expected = EmbeddingMel()(torch.from_numpy(whole)[None])[0].numpy()
    np.testing.assert_allclose(ours, expected[: len(ours)], atol=1e-4, rtol=0)


def scores_of(path: Path, card: ModelCard, *, chunk_steps: int) -> np.ndarray:
    """The scores of eight seconds, which must move: the export's own comparison would otherwise say little."""
    audio = probe_audio(np.random.default_rng(0), seconds=8)
    scores = stream(path.read_bytes(), audio, card, output="scores", chunk_steps=lambda: chunk_steps)
    assert scores.std() > 0.01
    return scores


def test_student_streams_what_torch_says(student: Student, tmp_path: Path) -> None:
    path = tmp_path / "model_tiny.onnx"
    card = card_of(student_facts(student), logit_shift=-0.7)  # the comparison is with the network's logits, shifted
    exported = export_student(student, card, path)
    assert exported.difference < 1e-4
    assert exported.size_bytes == path.stat().st_size
    read = onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
    assert ModelCard.from_json(read.get_modelmeta().custom_metadata_map[CARD_KEY]) == card
    assert ModelCard.from_json((tmp_path / "model_tiny.onnx.json").read_text()) == card
    assert scores_of(path, card, chunk_steps=5).shape == (200,)


def test_accurate_streams_what_torch_says(ensemble: HeadEnsemble, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    card = card_of(accurate_facts(ensemble), logit_shift=0.4)
    assert export_accurate(ensemble, card, path).difference < 1e-4
    assert scores_of(path, card, chunk_steps=1).shape == (100,)
    assert card.pretrained[0].licence == "Apache-2.0"


def test_any_chunking_gives_the_same_scores(student: Student, tmp_path: Path) -> None:
    card = card_of(student_facts(student))
    model = (export_student(student, card, tmp_path / "m.onnx").path).read_bytes()
    audio = probe_audio(np.random.default_rng(3), seconds=8)
    one = stream(model, audio, card, output="scores", chunk_steps=lambda: 1)
    many = stream(model, audio, card, output="scores", chunk_steps=lambda: 64)
    np.testing.assert_allclose(one, many, atol=1e-6)


def test_the_state_is_audio_and_then_the_students_own(student: Student, tmp_path: Path) -> None:
    card = card_of(student_facts(student))
    model = export_student(student, card, tmp_path / "m.onnx").path.read_bytes()
    audio = probe_audio(np.random.default_rng(4), seconds=4)
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    state = np.zeros((1, card.state_size), np.float32)
    scores, state = (np.asarray(part) for part in session.run(None, {"audio": audio[None], "state": state}))
    frames = torch.from_numpy(logmel(np.concatenate([np.zeros(320, np.float32), audio]))[: len(audio) // 160].T.copy())
    with torch.inference_mode():
        logits, own = student.stream(frames[None], torch.zeros(1, student.state_size))
    np.testing.assert_array_equal(state[0, :320], audio[-320:])
    np.testing.assert_allclose(state[:, 320:], own.numpy(), atol=1e-3)
    np.testing.assert_allclose(scores, torch.sigmoid(logits).numpy(), atol=1e-4)


def test_sizes_of_the_state_as_documented(student: Student, ensemble: HeadEnsemble) -> None:
    assert student_facts(student).state_size == 320 + 40 + 64 * (2 + 2 + 4 + 4 + 6) + 16 * 9 * 2
    rows = 64 + 1536 + 2 * 1536 + 2 * 1152 + 2 * 768 + 2 * 384 + 192
    assert accurate_facts(ensemble).state_size == 320 + rows + 9 * 96


def test_warm_up_makes_the_first_state_forgotten(student: Student, ensemble: HeadEnsemble, tmp_path: Path) -> None:
    tiny, accurate = card_of(student_facts(student)), card_of(accurate_facts(ensemble))
    files = {
        tmp_path / "a.onnx": (tiny, export_student(student, tiny, tmp_path / "a.onnx")),
        tmp_path / "b.onnx": (accurate, export_accurate(ensemble, accurate, tmp_path / "b.onnx")),
    }
    audio = probe_audio(np.random.default_rng(3), seconds=8)
    for path, (card, _) in files.items():
        session = onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
        warm = np.zeros((1, card.warm_up_samples), np.float32)
        results = []
        for value in (0.0, 3.0):
            state = np.full((1, card.state_size), value, np.float32)
            state[0, :320] = 0  # the audio before the stream, which is silence in any case
            state = session.run(["new_state"], {"audio": warm, "state": state})[0]
            results.append(np.asarray(session.run(["scores"], {"audio": audio[None], "state": state})[0]))
        np.testing.assert_array_equal(results[0], results[1])


def test_sizes(student: Student, ensemble: HeadEnsemble, tmp_path: Path) -> None:
    tiny = export_student(student, card_of(student_facts(student)), tmp_path / "a.onnx")
    assert tiny.size_bytes < 225_000  # the network alone takes 170 kB
    accurate = export_accurate(ensemble, card_of(accurate_facts(ensemble)), tmp_path / "b.onnx")
    assert accurate.size_bytes < 2_500_000


def test_equal_networks_give_equal_bytes(student: Student, tmp_path: Path) -> None:
    card = card_of(student_facts(student))
    first = export_student(student, card, tmp_path / "a.onnx").path.read_bytes()
    assert export_student(student, card, tmp_path / "b.onnx").path.read_bytes() == first


def test_contract_of_the_file(student: Student, tmp_path: Path) -> None:
    card = card_of(student_facts(student))
    model = onnx.load(str(export_student(student, card, tmp_path / "a.onnx").path))
    assert [value.name for value in model.graph.input] == ["audio", "state"]
    assert [value.name for value in model.graph.output] == ["scores", "new_state"]
    shapes = {
        value.name: [dim.dim_value or dim.dim_param for dim in value.type.tensor_type.shape.dim]
        for value in [*model.graph.input, *model.graph.output]
    }
    size = card.state_size
    assert shapes == {"audio": [1, "n"], "state": [1, size], "scores": [1, "steps"], "new_state": [1, size]}
    assert not {node.op_type for node in model.graph.node} & {"Dropout", "BatchNormalization", "STFT"}


@pytest.mark.parametrize("field", ["step_samples", "state_size", "warm_up_samples", "parameters"])
def test_a_card_that_does_not_fit_is_refused(student: Student, tmp_path: Path, field: str) -> None:
    card = card_of(student_facts(student))
    other = dataclasses.replace(
        card, **{field: 2 * getattr(card, field)} | ({"warm_up_samples": 0} if field == "step_samples" else {})
    )
    with pytest.raises(ModelError, match=rf"the card says {field} = "):
        export_student(student, other, tmp_path / "m.onnx")
    assert list(tmp_path.iterdir()) == []


def test_a_graph_that_says_something_else_is_refused(student: Student, tmp_path: Path) -> None:
    card = card_of(student_facts(student))
    model = export_student(student, card, tmp_path / "m.onnx").path.read_bytes()
    steps = 60 * 16_000 // card.step_samples + card.warm_up_samples // card.step_samples
    rng = np.random.default_rng(0)
    with pytest.raises(ModelError, match="in a logit"):
        check_parity(model, lambda _: np.full(steps, -20, np.float32), card, lead_samples=0, rng=rng)
    with pytest.raises(ModelError, match=r"gives 1500 scores where the trained network gives 3"):
        check_parity(model, lambda _: np.zeros(steps - 1497, np.float32), card, lead_samples=0, rng=rng)


def test_a_diverged_network_is_not_written(student: Student, tmp_path: Path) -> None:
    broken = build_student(StudentConfig(trunk="none", channels=16, kernels=(3,), dropout=0.0))
    with torch.no_grad():
        broken.head.out.weight.fill_(float("nan"))
    with pytest.raises(ModelError, match="nothing was written"):
        export_student(broken, card_of(student_facts(broken)), tmp_path / "m.onnx")
    assert list(tmp_path.iterdir()) == []


def test_folding_a_batch_norm() -> None:
    torch.manual_seed(2)
    conv, norm = nn.Conv1d(4, 6, 3, bias=False), nn.BatchNorm1d(6)
    for _ in range(5):
        norm(conv(torch.randn(8, 4, 50) * 3 + 1))
    norm.eval()
    weight, bias = fold(conv, norm)
    values = torch.randn(2, 4, 20)
    folded = nn.functional.conv1d(values.double(), torch.from_numpy(weight), torch.from_numpy(bias))
    torch.testing.assert_close(folded.float(), norm(conv(values)), atol=1e-5, rtol=1e-5)
