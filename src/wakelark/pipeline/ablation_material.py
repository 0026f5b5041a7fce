"""What all runs of a phrase share: corpus, training views, development set, teacher, test set; and the mined clips."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from typing_extensions import override

from wakelark.audio import SAMPLE_RATE
from wakelark.config import Config
from wakelark.corpus.cache import content_key
from wakelark.corpus.clip import Clip
from wakelark.features.embedding import SpeechEmbedding
from wakelark.models.heads import HeadEnsemble
from wakelark.models.saved import load_heads, save_heads
from wakelark.pipeline.ablation_trials import HeldOutSet, prepare_held_out
from wakelark.pipeline.corpus import Corpus, build_corpus
from wakelark.pipeline.mining import AFTER_S, BEFORE_S, MinedEvent, TrainStream, mined_clips
from wakelark.pipeline.run_folder import slug
from wakelark.pipeline.teacher import TeacherJob, train_heads
from wakelark.pipeline.views import Prepared, prepare
from wakelark.training.batches import MIX
from wakelark.training.embedding_teacher import EmbeddingTeacher
from wakelark.training.stream_features import Progress
from wakelark.training.view_store import ViewStore

_MOST_SMOOTHING = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """What all runs of a phrase share.

    Attributes:
        config: of the ablation, with the phrase; every arm changes it.
        corpus: clips and recordings.
        prepared: training views and development set.
        heads_file: of the teacher, trained without mined clips, the same for all arms and seeds.
        held_out: the test set.
        folder: of the phrase.
        key: of everything above.
    """

    config: Config
    corpus: Corpus
    prepared: Prepared
    heads_file: Path
    held_out: HeldOutSet
    folder: Path
    key: str

    def heads(self) -> HeadEnsemble:
        """The teacher. It travels between processes as a file: tensors would travel as open files, one each."""
        return load_heads(self.heads_file)


def prepare_material(
    config: Config,
    positives: Path | None,
    folder: Path,
    *,
    resume_command: str,
    progress: Progress,
    warn: Callable[[str], None],
) -> Material:
    """Make, or find, what all runs of `config.phrase` share.

    Args:
        config: with the phrase; its seed is that of the views and of the teacher, not of the runs.
        positives: test clips; see `prepare_held_out`.
        folder: of the whole ablation; the phrase gets a folder in it.
        resume_command: named when the teacher's training is interrupted.
        progress: called with (done, total, what).
        warn: is told what is missing and what it costs.
    """
    name = slug(config.phrase)
    own = folder / name

    def labelled(done: int, total: int, what: str) -> None:
        progress(done, total, f"{config.phrase}: {what}")

    corpus = build_corpus(config, own / "manifest.jsonl", progress=labelled)
    for message in corpus.warnings:
        warn(f"{config.phrase}: {message}")
    prepared = prepare(config, corpus, own / "views", progress=labelled)
    made_of = content_key(prepared.data_key, [clip.id for clip in prepared.store.clips], config.augment.model_dump())
    name_of_teacher = f"teacher-{teacher_key(config, made_of)}"
    job = TeacherJob(
        config=config, store=prepared.store, development=prepared.development, data_key=prepared.data_key,
        folder=own / name_of_teacher, metrics=own / "teacher.jsonl", name="teacher",
        resume_command=resume_command,
    )  # fmt: skip
    heads = train_heads(job, progress=labelled, warn=warn)
    held_out = prepare_held_out(config, corpus, positives, own, progress=labelled)
    heads_file = own / f"{name_of_teacher}.safetensors"
    save_heads(heads, heads_file)
    fingerprint = EmbeddingTeacher(embedding=SpeechEmbedding(), heads=heads).fingerprint
    return Material(
        config=config, corpus=corpus, prepared=prepared, heads_file=heads_file, held_out=held_out,
        folder=own,
        key=content_key(config.phrase, made_of, fingerprint, held_out.key, config.evaluation.model_dump()),
    )  # fmt: skip


def teacher_key(config: Config, made_of: str) -> str:
    """Of everything the heads depend on; `made_of` is that of their training views."""
    training = config.training
    shared = training.model_dump(include={*MIX, "warmup_share", "clip_norm", "ema_decay"})
    return content_key(made_of, config.teacher.model_dump(), config.loss.model_dump(), config.seed, shared)[:12]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ShuffledStore(ViewStore):
    """Views whose embeddings, and so all that a teacher says of them, belong to another view of the same class.

    The student still hears the right audio: what is left of the teacher is how it speaks of a class as a whole.

    Attributes:
        seed: of the permutation.
    """

    seed: int

    @staticmethod
    def of(store: ViewStore, *, seed: int) -> ShuffledStore:
        """The store with its embeddings permuted."""
        return ShuffledStore(
            shards=store.shards, shard=store.shard, row=store.row, clips=store.clips, clip=store.clip, view=store.view,
            seed=seed,
        )  # fmt: skip

    @override
    def embeddings(self) -> NDArray[np.float16]:
        found = ViewStore.embeddings(self)
        rng = np.random.default_rng([self.seed, 0x5F])
        labels = self.labels
        for label in (0, 1):
            rows = np.flatnonzero(labels == label)
            found[rows] = found[rng.permutation(rows)]
        return found


def random_clips(count: int, streams: Sequence[TrainStream], *, seed: int) -> list[Clip]:
    """As many clips as were mined, from random places of the same recordings: the control of mining.

    Kind, length and flags are those of mined clips, so that batches and losses treat them alike.
    """
    rng = np.random.default_rng([seed, 0xA2])
    seconds = np.array([stream.clip.samples / SAMPLE_RATE for stream in streams])
    chosen = rng.choice(len(streams), size=count, p=seconds / seconds.sum())
    places = [
        MinedEvent(int(number), float(rng.uniform(BEFORE_S, max(BEFORE_S, seconds[number] - AFTER_S))), 0.0)
        for number in chosen
    ]
    return mined_clips(places, streams)


def matched_smoothing(material: Material) -> float:
    """Label smoothing whose targets have the mean entropy of the teacher's outputs, as the student is told them.

    The mean is over classes as batches hold them, at `distillation.temperature`. Smoothing `s` means targets `s / 2`
    and `1 - s / 2`.
    """
    config, store = material.config, material.prepared.store
    teacher = EmbeddingTeacher(embedding=SpeechEmbedding(), heads=material.heads())
    logits = torch.from_numpy(teacher.logits_of_embeddings(store.embeddings())).double()
    share = torch.sigmoid(logits / config.distillation.temperature).numpy()
    entropies = _entropy(share)
    positive = store.labels == 1
    weight = config.training.positive_share
    return smoothing_of_entropy(weight * entropies[positive].mean() + (1 - weight) * entropies[~positive].mean())


def smoothing_of_entropy(entropy: float) -> float:
    """The smoothing `s` with the binary entropy H(s / 2) = `entropy`, in nats; at most 0.5.

    >>> round(smoothing_of_entropy(float(_entropy(np.array(0.05)))), 6)
    0.1
    """
    low, high = 0.0, _MOST_SMOOTHING
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _entropy(np.array(middle / 2)) < entropy else (low, middle)
    return round(high, 6)


def _entropy(probability: NDArray[np.float64]) -> NDArray[np.float64]:
    """Binary entropy in nats."""
    p = np.clip(probability, 1e-12, 1 - 1e-12)
    return -(p * np.log(p) + (1 - p) * np.log1p(-p))
