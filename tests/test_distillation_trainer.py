"""Distillation with real small modules and numbers worked out by hand."""

from __future__ import annotations

import logging
import math
from typing import Literal

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from wakelark.config import DistillationConfig, LossConfig
from wakelark.errors import ConfigError, ModelError
from wakelark.training.batch import Batch, ForwardPass
from wakelark.training.distillation_trainer import BROKEN_TEACHER_GRACE_BATCHES, DistillationTrainer, raw_audio
from wakelark.training.teacher import Teacher
from wakelark.training.trainer import Trainer

LN3 = math.log(3.0)


class MeanTeacher(nn.Module):
    """The mean sample, times a trainable scale, is the logit."""

    def __init__(self, scale: float = 1.0) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(scale))
        self.dropout = nn.Dropout(0.5)  # shows whether somebody left it in training mode

    def forward(self, audio: Tensor) -> Tensor:
        assert audio.ndim == 2
        return self.dropout(self.scale * audio.mean(dim=1))


def distilling(
    *,
    alpha: float = 0.6,
    temperature: float = 3.0,
    hard_negative_weight: float = 1.5,
    teacher: Teacher | nn.Module | None = None,
    on_missing_audio: Literal["count", "error"] = "count",
    all_steps_weight: float = 0.0,
    gated: bool = False,
    logit_weight: float = 0.0,
) -> DistillationTrainer:
    model = nn.Linear(4, 1)
    return DistillationTrainer(
        model=model,
        optimizer=torch.optim.SGD(model.parameters(), lr=0.1),
        loss=LossConfig(hard_negative_weight=hard_negative_weight, all_steps_weight=all_steps_weight),
        distillation=DistillationConfig(
            alpha=alpha,
            temperature=temperature,
            on_missing_audio=on_missing_audio,
            gated=gated,
            logit_weight=logit_weight,
        ),
        teacher=MeanTeacher() if teacher is None else teacher,
    )


