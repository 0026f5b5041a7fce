"""Hugging Face directories, with small random models: no weights come with the package, and none are downloaded."""

from __future__ import annotations

import json
import pickle
import shutil
import socket
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from wakelark.config import Config, DistillationConfig
from wakelark.corpus.clip import Clip
from wakelark.errors import ModelError
from wakelark.models.heads import EmbeddingHead, HeadEnsemble
from wakelark.pipeline.teachers import build_teacher, check_teachers, hear_views
from wakelark.training.huggingface_model import HuggingFaceModel, check_transformers
from wakelark.training.huggingface_teacher import HuggingFaceTeacher
from wakelark.training.teacher import CachedTeacher, check_embeddings, check_teacher
from wakelark.training.view_store import RECORD, ViewStore, shard_bytes

transformers = pytest.importorskip("transformers", reason="transformers (the extra hf) is not installed")

SMALL = {
    "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32, "conv_dim": (8,) * 7,
    "num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 2,
}  # fmt: skip
FAMILIES = {"wav2vec2": "Wav2Vec2", "hubert": "Hubert", "wavlm": "WavLM"}


def directory(
    folder: Path, family: str = "wav2vec2", *, head: str = "", normalise: bool = True, labels: int = 2
) -> Path:
    """A saved model with random weights; `head` is "ForSequenceClassification" or "ForCTC" or nothing."""
    check_transformers()
    torch.manual_seed(0)
    name = FAMILIES[family]
    config = getattr(transformers, f"{name}Config")(**SMALL, num_labels=labels, vocab_size=12)
    getattr(transformers, f"{name}{head or 'Model'}")(config).eval().save_pretrained(folder)
    transformers.Wav2Vec2FeatureExtractor(do_normalize=normalise).save_pretrained(folder)
    return folder


def noise(count: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(-8000, 8000, (count, 32_000), generator=generator).to(torch.int16)


def no_progress(done: int, total: int, what: str) -> None:
    pass


@pytest.mark.parametrize("family", FAMILIES)
def test_hidden_states_are_the_models_own(tmp_path: Path, family: str) -> None:
    folder = directory(tmp_path, family)
    model = HuggingFaceModel(folder, device="cpu")
    audio = noise(10)
    found = model.hidden_states(audio)
    extractor = transformers.AutoFeatureExtractor.from_pretrained(str(folder), local_files_only=True)
    inputs = extractor(list(audio.numpy() / np.float32(32768)), sampling_rate=16_000, return_tensors="pt").input_values
    reference = transformers.AutoModel.from_pretrained(str(folder), local_files_only=True).eval()
    with torch.no_grad():
        expected = torch.stack(reference(inputs, output_hidden_states=True).hidden_states).mean(dim=0)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-3)
    # strides 5, 2 x 6 and kernels 10, 3 x 4, 2 x 2: 20 ms and 25 ms
    assert (model.grid.hop_samples, model.grid.span_samples, model.grid.size) == (320, 400, 16)
    check_embeddings(found, grid=model.grid, samples=32_000)
    assert not model.classifies


@pytest.mark.parametrize("family", FAMILIES)
def test_a_fine_tuned_head_is_used_as_it_is(tmp_path: Path, family: str) -> None:
    folder = directory(tmp_path, family, head="ForSequenceClassification", normalise=False)
    teacher = HuggingFaceTeacher(HuggingFaceModel(folder, device="cpu"), head=None)
    audio = noise(3)
    reference = transformers.AutoModelForAudioClassification.from_pretrained(str(folder), local_files_only=True).eval()
    with torch.no_grad():
        logits = reference(audio.float() / 32768).logits
    torch.testing.assert_close(teacher.logits(audio), logits[:, 1] - logits[:, 0], atol=1e-5, rtol=1e-4)
    check_teacher(teacher, audio)
    assert teacher.embeddings(audio).shape == (3, teacher.grid.count(32_000), teacher.grid.size)
    with pytest.raises(ModelError, match="one head"):
        HuggingFaceTeacher(HuggingFaceModel(directory(tmp_path / "bare", family), device="cpu"), head=None)


def test_fingerprints_tell_weights_and_normalisation_apart(tmp_path: Path) -> None:
    folder = directory(tmp_path)
    names = {HuggingFaceModel(folder, device="cpu").fingerprint}
    assert names == {HuggingFaceModel(folder, device="cpu").fingerprint}
    change(folder / "preprocessor_config.json", do_normalize=False)
    names.add(HuggingFaceModel(folder, device="cpu").fingerprint)
    weights = load_file(folder / "model.safetensors")
    weights[min(weights)] += 0.01
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    names.add(HuggingFaceModel(folder, device="cpu").fingerprint)
    assert len(names) == 3


