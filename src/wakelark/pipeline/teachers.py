"""The teachers that `distillation.teachers` names: checked before anything is made, then put together."""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray

from wakelark.config import Config
from wakelark.errors import ConfigError, ModelError
from wakelark.features.embedding import SpeechEmbedding
from wakelark.model_card import ModelCard
from wakelark.models.build import AnyStudent
from wakelark.models.heads import HeadEnsemble
from wakelark.models.saved import load_student
from wakelark.pipeline.run_folder import RunFolder
from wakelark.pipeline.teacher_names import TeacherName, teacher_names
from wakelark.training.embedding_teacher import EmbeddingTeacher
from wakelark.training.heard_views import heard_views
from wakelark.training.huggingface_model import HuggingFaceModel
from wakelark.training.huggingface_teacher import HuggingFaceTeacher
from wakelark.training.pooled_head import fit_pooled_head, pooled
from wakelark.training.run_teacher import RunTeacher
from wakelark.training.stream_features import Progress
from wakelark.training.teacher import CachedTeacher, Teacher, check_embeddings, check_teacher
from wakelark.training.teacher_ensemble import TeacherEnsemble, combined_log_odds
from wakelark.training.view_store import ViewStore
from wakelark.training.views import WINDOW_SAMPLES

_PORTION = 512
_PREFLIGHT_CLIPS = 8


def asks_teacher(config: Config) -> bool:
    """Whether the student's training needs a teacher's logits: to distil, or to tell which negatives are hard."""
    return config.distillation.enabled or config.loss.teacher_hard_share > 0


def check_teachers(config: Config) -> None:
    """Load every teacher that exists already and let it hear a few clips: seconds, before the hours.

    Raises:
        ConfigError: an entry of `distillation.teachers` is of no known kind, or a run is for another phrase.
        ModelError: a teacher is missing, damaged, of another kind, or its answers cannot teach.
        SetupError: the extra `hf` is not installed.
    """
    if not asks_teacher(config):
        return
    probe = torch.from_numpy(_probe_clips())
    for name in teacher_names(config.distillation.teachers):
        try:
            if name.kind == "run":
                check_teacher(RunTeacher(load_run(name, config.phrase)), probe)
            elif name.kind == "hf":
                model = HuggingFaceModel(name.folder, device="cpu")
                check_embeddings(model.hidden_states(probe), grid=model.grid, samples=probe.shape[1])
                if model.classifies:
                    check_teacher(HuggingFaceTeacher(model, head=None), probe)
        except ModelError as error:
            raise _named(name, error) from error


@cache
def teacher_fingerprint(name: TeacherName, phrase: str) -> str:
    """Of the weights that a name stands for; "heads" for those of the run itself. Looked at once per process.

    Raises:
        ConfigError, ModelError, SetupError: as `check_teachers`.
    """
    if name.kind == "heads":
        return "heads"
    try:
        if name.kind == "run":
            return f"run:{RunTeacher(load_run(name, phrase)).fingerprint}"
        return f"hf:{HuggingFaceModel(name.folder, device='cpu').fingerprint}"
    except ModelError as error:
        raise _named(name, error) from error


def build_teacher(
    config: Config, *, heads: HeadEnsemble, store: ViewStore, device: str, progress: Progress
) -> CachedTeacher:
    """The teacher of a run, which has already heard every view.

    The heads answer from the stored embeddings in seconds. What other teachers say is kept on disk beside the views,
    so it takes long once only.

    Args:
        config: `distillation.teachers` and `phrase` are used.
        heads: of this run.
        store: the training views; a bare backbone's head is fitted to them.
        device: "cpu" or "cuda", for Hugging Face models.
        progress: called with (views heard, views, what).

    Raises:
        ConfigError, ModelError, SetupError: as `check_teachers`.
    """
    few = store.audio(np.linspace(0, len(store) - 1, min(_PREFLIGHT_CLIPS, len(store))).astype(int))
    members: list[Teacher] = []
    said: list[NDArray[np.float32]] = []
    for name in teacher_names(config.distillation.teachers):
        try:
            teacher, logits = _member(name, config, heads, store, device, progress)
            check_teacher(teacher, torch.from_numpy(few))
        except ModelError as error:
            raise _named(name, error) from error
        members.append(teacher)
        said.append(logits)
    if len(members) == 1:
        teacher, logits = members[0], said[0]
    else:
        teacher, logits = TeacherEnsemble(members), combined_log_odds(torch.from_numpy(np.stack(said))).numpy()
    cached = CachedTeacher(teacher)
    for first in range(0, len(store), _PORTION):
        rows = np.arange(first, min(first + _PORTION, len(store)))
        cached.remember(store.audio(rows), logits[rows])
    return cached


