"""The trunk learns the embedding: by hand, in a training with every term on, and across a resume."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from wakelark.config import Config
from wakelark.errors import ConfigError, DataError
from wakelark.losses.embedding import Whitening
from wakelark.models.bc_resnet import BcResNet
from wakelark.models.build import AnyStudent
from wakelark.models.student import Student
from wakelark.training.alignment import Grid
from wakelark.training.batch import Batch
from wakelark.training.build import build_optimizer, build_regression, build_trainer, loop_settings, run_identity
from wakelark.training.checkpoint import CheckpointFolder
from wakelark.training.embedding_regression import EmbeddingRegression
from wakelark.training.metrics_log import MetricsLog
from wakelark.training.trainer import Trainer
from wakelark.training.training_loop import TrainingPlan, TrainingResult, run_training


class Teacher(nn.Module):
    def forward(self, audio: Tensor) -> Tensor:
        return 20 * audio.mean(dim=1)


def every_term() -> Config:
    made = Config(seed=3)
    for name, value in {"steps": 16, "steps_per_epoch": 8, "batch_size": 8, "learning_rate": 0.01}.items():
        setattr(made.training, name, value)
    made.trunk.components = 5
    for name, value in {"gated": True, "logit_weight": 0.3, "embedding_weight": 1.0, "alpha": 0.2}.items():
        setattr(made.distillation, name, value)
    for name, value in {"focal_gamma": 1.0, "label_smoothing": 0.05, "negative_weight_end": 2.0}.items():
        setattr(made.loss, name, value)
    return made


def small_student() -> Student:
    return Student(channels=8, kernels=(3, 3, 5, 5, 7), rank=4, templates=4, taps=10, dilation=2, dropout=0.1)


def embeddings_of(epoch: int, index: int, count: int = 8) -> Tensor:
    """Embeddings of few dimensions, so that there is something to learn."""
    generator = torch.Generator().manual_seed(1000 * epoch + index)
    return torch.randn(count, 16, 6, generator=generator) @ torch.arange(6 * 96.0).reshape(6, 96).sin()


def batches(epoch: int) -> Iterator[Batch]:
    for index in range(8):
        embeddings = embeddings_of(epoch, index)
        targets = (torch.arange(8) < 3).float()
        # The first mel bands say what the embedding is, so that the trunk can know.
        frames = embeddings[:, :, :40].repeat_interleave(8, dim=1).transpose(1, 2)
        features = torch.cat([torch.zeros(8, 40, 70), frames], dim=2)
        features[:, 39] += 3 * targets[:, None]
        audio = (targets[:, None] - 0.5).repeat(1, 8)
        audio[0] *= -1  # the teacher errs
        yield Batch(
            targets=targets, features=features, raw_audio=audio, teacher_embeddings=embeddings,
            is_hard_negative=torch.arange(8) == 5, examples=list(range(8)),
        )  # fmt: skip


def run(
    config: Config, folder: Path | None = None, on_step: Callable[[int, int], None] = lambda step, steps: None
) -> tuple[Trainer, TrainingResult]:
    torch.manual_seed(config.seed)
    student = small_student()
    regression = build_regression(config, model=student, embeddings=embeddings_of(9, 9, 64).numpy())
    teacher = Teacher()
    trainer = build_trainer(config, model=student, teacher=teacher, regression=regression)
    plan = TrainingPlan(
        settings=loop_settings(config, select_every=1),
        batches=batches,
        select=lambda model: 0.5,
        checkpoints=CheckpointFolder(folder / "student", keep=2, report=print) if folder else None,
        identity=run_identity(config, model=student, teacher=None, data_key="d", regression=regression),
        metrics=MetricsLog(folder / "metrics.jsonl", stage="student") if folder else None,
        on_step=on_step,
        on_epoch=lambda line: None,
        resume_command="again",
    )
    return trainer, run_training(trainer, plan)


def bits(module: nn.Module) -> bytes:
    return b"".join(tensor.numpy().tobytes() for tensor in module.state_dict().values())


class Killed(Exception):
    pass


def test_every_term_is_logged_apart_and_the_shares_are_the_whole(tmp_path: Path) -> None:
    config = every_term()
    trainer, _ = run(config, tmp_path)
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    for line in lines:
        shares = [line[f"share_{name}"] for name in ("supervised", "steps", "distillation", "logit", "embedding")]
        assert all(share > 0 for share in shares)
        assert sum(shares) == pytest.approx(1.0, rel=1e-5)
        assert line["teacher_right_share"] == pytest.approx(7 / 8)
        assert line["distilled_share"] == 1.0
    first = lines[0]
    assert first["share_logit"] == pytest.approx(0.3 * first["logit"] / first["loss"], rel=1e-5)
    assert first["share_embedding"] == pytest.approx(first["embedding"] / first["loss"], rel=1e-5)
    assert lines[1]["embedding"] < first["embedding"]
    # What is exported is the model alone.
    assert trainer.model.state_dict().keys() == small_student().state_dict().keys()


@pytest.mark.parametrize("step", [5, 8, 13])
def test_killed_and_resumed_projection_and_student_end_with_the_same_bits(tmp_path: Path, step: int) -> None:
    def kill(done: int, steps: int) -> None:
        if done == step:
            raise Killed

    whole, expected = run(every_term())
    with pytest.raises(Killed):
        run(every_term(), tmp_path, kill)
    resumed, result = run(every_term(), tmp_path)
    assert bits(resumed.model) == bits(whole.model)
    assert bits(resumed.companions) == bits(whole.companions)
    timings = ("seconds", "clips_per_s")
    assert [{k: v for k, v in line.items() if k not in timings} for line in result.history] == [
        {k: v for k, v in line.items() if k not in timings} for line in expected.history
    ]


@pytest.mark.parametrize(
    ("student", "pairs"), [(small_student(), 16), (BcResNet(width=0.5, dropout=0.1), 6)], ids=["ds_tcn", "bc_resnet"]
)
def test_every_student_learns_embeddings_and_the_trainers_forward_is_its_own(student: AnyStudent, pairs: int) -> None:
    config = every_term()
    student.eval()
    regression = build_regression(config, model=student, embeddings=embeddings_of(9, 9, 64).numpy())
    trainer = build_trainer(config, model=student, teacher=Teacher(), regression=regression)
    batch = next(batches(0))
    forward = trainer.forward(batch)
    assert torch.equal(forward.step_logits, student(batch.features))
    assert torch.equal(forward.outputs, forward.step_logits.amax(dim=1))
    assert forward.trunk is not None
    assert torch.equal(forward.trunk, student.trunk(batch.features))
    # The first embeddings end before a network of a longer memory has heard enough for its first step.
    assert batch.teacher_embeddings is not None
    changed = batch.teacher_embeddings.clone()
    changed[:, : 16 - pairs] = 0
    losses = regression(forward.trunk, batch.teacher_embeddings)
    assert torch.equal(regression(forward.trunk, changed), losses)
    changed[:, 16 - pairs] = 0
    assert not torch.equal(regression(forward.trunk, changed), losses)


def test_the_loss_by_hand() -> None:
    """One component, identity whitening, projection 2 x + 1: squared error plus 0.3 * (1 - cosine), mean of steps."""
    one = torch.ones(1)
    whitening = Whitening(mean=0 * one, deviation=one, components=torch.ones(1, 1), eigenvalues=one, total_variance=1.0)
    regression = EmbeddingRegression(
        channels=1, whitening=whitening, steps=Grid(10, 100), embeddings=Grid(20, 100), seed=0
    )
    nn.init.constant_(regression.projection.weight, 2.0)
    nn.init.constant_(regression.projection.bias, 1.0)
    trunk = torch.tensor([[[0.0, 9.0, 1.0]]])  # steps 0 and 2 belong to the two embeddings
    embeddings = torch.tensor([[[3.0], [-1.0]]])
    # 1 against 3: 4 + 0; 3 against -1: 16 + 0.3 * 2
    assert regression(trunk, embeddings).tolist() == pytest.approx([(4.0 + 16.6) / 2])


def test_embeddings_alone_count_as_distilled_and_fade_out() -> None:
    config = every_term()
    config.distillation.alpha = config.distillation.logit_weight = 0.0
    student = small_student()
    regression = build_regression(config, model=student, embeddings=embeddings_of(9, 9, 64).numpy())
    trainer = build_trainer(config, model=student, teacher=Teacher(), regression=regression)
    batch = next(batches(0))
    weights = []
    for progress in (0.0, 0.75, 0.875, 1.0):
        trainer.progress = progress
        forward = trainer.forward(batch)
        trainer.compute_loss(outputs=forward.outputs, targets=batch.targets, inputs=batch.raw_audio)
        trainer.auxiliary_loss(forward, batch)
        weights.append(trainer.terms.weights["embedding"])
    assert weights == [1.0, 1.0, 0.5, 0.0]
    assert trainer.counters.distilled_share == 1.0
    assert trainer.counters.why_not_distilled() == ""


def test_gradients_reach_trunk_and_projection_and_not_the_whitening() -> None:
    config = every_term()
    student = small_student()
    regression = build_regression(config, model=student, embeddings=embeddings_of(9, 9, 64).numpy())
    batch = next(batches(0))
    assert batch.teacher_embeddings is not None
    regression(student.trunk(batch.features), batch.teacher_embeddings).sum().backward()
    for parameter in (*student.trunk.parameters(), *regression.parameters()):
        assert parameter.grad is not None
        assert parameter.grad.abs().sum() > 0
    assert {name.split(".")[0] for name, _ in regression.named_parameters()} == {"projection"}


def test_a_batch_without_embeddings_is_named() -> None:
    config = every_term()
    student = small_student()
    regression = build_regression(config, model=student, embeddings=embeddings_of(9, 9, 64).numpy())
    trainer = build_trainer(config, model=student, teacher=Teacher(), regression=regression)
    whole = next(batches(0))
    batch = Batch(targets=whole.targets, features=whole.features, raw_audio=whole.raw_audio)
    forward = trainer.forward(batch)
    trainer.compute_loss(outputs=forward.outputs, targets=batch.targets, inputs=batch.raw_audio)
    with pytest.raises(DataError, match=r"no teacher embeddings.*embedding_weight"):
        trainer.auxiliary_loss(forward, batch)
    with pytest.raises(DataError, match="very same audio"):
        regression(torch.zeros(2, 8, 31), torch.zeros(3, 16, 96))


def test_the_projection_starts_the_same_and_touches_no_other_random_number() -> None:
    config = every_term()
    student = small_student()
    rows = embeddings_of(9, 9, 64).numpy()
    torch.manual_seed(1)
    first = build_regression(config, model=student, embeddings=rows)
    after = torch.rand(1)
    torch.manual_seed(2)
    assert bits(build_regression(config, model=student, embeddings=rows)) == bits(first)
    torch.manual_seed(1)
    nn.Linear(8, 5)  # what the constructor draws before its weights are replaced
    assert torch.equal(torch.rand(1), after)


def test_a_model_without_a_trunk_cannot_learn_embeddings() -> None:
    with pytest.raises(ConfigError, match=r"Linear has no trunk"):
        build_regression(every_term(), model=nn.Linear(1, 1), embeddings=np.zeros((4, 16, 96), np.float16))


def test_the_trunk_has_a_rate_of_its_own() -> None:
    student = small_student()
    companion = nn.Linear(2, 2)
    optimizer = build_optimizer(student, learning_rate=0.1, weight_decay=0.01, trunk_rate=0.25, companion=companion)
    factor_of = {id(p): group["rate_factor"] for group in optimizer.param_groups for p in group["params"]}
    decay_of = {id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    for name, parameter in student.named_parameters():
        assert factor_of[id(parameter)] == (0.25 if name.startswith("trunk.") else 1.0)
        assert decay_of[id(parameter)] == (0.01 if parameter.ndim > 1 else 0.0)
    assert all(factor_of[id(parameter)] == 1.0 for parameter in companion.parameters())
    even = build_optimizer(student, learning_rate=0.1, weight_decay=0.01, trunk_rate=1.0)
    assert [group["rate_factor"] for group in even.param_groups] == [1.0, 1.0]


def test_the_loop_honours_the_rate_factor() -> None:
    config = every_term()
    config.distillation.enabled = False
    rates: list[list[float]] = []
    torch.manual_seed(0)
    student = small_student()
    before = {name: value.clone() for name, value in student.named_parameters()}
    optimizer = build_optimizer(student, learning_rate=0.01, weight_decay=0.01, trunk_rate=0.0)
    trainer = Trainer(model=student, optimizer=optimizer, loss=config.loss)
    plan = TrainingPlan(
        settings=loop_settings(config, select_every=1),
        batches=batches,
        select=lambda model: math.nan if not rates else 0.5,
        checkpoints=None,
        identity={},
        metrics=None,
        on_step=lambda step, steps: rates.append([group["lr"] for group in optimizer.param_groups]),
        on_epoch=lambda line: None,
        resume_command="again",
    )
    run_training(trainer, plan)
    assert len(rates) == 16
    assert all(head > 0 and trunk == 0 for head, _, trunk, _ in rates)
    changed = {name for name, value in student.named_parameters() if not torch.equal(value, before[name])}
    assert changed == {name for name in before if name.startswith("head.")}


def test_a_trunk_at_rate_0_is_frozen() -> None:
    """It has no gradients: they would cost time, and their norm would clip those of the head."""
    config = every_term()
    config.distillation.enabled = False
    config.student.trunk_rate = 0.0
    torch.manual_seed(0)
    student = small_student()
    student.trunk.statistics_fixed = True  # as one that comes trained
    before = {name: value.clone() for name, value in student.named_parameters()}
    trainer = build_trainer(config, model=student, teacher=None)
    plan = TrainingPlan(
        settings=loop_settings(config, select_every=1), batches=batches, select=lambda model: 0.5, checkpoints=None,
        identity={}, metrics=None, on_step=lambda step, steps: None, on_epoch=lambda line: None, resume_command="again",
    )  # fmt: skip
    run_training(trainer, plan)
    assert {name for name, value in student.named_parameters() if value.grad is None} == {
        name for name in before if name.startswith("trunk.")
    }
    changed = {name for name, value in student.named_parameters() if not torch.equal(value, before[name])}
    assert changed == {name for name in before if name.startswith("head.")}
    config.student.trunk_rate = 0.15
    build_trainer(config, model=student, teacher=None)
    assert all(parameter.requires_grad for parameter in student.parameters())