def change(path: Path, **values: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def without(folder: Path, name: str) -> None:
    weights = load_file(folder / "model.safetensors")
    del weights[name]
    save_file(weights, folder / "model.safetensors", {"format": "pt"})


def test_directories_that_cannot_teach_are_refused_before_anything_is_made(tmp_path: Path) -> None:
    good, count = directory(tmp_path / "good"), 0

    def refused(message: str, folder: Path) -> None:
        config = Config(phrase="hey computer", distillation=DistillationConfig(teachers=["heads", f"hf:{folder}"]))
        with pytest.raises(ModelError, match=message):
            check_teachers(config)

    def copy() -> Path:
        nonlocal count
        count += 1
        return shutil.copytree(good, tmp_path / f"copy-{count}")

    refused("no such directory", tmp_path / "gone")
    refused("no config.json", tmp_path)
    folder = copy()
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    refused(r"pickle \(pytorch_model.bin\).*save_pretrained", folder)
    (folder / "pytorch_model.bin").unlink()
    refused("no model.safetensors", folder)
    folder = copy()
    (folder / "preprocessor_config.json").unlink()
    refused("no preprocessor_config.json", folder)
    folder = copy()
    (folder / "config.json").write_text("{")
    refused("cannot be read", folder)
    folder = copy()
    (folder / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:-50])
    refused("cannot be loaded", folder)
    for name, values, message in (
        ("preprocessor_config.json", {"sampling_rate": 44_100}, "44100 Hz"),
        ("preprocessor_config.json", {"do_normalize": "yes"}, "lacks do_normalize"),
        ("config.json", {"model_type": "bert"}, "'bert' is not supported"),
        ("config.json", {"hidden_size": 32}, "lacks weights|cannot be loaded"),
    ):
        folder = copy()
        change(folder / name, **values)
        refused(message, folder)
    folder = copy()
    without(folder, "encoder.layers.1.final_layer_norm.weight")
    refused("lacks weights.*final_layer_norm", folder)
    refused("5 classes", directory(tmp_path / "five", head="ForSequenceClassification", labels=5))


def test_answers_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    folder = directory(tmp_path)
    weights = load_file(folder / "model.safetensors")
    weights["encoder.layer_norm.weight"] *= float("nan")
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    config = Config(phrase="hey computer", distillation=DistillationConfig(teachers=[f"hf:{folder}"]))
    with pytest.raises(ModelError, match=f"hf:{folder}.*not finite"):
        check_teachers(config)


def loud_and_quiet(folder: Path) -> ViewStore:
    """Forty views; those with the phrase are a tone, the others noise."""
    rng = np.random.default_rng(0)
    labels = np.arange(40, dtype=np.int32) % 2
    records = np.zeros(40, RECORD)
    tones = np.sin(np.arange(32_000) * rng.uniform(0.1, 0.3, (40, 1)))
    records["audio"] = 3000 * np.where(labels[:, None], tones, rng.normal(0, 1, (40, 32_000)))
    folder.mkdir()
    (folder / "a.npy").write_bytes(shard_bytes(records))
    clips = tuple(Clip(id=str(n), path="", samples=32_000, label=n, kind=("sentence", "alone")[n]) for n in (0, 1))
    order = np.arange(40, dtype=np.int32)
    return ViewStore(shards=(folder / "a.npy",), shard=order * 0, row=order, clips=clips, clip=labels, view=order)


def test_a_backbone_gets_a_head_of_ours(tmp_path: Path) -> None:
    store = loud_and_quiet(tmp_path / "views")
    folder = directory(tmp_path / "model", head="ForCTC")  # its own head says letters: the backbone is taken
    config = Config(phrase="hey computer", distillation=DistillationConfig(teachers=[f"hf:{folder}"]))
    heads = HeadEnsemble([EmbeddingHead(context_steps=10, hidden=4, dropout=0)], temperatures=[1.0], biases=[0.0])
    heard: list[str] = []

    def built() -> CachedTeacher:
        return build_teacher(
            config, heads=heads, store=store, device="cpu", progress=lambda done, total, what: heard.append(what)
        )

    check_teachers(config)
    hear_views(config, heads=heads, store=store, device="cpu", progress=no_progress)
    teacher = built()
    assert heard == [], "everything was on disk"
    audio = torch.from_numpy(store.audio(np.arange(40)))
    logits = teacher.logits(audio)
    assert ((logits > 0).numpy() == store.labels).mean() >= 0.95
    assert len(teacher) == 40, "all were known before they were asked"
    assert teacher.fingerprint == built().fingerprint != HuggingFaceModel(folder, device="cpu").fingerprint
    live = teacher.logits(torch.flip(audio, [1]))
    assert len(teacher) == 80
    assert bool(torch.isfinite(live).all())


def test_nothing_but_the_safetensors_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No network, no pickle, no code of the directory, even where the directory offers them."""
    folder = directory(tmp_path / "model")
    expected = HuggingFaceModel(folder, device="cpu").fingerprint
    trace = tmp_path / "was-run"
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Bomb(str(trace))))
    (folder / "evil.py").write_text(f"open({str(trace)!r}, 'w')\n")
    change(folder / "config.json", auto_map={"AutoModel": "evil.Model", "AutoConfig": "evil.Config"})

    def refuse(*_: object) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    assert HuggingFaceModel(folder, device="cpu").fingerprint == expected
    assert not trace.exists()


class Bomb:
    """Unpickling it leaves a trace."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return open, (self.path, "w")