def hear_views(config: Config, *, heads: HeadEnsemble, store: ViewStore, device: str, progress: Progress) -> None:
    """Let the slow teachers hear all views now, once for all trainings, each of which calls `build_teacher`.

    Arguments and errors are those of `build_teacher`.
    """
    for name in teacher_names(config.distillation.teachers):
        if name.kind != "heads":
            try:
                _member(name, config, heads, store, device, progress)
            except ModelError as error:
                raise _named(name, error) from error


def _member(
    name: TeacherName, config: Config, heads: HeadEnsemble, store: ViewStore, device: str, progress: Progress
) -> tuple[Teacher, NDArray[np.float32]]:
    """A teacher, and its logits of all views `[V]`."""
    if name.kind == "heads":
        teacher = EmbeddingTeacher(embedding=SpeechEmbedding(), heads=heads)
        return teacher, teacher.logits_of_embeddings(store.embeddings())
    what = f"views heard by {name.kind}:{name.folder.name}"
    if name.kind == "run":
        teacher = RunTeacher(load_run(name, config.phrase))
    else:
        model = HuggingFaceModel(name.folder, device=device)
        if not model.classifies:
            features = heard_views(
                store, lambda audio: pooled(model.hidden_states(audio)), key=f"pooled-{model.fingerprint}",
                size=2 * model.grid.size, progress=progress, what=what,
            )  # fmt: skip
            head = fit_pooled_head(features, store.labels)
            return HuggingFaceTeacher(model, head=head), head(torch.from_numpy(features)).numpy()
        teacher = HuggingFaceTeacher(model, head=None)
    logits = heard_views(
        store, lambda audio: teacher.logits(audio)[:, None], key=teacher.fingerprint, size=1, progress=progress,
        what=what,
    )  # fmt: skip
    return teacher, logits[:, 0]


def load_run(name: TeacherName, phrase: str) -> AnyStudent:
    """The student of a finished run.

    Raises:
        ModelError: the run has none, or its file is damaged.
        ConfigError: the run is for another phrase.
    """
    folder = RunFolder(name.folder)
    student = load_student(folder.saved_student)
    card = folder.tiny.with_name(folder.tiny.name + ".json")
    if card.is_file():
        other = ModelCard.from_json(card.read_text(encoding="utf-8")).phrase
        if other.strip().casefold() != phrase.strip().casefold():
            raise ConfigError(f"{name} was trained for {other!r} and cannot teach {phrase!r}; name a run for it")
    return student


def _named(name: TeacherName, error: ModelError) -> ModelError:
    where = "" if str(name) in str(error) else f", {name}"
    return ModelError(f"distillation.teachers{where}: {error}")


def _probe_clips() -> NDArray[np.float32]:
    """Different sounds of a view's length: noise, each louder and duller than the one before. Shape: `-> [4, 32000]`"""
    noise = np.random.default_rng(0).standard_normal((4, WINDOW_SAMPLES))
    for row, clip in enumerate(noise):
        clip[:] = np.convolve(clip, np.ones(1 + 4 * row) / (1 + 4 * row), mode="same") * 10.0 ** (row / 2 - 3)
    return noise.astype(np.float32)
