"""The contract of `compute_loss`, for every trainer there is: values, not only signatures.

A trainer that takes the hard-negative flag and forgets to pass it on has the right signature and the wrong numbers;
only this finds it.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import math
import pkgutil
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import wakelark.training
from wakelark.config import DistillationConfig, LossConfig
from wakelark.training.distillation_trainer import DistillationTrainer
from wakelark.training.trainer import Trainer

SOURCES = Path(wakelark.training.__file__).parents[1]
FIVE = ["outputs", "targets", "inputs", "processed_inputs", "is_hard_negative"]


def trainer_classes() -> list[type[Trainer]]:
    """`Trainer` and all its subclasses in wakelark, found by importing the whole training package."""
    for module in pkgutil.iter_modules(wakelark.training.__path__):
        importlib.import_module(f"wakelark.training.{module.name}")
    found, todo = [], [Trainer]
    while todo:
        cls = todo.pop()
        if cls.__module__.startswith("wakelark."):  # not the trainers of other tests
            found.append(cls)
        todo.extend(cls.__subclasses__())
    return found


TRAINERS = trainer_classes()


class MeanTeacher(nn.Module):
    """The mean sample times a trainable 1 is the logit."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, audio: Tensor) -> Tensor:
        return self.scale * audio.mean(dim=1)


def build(cls: type[Trainer], *, hard_negative_weight: float, teacher: nn.Module | None = None) -> Trainer:
    """A trainer whose student is linear; a new trainer with other arguments needs a line here."""
    torch.manual_seed(0)
    student = nn.Linear(2, 1)
    values = {
        "model": student,
        "optimizer": torch.optim.SGD(student.parameters(), lr=0.1),
        "loss": LossConfig(hard_negative_weight=hard_negative_weight, all_steps_weight=0.0),
        "teacher": teacher or MeanTeacher(),
        "distillation": DistillationConfig(alpha=0.6, temperature=3.0),
        "regression": None,
    }
    return cls(**{name: values[name] for name in inspect.signature(cls).parameters})


OUTPUTS = torch.tensor([0.0, math.log(3.0), -math.log(3.0)])
TARGETS = torch.tensor([0, 0, 1])
FLAGS = torch.tensor([0, 1, 0])
AUDIO = torch.tensor([1.0, -2.0, 3.0])[:, None].repeat(1, 16)
# ln 2, -ln 0.25 and -ln 0.25; a weight of 3 on the second adds 2 ln 4 / 3
EXTRA = 2 * math.log(4) / 3
UNWEIGHTED = (math.log(2) + 2 * math.log(4)) / 3


def test_both_trainers_are_found() -> None:
    assert {Trainer, DistillationTrainer} <= set(TRAINERS)


@pytest.mark.parametrize("cls", TRAINERS)
def test_the_five_names_in_their_order(cls: type[Trainer]) -> None:
    parameters = inspect.signature(cls.compute_loss).parameters
    assert list(parameters) == ["self", *FIVE]
    assert [parameters[name].default for name in FIVE[2:]] == [None, None, None]


@pytest.mark.parametrize("dtype", [torch.int64, torch.float32, torch.bool])
@pytest.mark.parametrize("shape", [(3,), (3, 1)])
@pytest.mark.parametrize("cls", TRAINERS)
def test_with_weight_three_the_flag_changes_the_loss_by_the_number_worked_out(
    cls: type[Trainer], shape: tuple[int, ...], dtype: torch.dtype
) -> None:
    trainer = build(cls, hard_negative_weight=3.0)
    outputs, flags = OUTPUTS.reshape(shape), FLAGS.to(dtype)
    # Without audio every trainer has the plain weighted loss.
    plain = trainer.compute_loss(outputs=outputs, targets=TARGETS, is_hard_negative=flags)
    assert float(plain) == pytest.approx(UNWEIGHTED + EXTRA)
    # With audio the supervised part may have a share; the flag changes that part, by that share.
    with_flag = trainer.compute_loss(outputs, TARGETS, AUDIO, None, flags)
    without = trainer.compute_loss(outputs, TARGETS, AUDIO, None, None)
    share = trainer.terms.weights["supervised"]
    assert share > 0
    assert float(with_flag - without) == pytest.approx(share * EXTRA, rel=1e-5)


@pytest.mark.parametrize("inputs", [None, AUDIO, AUDIO[:, None], torch.zeros(3, 40, 9)])
@pytest.mark.parametrize("cls", TRAINERS)
def test_none_zeros_and_weight_one_give_the_same_bits(cls: type[Trainer], inputs: Tensor | None) -> None:
    weighted, off = build(cls, hard_negative_weight=3.0), build(cls, hard_negative_weight=1.0)
    expected = weighted.compute_loss(OUTPUTS, TARGETS, inputs)
    assert torch.equal(weighted.compute_loss(OUTPUTS, TARGETS, inputs, None, torch.zeros(3)), expected)
    for flags in (None, FLAGS, torch.zeros(3)):
        assert torch.equal(off.compute_loss(OUTPUTS, TARGETS, inputs, None, flags), expected)


@pytest.mark.parametrize("cls", TRAINERS)
def test_a_flag_on_a_positive_is_ignored_and_counted(cls: type[Trainer]) -> None:
    trainer = build(cls, hard_negative_weight=3.0)
    expected = trainer.compute_loss(OUTPUTS, TARGETS, AUDIO)
    assert torch.equal(trainer.compute_loss(OUTPUTS, TARGETS, AUDIO, None, torch.tensor([0, 0, 1])), expected)
    assert trainer.counters.flagged_positives == 1


@pytest.mark.parametrize("cls", TRAINERS)
def test_gradients_reach_the_student_and_never_the_teacher(cls: type[Trainer]) -> None:
    teacher = MeanTeacher()
    trainer = build(cls, hard_negative_weight=3.0, teacher=teacher)
    outputs = trainer.model(torch.tensor([[1.0, 0.5], [-0.5, 1.0], [0.3, 0.2]]))
    audio = AUDIO.clone().requires_grad_()
    trainer.compute_loss(outputs, TARGETS, audio, None, FLAGS).backward()
    for parameter in trainer.model.parameters():
        assert parameter.grad is not None
        assert parameter.grad.abs().sum() > 0
    assert audio.grad is None
    assert teacher.scale.grad is None


@pytest.mark.parametrize("cls", TRAINERS)
def test_the_flag_moves_the_gradient_of_its_example_alone(cls: type[Trainer]) -> None:
    trainer = build(cls, hard_negative_weight=3.0)
    gradients = []
    for flags in (None, FLAGS):
        outputs = OUTPUTS.clone().requires_grad_()
        trainer.compute_loss(outputs, TARGETS, AUDIO, None, flags).backward()
        assert outputs.grad is not None
        gradients.append(outputs.grad)
    difference = gradients[1] - gradients[0]
    # sigmoid(ln 3) = 0.75: weight 3 adds twice 0.75 / B
    share = trainer.terms.weights["supervised"]
    assert difference.tolist() == pytest.approx([0.0, share * 2 * 0.75 / 3, 0.0], abs=1e-6)


def test_the_loss_is_computed_at_one_place_with_all_five_names() -> None:
    """One call in the whole package beside the overrides' `super().compute_loss`."""
    calls = []
    for path in SOURCES.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
                continue
            owner = node.func.value
            is_super = isinstance(owner, ast.Call) and isinstance(owner.func, ast.Name) and owner.func.id == "super"
            if node.func.attr == "compute_loss" and not is_super:
                calls.append((path.name, [keyword.arg for keyword in node.keywords], len(node.args)))
    assert calls == [("training_loop.py", FIVE, 0)]
