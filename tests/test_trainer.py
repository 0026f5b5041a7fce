"""The plain trainer: weights, counts, and the signature nobody can miss."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from wakelark.config import LossConfig
from wakelark.errors import DataError
from wakelark.training.batch import Batch, ForwardPass
from wakelark.training.trainer import Trainer

# Cross entropies ln 2, -ln 0.25 = ln 4, -ln 0.75 = ln(4/3)
OUTPUTS = torch.tensor([0.0, math.log(3.0), math.log(3.0)])
TARGETS = torch.tensor([0, 0, 1])
LOSSES = (math.log(2), math.log(4), math.log(4 / 3))


def plain(hard_negative_weight: float = 1.5, all_steps_weight: float = 0.0) -> Trainer:
    model = nn.Linear(2, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    loss = LossConfig(hard_negative_weight=hard_negative_weight, all_steps_weight=all_steps_weight)
    return Trainer(model=model, optimizer=optimizer, loss=loss)


def steps_part(trainer: Trainer, steps: Tensor, targets: Tensor, flags: Tensor | None) -> float:
    """What `auxiliary_loss` adds to the loss of the same batch."""
    forward = ForwardPass(outputs=steps.amax(dim=1), step_logits=steps)
    trainer.compute_loss(forward.outputs, targets, is_hard_negative=flags)
    return float(trainer.auxiliary_loss(forward, Batch(targets=targets, features=steps, is_hard_negative=flags)))


def test_only_flagged_negatives_weigh_more() -> None:
    trainer = plain(hard_negative_weight=3.0)
    loss = trainer.compute_loss(OUTPUTS, TARGETS, is_hard_negative=torch.tensor([0, 1, 1]))
    assert float(loss) == pytest.approx((LOSSES[0] + 3 * LOSSES[1] + LOSSES[2]) / 3)
    assert trainer.counters.flagged_positives == 1
    assert trainer.counters.weighted_examples == 1
    assert trainer.counters.examples == 3


@pytest.mark.parametrize("weight", [0.0, 1.0, 1.5, 7.0])
def test_no_flags_and_all_zeros_give_the_same_bits(weight: float) -> None:
    generator = torch.Generator().manual_seed(3)
    trainer = plain(weight)
    for outputs in (torch.randn(161, generator=generator) * 5, torch.randn(161, 1, generator=generator)):
        targets = (torch.rand(161, generator=generator) < 0.3).float()
        without = trainer.compute_loss(outputs, targets)
        for flags in (torch.zeros(161), torch.zeros(161, dtype=torch.bool), torch.zeros(161, dtype=torch.int64)):
            assert torch.equal(without, trainer.compute_loss(outputs, targets, is_hard_negative=flags))


def test_weight_one_switches_the_weighting_off_to_the_bit() -> None:
    trainer = plain(1.0)
    flagged = trainer.compute_loss(OUTPUTS, TARGETS, is_hard_negative=torch.ones(3))
    assert torch.equal(flagged, trainer.compute_loss(OUTPUTS, TARGETS))


def test_class_zero_is_the_negative_one() -> None:
    outputs = torch.zeros(3, 4)
    loss = plain(5.0).compute_loss(outputs, torch.tensor([0, 1, 3]), is_hard_negative=torch.ones(3, dtype=torch.bool))
    assert float(loss) == pytest.approx((5 + 1 + 1) * math.log(4) / 3)


def test_step_penalty_by_hand_and_weighted() -> None:
    steps = torch.tensor([[0.0, 0.0], [0.0, math.log(3.0)], [8.0, 8.0]])
    trainer = plain(hard_negative_weight=2.0, all_steps_weight=0.2)
    penalty = steps_part(trainer, steps, TARGETS, torch.tensor([1, 0, 1]))
    expected = 0.2 * (2 * math.log(2) + (math.log(2) + math.log(4)) / 2) / 3
    assert penalty == pytest.approx(expected)
    assert float(trainer.terms.values["steps"]) == pytest.approx(expected / 0.2)
    assert steps_part(plain(), steps, TARGETS, None) == 0.0


def test_flags_of_another_shape_are_refused() -> None:
    with pytest.raises(DataError, match="is_hard_negative"):
        plain().compute_loss(OUTPUTS, TARGETS, is_hard_negative=torch.zeros(3, 1))


@pytest.mark.parametrize("weight", [-0.1, math.nan, math.inf])
def test_impossible_weights_are_refused(weight: float) -> None:
    with pytest.raises(ValidationError, match="hard_negative_weight"):
        plain(weight)
    with pytest.raises(ValidationError, match="all_steps_weight"):
        plain(all_steps_weight=weight)


def _forgets(self, outputs, targets, inputs=None, processed_inputs=None):
    return outputs.sum()


def _swallows(self, *args, **kwargs):
    return torch.zeros(())


def _requires(self, outputs, targets, inputs, processed_inputs, is_hard_negative):
    return outputs.sum()


def _reorders(self, outputs, targets, processed_inputs=None, inputs=None, is_hard_negative=None):
    return outputs.sum()


def _adds(self, outputs, targets, inputs=None, processed_inputs=None, is_hard_negative=None, extra=None):
    return outputs.sum()


@functools.wraps(Trainer.compute_loss)
def _hides(*args, **kwargs):
    return Trainer.compute_loss(*args, **kwargs)


@pytest.mark.parametrize("method", [_forgets, _swallows, _requires, _reorders, _adds, _hides, staticmethod(_forgets)])
def test_a_class_with_another_signature_cannot_be_made(method: Callable[..., Tensor]) -> None:
    with pytest.raises(TypeError, match="Issue #7"):
        type("Careless", (Trainer,), {"compute_loss": method})


def test_a_mixin_counts() -> None:
    class Mixin:
        compute_loss = _forgets

    with pytest.raises(TypeError, match=r"Careless\.compute_loss, defined in .*Mixin.* \(missing: is_hard_negative\)"):
        type("Careless", (Mixin, Trainer), {})


def test_a_method_replaced_after_the_class_was_made_is_found_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    class Later(Trainer):
        pass

    monkeypatch.setattr(Later, "compute_loss", _forgets)
    with pytest.raises(TypeError, match="is_hard_negative"):
        Later(model=nn.Linear(1, 1), optimizer=torch.optim.SGD([torch.zeros(1)], lr=1), loss=LossConfig())


def test_the_same_signature_is_welcome() -> None:
    class Careful(Trainer):
        def compute_loss(self, outputs, targets, inputs=None, processed_inputs=None, is_hard_negative=None):
            return 2 * super().compute_loss(outputs, targets, inputs, processed_inputs, is_hard_negative)

    model = nn.Linear(1, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=1)
    trainer = Careful(model=model, optimizer=optimizer, loss=LossConfig())
    assert float(trainer.compute_loss(OUTPUTS, TARGETS)) == pytest.approx(2 * sum(LOSSES) / 3)


def with_loss(loss: LossConfig, progress: float) -> Trainer:
    model = nn.Linear(2, 1)
    trainer = Trainer(model=model, optimizer=torch.optim.SGD(model.parameters(), lr=0.1), loss=loss)
    trainer.progress = progress
    return trainer


def test_focal_smoothing_and_balance_together_by_hand() -> None:
    """Half way to a weight of 3 negatives weigh 2; the flagged one 2 * 1.5. p of the right classes: 1/2, 1/4, 3/4."""
    loss = LossConfig(focal_gamma=2.0, label_smoothing=0.1, negative_weight_end=3.0, hard_negative_weight=1.5)
    found = with_loss(loss, 0.5).compute_loss(OUTPUTS, TARGETS, is_hard_negative=torch.tensor([0, 1, 0]))
    smooth = (
        LOSSES[0],
        0.95 * math.log(4) + 0.05 * math.log(4 / 3),
        0.95 * math.log(4 / 3) + 0.05 * math.log(4),
    )
    expected = (2 * 0.5**2 * smooth[0] + 3 * 0.75**2 * smooth[1] + 0.25**2 * smooth[2]) / 3
    assert float(found) == pytest.approx(expected)


def test_the_balance_weighs_the_steps_of_negatives_too() -> None:
    trainer = with_loss(LossConfig(all_steps_weight=0.2, negative_weight_end=3.0), 1.0)
    steps = torch.zeros(2, 4)
    assert steps_part(trainer, steps, torch.tensor([0, 1]), None) == pytest.approx(0.2 * 3 * math.log(2) / 2)


@pytest.mark.parametrize("progress", [0.0, 0.37, 1.0])
def test_switched_off_they_are_the_plain_loss_to_the_bit(progress: float) -> None:
    generator = torch.Generator().manual_seed(5)
    outputs = 5 * torch.randn(161, generator=generator)
    targets = (torch.rand(161, generator=generator) < 0.3).float()
    flags = torch.rand(161, generator=generator) < 0.4
    off = LossConfig(focal_gamma=0.0, label_smoothing=0.0, negative_weight_end=1.0, hard_negative_weight=1.5)
    losses = torch.nn.functional.binary_cross_entropy_with_logits(outputs, targets, reduction="none")
    weights = torch.where(flags & (targets == 0), 1.5, 1.0)
    found = with_loss(off, progress).compute_loss(outputs, targets, is_hard_negative=flags)
    assert torch.equal(found, (losses * weights).sum() / 161)