def both_losses(
    trainer: Trainer, steps: Tensor, targets: Tensor, audio: Tensor | None, flags: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """`compute_loss` and `auxiliary_loss` of a batch whose step logits are given, as the loop calls them."""
    forward = ForwardPass(outputs=steps.amax(dim=1), step_logits=steps)
    batch = Batch(targets=targets, features=steps, raw_audio=audio, is_hard_negative=flags)
    return trainer.compute_loss(forward.outputs, targets, audio, steps, flags), trainer.auxiliary_loss(forward, batch)


def bernoulli(teacher: float, student: float) -> float:
    return teacher * math.log(teacher / student) + (1 - teacher) * math.log((1 - teacher) / (1 - student))


def constant_audio(*logits: float) -> Tensor:
    """Clips whose mean, and so the teacher's logit, is the given one."""
    return torch.tensor(logits)[:, None].repeat(1, 8)


def test_distillation_logic() -> None:
    """Total = 0.4 * (1.5 ln 2 + ln(4/3)) / 2 + 0.6 * 9 * mean KL: a flagged negative at 0, a positive at ln 3."""
    trainer = distilling(alpha=0.6, temperature=3.0, hard_negative_weight=1.5)
    outputs = torch.tensor([0.0, LN3], requires_grad=True)
    audio = constant_audio(3 * LN3, -3 * LN3)  # softened by T = 3: 0.75 and 0.25
    loss = trainer.compute_loss(
        outputs=outputs,
        targets=torch.tensor([0, 1]),
        inputs=audio,
        processed_inputs=None,
        is_hard_negative=torch.tensor([1, 0]),
    )
    supervised = (1.5 * math.log(2) + math.log(4 / 3)) / 2
    student = 1 / (1 + math.exp(-LN3 / 3))
    divergence = 9 * (bernoulli(0.75, 0.5) + bernoulli(0.25, student)) / 2
    assert float(loss.detach()) == pytest.approx(0.4 * supervised + 0.6 * divergence, rel=1e-6)
    assert trainer.counters.distilled_share == 1.0
    assert trainer.counters.why_not_distilled() == ""


def test_distillation_skip_on_spectrograms(caplog: pytest.LogCaptureFixture) -> None:
    """Spectrograms: the plain weighted loss to the bit, counted, and logged once."""
    trainer = distilling(hard_negative_weight=3.0)
    outputs, targets, flags = torch.tensor([0.0, LN3]), torch.tensor([0, 0]), torch.tensor([0, 1])
    expected = (math.log(2) + 3 * math.log(4)) / 2
    with caplog.at_level(logging.WARNING):
        for spectrogram in (torch.zeros(2, 40, 98), torch.zeros(2, 1, 40, 98)):
            loss = trainer.compute_loss(outputs, targets, spectrogram, spectrogram, flags)
            assert float(loss) == pytest.approx(expected, rel=1e-6)
    assert trainer.counters.batches_with_spectrograms == 2
    assert trainer.counters.distilled_share == 0.0
    assert "2 of 2 batches held spectrograms" in trainer.counters.why_not_distilled()
    assert len(caplog.records) == 1


def test_missing_audio_is_the_plain_loss_and_lowers_the_share() -> None:
    trainer = distilling()
    outputs, targets = torch.tensor([0.0, LN3]), torch.tensor([0, 1])
    plain = trainer.compute_loss(outputs, targets)
    assert float(plain) == pytest.approx((math.log(2) + math.log(4 / 3)) / 2)
    trainer.compute_loss(outputs, targets, constant_audio(1.0, 2.0))
    assert trainer.counters.distilled_share == 0.5
    assert trainer.counters.why_not_distilled() == (
        "the teacher taught 50.0 % of the examples: 1 of 2 batches came without raw audio"
    )


@pytest.mark.parametrize("inputs", [None, torch.zeros(2, 40, 98)])
def test_missing_audio_can_be_an_error(inputs: Tensor | None) -> None:
    with pytest.raises(ConfigError, match=r"distillation\.on_missing_audio"):
        distilling(on_missing_audio="error").compute_loss(torch.zeros(2), torch.zeros(2), inputs)


def test_alpha_zero_is_the_plain_trainer_to_the_bit() -> None:
    generator = torch.Generator().manual_seed(4)
    outputs, audio = torch.randn(97, generator=generator), torch.randn(97, 50, generator=generator)
    targets, flags = torch.rand(97, generator=generator) < 0.3, torch.rand(97, generator=generator) < 0.5
    student = nn.Linear(4, 1)
    plain = Trainer(
        model=student,
        optimizer=torch.optim.SGD(student.parameters(), lr=0.1),
        loss=LossConfig(hard_negative_weight=1.5, all_steps_weight=0.2),
    )
    # A teacher that would spoil everything: 0 * NaN is NaN.
    off = distilling(alpha=0.0, teacher=MeanTeacher(math.nan), all_steps_weight=0.2)
    for mask in (None, flags):
        steps = outputs[:, None].repeat(1, 3)
        found = both_losses(off, steps, targets, audio, mask)
        assert all(map(torch.equal, found, both_losses(plain, steps, targets, audio, mask)))
    assert "alpha is 0" in off.counters.why_not_distilled()


def test_alpha_one_is_only_the_teacher() -> None:
    trainer = distilling(alpha=1.0, temperature=1.0, all_steps_weight=0.2)
    outputs, audio = torch.tensor([0.0, 0.0]), constant_audio(LN3, LN3)
    for targets in (torch.tensor([0, 0]), torch.tensor([1, 0])):
        loss = trainer.compute_loss(outputs, targets, audio, None, torch.tensor([1, 1]))
        assert float(loss) == pytest.approx(bernoulli(0.75, 0.5))
        assert float(both_losses(trainer, outputs[:, None], targets, audio)[1]) == 0.0


def test_the_step_penalty_shares_the_supervised_factor() -> None:
    trainer = distilling(alpha=0.75, all_steps_weight=1.0)
    steps, targets = torch.zeros(2, 3), torch.tensor([0, 0])
    _, with_audio = both_losses(trainer, steps, targets, constant_audio(0.0, 0.0))
    _, without = both_losses(trainer, steps, targets, None)
    assert float(with_audio) == pytest.approx(0.25 * math.log(2))
    assert float(without) == pytest.approx(math.log(2))


def test_audio_with_a_channel_axis_is_the_same_audio() -> None:
    trainer = distilling()
    outputs, targets, audio = torch.tensor([0.5, -0.5]), torch.tensor([1, 0]), constant_audio(2.0, -1.0)
    assert torch.equal(
        trainer.compute_loss(outputs, targets, audio), trainer.compute_loss(outputs, targets, audio[:, None])
    )
    # int16 is scaled to [-1, 1]: 16384 is 0.5
    as_int = torch.full((2, 8), 16384, dtype=torch.int16)
    assert torch.equal(
        trainer.compute_loss(outputs, targets, as_int), trainer.compute_loss(outputs, targets, constant_audio(0.5, 0.5))
    )


def test_two_class_student_and_one_logit_teacher() -> None:
    trainer = distilling(alpha=1.0, temperature=1.0)
    outputs = torch.tensor([[1.0, 1.0]])  # difference 0: 0.5
    loss = trainer.compute_loss(outputs, torch.tensor([0]), constant_audio(LN3))
    assert float(loss) == pytest.approx(bernoulli(0.75, 0.5))


def test_a_one_logit_student_really_learns_from_the_teacher() -> None:
    """The trap: with a softmax over one logit this loss and its gradient would be 0."""
    trainer = distilling(alpha=1.0)
    outputs = torch.tensor([[-4.0]], requires_grad=True)
    loss = trainer.compute_loss(outputs, torch.tensor([1]), constant_audio(4.0))
    loss.backward()
    assert float(loss.detach()) > 1.0
    assert outputs.grad is not None
    assert float(outputs.grad) < -0.5


def test_the_teacher_stays_in_evaluation_mode_and_gets_no_gradient() -> None:
    teacher = MeanTeacher()
    trainer = distilling(teacher=teacher)
    assert not teacher.training
    teacher.train()  # as a careless owner would
    outputs = torch.zeros(3, requires_grad=True)
    first = trainer.compute_loss(outputs, torch.tensor([0, 1, 0]), constant_audio(1.0, 2.0, 3.0))
    second = trainer.compute_loss(outputs, torch.tensor([0, 1, 0]), constant_audio(1.0, 2.0, 3.0))
    assert torch.equal(first, second)  # no dropout
    first.backward()
    assert outputs.grad is not None
    assert teacher.scale.grad is None


def test_without_a_teacher_it_does_not_start() -> None:
    student = nn.Linear(1, 1)
    with pytest.raises(ConfigError, match=r"distillation\.enabled: false"):
        DistillationTrainer(
            model=student,
            optimizer=torch.optim.SGD(student.parameters(), lr=0.1),
            loss=LossConfig(),
            distillation=DistillationConfig(),
            teacher=None,  # type: ignore[arg-type]
        )


@pytest.mark.parametrize("alpha", [-0.1, 1.1, math.nan])
def test_alpha_outside_its_range_is_refused(alpha: float) -> None:
    with pytest.raises(ValidationError, match="alpha"):
        distilling(alpha=alpha)


@pytest.mark.parametrize("temperature", [0.0, -1.0, math.nan, math.inf])
def test_temperature_outside_its_range_is_refused(temperature: float) -> None:
    with pytest.raises(ValidationError, match="temperature"):
        distilling(temperature=temperature)


def test_teacher_logits_that_are_not_finite_cost_the_batch_its_distillation_and_then_stop_the_run() -> None:
    trainer = distilling(teacher=MeanTeacher(math.inf))
    outputs, targets, audio = torch.tensor([0.0]), torch.tensor([0]), constant_audio(0.0)  # inf * 0 is NaN
    for _ in range(BROKEN_TEACHER_GRACE_BATCHES - 1):
        assert float(trainer.compute_loss(outputs, targets, audio)) == pytest.approx(math.log(2))
    assert "not finite" in trainer.counters.why_not_distilled()
    with pytest.raises(ModelError, match=f"{BROKEN_TEACHER_GRACE_BATCHES} of {BROKEN_TEACHER_GRACE_BATCHES} batches"):
        trainer.compute_loss(outputs, targets, audio)


def test_a_teacher_of_the_wrong_shape_is_named() -> None:
    with pytest.raises(ModelError, match=r"\[2, 4, 1\]"):
        distilling(teacher=nn.Unflatten(1, (4, 1))).compute_loss(torch.zeros(2), torch.zeros(2), torch.zeros(2, 4))


def test_audio_of_another_batch_is_named() -> None:
    with pytest.raises(ModelError, match="3 clips, but the batch has 2"):
        distilling().compute_loss(torch.zeros(2), torch.zeros(2), torch.zeros(3, 8))


def test_what_counts_as_raw_audio() -> None:
    assert raw_audio(None) is None
    audio = torch.arange(6.0).reshape(2, 3)
    assert torch.equal(raw_audio(audio), audio)  # type: ignore[arg-type]
    assert torch.equal(raw_audio(audio[:, None]), audio)  # type: ignore[arg-type]
    assert raw_audio(torch.zeros(2, 2, 3)) is None
    assert raw_audio(torch.zeros(2, 1, 1, 3)) is None
    with pytest.raises(ModelError, match="neither"):
        raw_audio(torch.zeros(2))


def test_the_gate_keeps_out_what_a_wrong_teacher_says() -> None:
    """The teacher is right on the first (a sure negative), wrong on the second, unsure of the third: 1/3 of the KL."""
    trainer = distilling(alpha=0.6, temperature=1.0, hard_negative_weight=1.0, gated=True)
    outputs, targets = torch.zeros(3, requires_grad=True), torch.tensor([0, 0, 1])
    loss = trainer.compute_loss(outputs, targets, constant_audio(-LN3, LN3, 0.0))
    assert float(loss.detach()) == pytest.approx(0.4 * math.log(2) + 0.6 * bernoulli(0.25, 0.5) / 3)
    assert float(trainer.terms.values["teacher_right_share"]) == pytest.approx(1 / 3)
    loss.backward()
    assert outputs.grad is not None
    # Without the gate the second would get 0.4 * 0.5 - 0.6 * 0.25 = 0.05: the label nearly cancelled.
    assert outputs.grad.tolist() == pytest.approx([(0.2 + 0.6 * 0.25) / 3, 0.2 / 3, -0.2 / 3])


def test_the_gate_is_open_for_a_teacher_that_is_always_right() -> None:
    outputs, targets, audio = torch.tensor([0.3, -1.0]), torch.tensor([1, 0]), constant_audio(2.0, -1.0)
    assert torch.equal(
        distilling(gated=True).compute_loss(outputs, targets, audio), distilling().compute_loss(outputs, targets, audio)
    )


def test_the_logit_term_stands_beside_the_formula() -> None:
    """(0 - 2)^2 / 8 = 0.5 and 0: mean 0.25, times 0.3. With alpha 0 the rest is the plain trainer."""
    steps, targets, audio = torch.tensor([[-1.0, 0.0], [1.0, 0.5]]), torch.tensor([0, 1]), constant_audio(2.0, 1.0)
    trainer = distilling(alpha=0.0, logit_weight=0.3)
    loss, extra = both_losses(trainer, steps, targets, audio)
    assert float(loss) == pytest.approx((math.log(2) + math.log(1 + math.exp(-1))) / 2)
    assert float(extra) == pytest.approx(0.3 * 0.25)
    assert trainer.terms.weights == {"supervised": 1.0, "logit": 0.3}
    assert trainer.counters.distilled_share == 1.0
    assert trainer.counters.why_not_distilled() == ""


def test_gated_the_logit_term_weighs_hard_negatives_where_the_teacher_is_right() -> None:
    """Right and flagged: 3 * 0.5; wrong and flagged: nothing; right positive, its flag ignored: 0.5."""
    steps, targets, flags = torch.zeros(3, 1), torch.tensor([0, 0, 1]), torch.tensor([1, 1, 1])
    audio = constant_audio(-2.0, 2.0, 2.0)
    gated = distilling(alpha=0.0, logit_weight=1.0, gated=True, hard_negative_weight=3.0)
    assert float(both_losses(gated, steps, targets, audio, flags)[1]) == pytest.approx((3 * 0.5 + 0 + 0.5) / 3)
    plain = distilling(alpha=0.0, logit_weight=1.0, hard_negative_weight=3.0)
    assert float(both_losses(plain, steps, targets, audio, flags)[1]) == pytest.approx(0.5)


def test_without_audio_there_is_no_logit_term_either() -> None:
    trainer = distilling(alpha=0.5, logit_weight=1.0)
    both_losses(trainer, torch.zeros(2, 3), torch.tensor([0, 1]), constant_audio(2.0, 2.0))
    loss, extra = both_losses(trainer, torch.zeros(2, 3), torch.tensor([0, 1]), None)
    assert (float(loss), float(extra)) == (pytest.approx(math.log(2)), 0.0)
    assert set(trainer.terms.values) == {"supervised"}


def test_a_broken_teacher_leaves_the_steps_their_whole_weight() -> None:
    trainer = distilling(alpha=0.75, all_steps_weight=1.0, teacher=MeanTeacher(math.inf))
    _, extra = both_losses(trainer, torch.zeros(1, 3), torch.tensor([0]), constant_audio(0.0))
    assert float(extra) == pytest.approx(math.log(2))


def test_embeddings_need_a_student_with_a_trunk_and_a_regression() -> None:
    model = nn.Linear(1, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=1)
    with pytest.raises(ConfigError, match=r"distillation\.embedding_weight is 0\.5.*no regression"):
        DistillationTrainer(
            model=model, optimizer=optimizer, loss=LossConfig(), teacher=MeanTeacher(),
            distillation=DistillationConfig(embedding_weight=0.5),
        )  # fmt: skip
