"""From a store of views to a trained student: what the configuration asks for reaches the batches and the loss."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from wakelark.config import Config
from wakelark.corpus.clip import Clip
from wakelark.models.heads import EmbeddingHead, HeadEnsemble
from wakelark.pipeline.development import DevelopmentSet, PositiveTrial
from wakelark.pipeline.student import StudentJob, StudentTraining, TrainedStudent
from wakelark.training.stream_features import StreamFeatures
from wakelark.training.view_store import RECORD, ViewStore, shard_bytes

VIEWS = 40


def config() -> Config:
    made = Config(phrase="hey computer", seed=4)
    for name, value in {"steps": 6, "steps_per_epoch": 3, "batch_size": 8}.items():
        setattr(made.training, name, value)
    made.student.trunk = "none"
    made.student.channels = 8
    made.trunk.components = 4
    return made


def store(folder: Path) -> ViewStore:
    """Every other view is the phrase; noise everywhere, flagged hard nowhere."""
    rng = np.random.default_rng(0)
    records = np.zeros(VIEWS, RECORD)
    records["audio"] = rng.normal(0, 1000, (VIEWS, 32_000))
    records["logmel"] = rng.normal(0, 1, (VIEWS, 40, 198))
    records["embeddings"] = rng.normal(0, 5, (VIEWS, 16, 96))
    (folder / "a.npy").write_bytes(shard_bytes(records))
    kinds = ("sentence", "alone")
    clips = tuple(
        Clip(id=kinds[n], path="", samples=32_000, label=n, kind=kinds[n], engine="piper", voice=f"v{n}")
        for n in (0, 1)
    )
    order = np.arange(VIEWS, dtype=np.int32)
    return ViewStore(shards=(folder / "a.npy",), shard=0 * order, row=order, clips=clips, clip=order % 2, view=order)


def train(folder: Path, settings: Config) -> tuple[TrainedStudent, list[dict[str, Any]]]:
    torch.manual_seed(0)
    rng = np.random.default_rng(1)
    stream = StreamFeatures(
        "s", 64_000, rng.normal(0, 1, (398, 40)).astype(np.float16), rng.normal(0, 5, (41, 96)).astype(np.float16)
    )
    head = EmbeddingHead(context_steps=10, hidden=4, dropout=0.0)
    job = StudentJob(
        config=settings, store=store(folder), data_key="d", folder=folder / "checkpoints",
        development=DevelopmentSet([PositiveTrial(stream, 0.0, 4.0, 0, False)], [stream], settings.evaluation),
        teacher=HeadEnsemble([head], temperatures=[1.0], biases=[0.0]), metrics=folder / "metrics.jsonl",
        device="cpu", name="student", resume_command="again",
    )  # fmt: skip
    trained = StudentTraining(job, 0).run(lambda done, steps: None)
    return trained, [json.loads(line) for line in job.metrics.read_text().splitlines()]


def test_every_term_is_on_when_the_configuration_says_so(tmp_path: Path) -> None:
    settings = config()
    for name, value in {"gated": True, "logit_weight": 0.3, "embedding_weight": 1.0}.items():
        setattr(settings.distillation, name, value)
    trained, lines = train(tmp_path, settings)
    assert len(lines) == 2
    for line in lines:
        shares = [line[f"share_{name}"] for name in ("supervised", "steps", "distillation", "logit", "embedding")]
        assert sum(shares) == pytest.approx(1.0, rel=1e-5)
        assert line["share_embedding"] > 0
    assert trained.result.distilled_share == 1.0
    assert not any("projection" in name for name in trained.weights)


@pytest.mark.parametrize("enabled", [True, False])
def test_flags_from_the_teachers_scores_weigh_also_without_distillation(tmp_path: Path, enabled: bool) -> None:
    figures = []
    for share in (0.0, 0.99):
        folder = tmp_path / str(share)
        folder.mkdir()
        settings = config()
        settings.distillation.enabled = enabled
        settings.distillation.alpha = 0.0
        settings.loss.hard_negative_weight = 2.0
        settings.loss.teacher_hard_share = share
        _, lines = train(folder, settings)
        figures.append(lines[0]["supervised"])
    assert figures[1] > 1.3 * figures[0]  # nearly all negatives, most of every batch, weigh twice


def test_without_further_terms_nothing_of_them_is_logged(tmp_path: Path) -> None:
    _, lines = train(tmp_path, config())
    assert (lines[0]["logit"], lines[0]["embedding"], lines[0]["share_embedding"]) == (None, None, 0.0)
