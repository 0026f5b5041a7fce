"""Losses against numbers worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional

from wakelark.errors import DataError, ModelError
from wakelark.losses.kl import bernoulli_kl, distillation_kl, softmax_kl
from wakelark.losses.logit import CLIP, logit_regression, teacher_is_right
from wakelark.losses.pooling import all_steps_negative, max_pool
from wakelark.losses.supervised import log_odds, supervised_loss
from wakelark.losses.weights import balance_weights, focal_weights, hardness_weights

LN3 = math.log(3.0)  # sigmoid(ln 3) = 0.75


def test_one_logit_loss_by_hand() -> None:
    # -ln 0.75 for the positive at ln 3, -ln 0.25 for the negative at ln 3, ln 2 at 0
    expected = torch.tensor([math.log(4 / 3), math.log(4.0), math.log(2.0)])
    outputs, targets = torch.tensor([LN3, LN3, 0.0]), torch.tensor([1, 0, 1])
    torch.testing.assert_close(supervised_loss(outputs, targets), expected)
    torch.testing.assert_close(supervised_loss(outputs.reshape(3, 1), targets), expected)


def test_two_class_loss_of_zero_and_a_logit_is_the_one_logit_loss() -> None:
    logit, targets = torch.tensor([2.0, -1.0, 0.3]), torch.tensor([1, 0, 0])
    two = torch.stack([torch.zeros(3), logit], dim=1)
    torch.testing.assert_close(supervised_loss(two, targets), supervised_loss(logit, targets.float()))


def test_class_outside_the_outputs_is_named() -> None:
    with pytest.raises(DataError, match="outside the 2 classes"):
        supervised_loss(torch.zeros(2, 2), torch.tensor([0, 2]))


@pytest.mark.parametrize("shape", [(), (2, 3, 4), (2, 0)])
def test_unpooled_outputs_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ModelError, match="pool over time"):
        supervised_loss(torch.zeros(shape), torch.zeros(2))


def test_targets_of_another_length_are_refused() -> None:
    with pytest.raises(DataError, match=r"\[3\]"):
        supervised_loss(torch.zeros(3), torch.zeros(3, 1))


def test_max_pool_takes_the_loudest_valid_step() -> None:
    steps = torch.tensor([[1.0, 5.0, 2.0], [-3.0, -1.0, -2.0]])
    assert max_pool(steps).tolist() == [5.0, -1.0]
    valid = torch.tensor([[True, False, True], [True, False, False]])
    assert max_pool(steps, valid).tolist() == [2.0, -3.0]


def test_all_steps_term_by_hand() -> None:
    steps = torch.tensor([[0.0, LN3], [9.0, 9.0], [0.0, 50.0]])
    targets = torch.tensor([0, 1, 0])
    valid = torch.tensor([[True, True], [True, True], [True, False]])
    # softplus(0) = ln 2, softplus(ln 3) = ln 4; a positive costs nothing; an invalid step does not count
    expected = torch.tensor([(math.log(2) + math.log(4)) / 2, 0.0, math.log(2)])
    torch.testing.assert_close(all_steps_negative(steps, targets, valid), expected)


def test_a_row_without_valid_steps_is_named() -> None:
    with pytest.raises(DataError, match="example 1"):
        max_pool(torch.zeros(2, 3), torch.tensor([[True] * 3, [False] * 3]))


def test_bernoulli_kl_by_hand() -> None:
    # T = 2: teacher sigmoid(2 ln 3 / 2) = 0.75, student sigmoid(0) = 0.5
    expected = 4 * (0.75 * math.log(0.75 / 0.5) + 0.25 * math.log(0.25 / 0.5))
    got = bernoulli_kl(torch.tensor([0.0]), torch.tensor([2 * LN3]), temperature=2.0)
    assert float(got) == pytest.approx(expected)


def test_softmax_kl_by_hand_and_as_torch_computes_it() -> None:
    # T = 1: teacher (0.25, 0.75), student (0.5, 0.5)
    got = softmax_kl(torch.zeros(1, 2), torch.tensor([[0.0, LN3]]), temperature=1.0)
    assert float(got) == pytest.approx(0.75 * math.log(1.5) + 0.25 * math.log(0.5))
    generator = torch.Generator().manual_seed(1)
    student, teacher = torch.randn(6, 4, generator=generator), torch.randn(6, 4, generator=generator)
    reference = 9 * functional.kl_div(
        functional.log_softmax(student / 3, dim=1), functional.softmax(teacher / 3, dim=1), reduction="batchmean"
    )
    torch.testing.assert_close(softmax_kl(student, teacher, 3.0).mean(), reference)


def test_all_two_class_forms_agree() -> None:
    generator = torch.Generator().manual_seed(2)
    student, teacher = torch.randn(5, 2, generator=generator) * 4, torch.randn(5, 2, generator=generator) * 4
    expected = softmax_kl(student, teacher, 3.0)
    one, soft = student[:, 1] - student[:, 0], teacher[:, 1] - teacher[:, 0]
    for own, other in (
        (student, teacher),
        (one, teacher),
        (one[:, None], teacher),
        (student, soft),
        (one, soft[:, None]),
    ):
        torch.testing.assert_close(distillation_kl(own, other, 3.0), expected)


def test_kl_is_zero_only_where_both_agree_and_never_negative() -> None:
    logits = torch.linspace(-30, 30, 61)
    assert bernoulli_kl(logits, logits, 3.0).eq(0).all()
    student, teacher = torch.meshgrid(logits, logits, indexing="ij")
    divergence = bernoulli_kl(student.reshape(-1).double(), teacher.reshape(-1).double(), 3.0)
    assert divergence.isfinite().all()
    assert divergence[(student != teacher).reshape(-1)].min() > 0


def test_softmax_over_one_logit_would_hide_every_difference() -> None:
    student, teacher = torch.tensor([[-8.0]]), torch.tensor([[8.0]])
    naive = functional.kl_div(student.log_softmax(1), teacher.softmax(1), reduction="batchmean")
    assert float(naive) == 0.0  # the trap
    assert float(distillation_kl(student, teacher, 1.0)) > 7.9
    with pytest.raises(ModelError, match="0 for every student"):
        softmax_kl(student, teacher, 1.0)


def test_gradient_of_the_bernoulli_form() -> None:
    # d(T^2 KL)/ds = T (sigmoid(s/T) - sigmoid(t/T)): the T^2 keeps its size
    student = torch.tensor([0.0], requires_grad=True)
    bernoulli_kl(student, torch.tensor([3 * LN3]), temperature=3.0).sum().backward()
    assert student.grad is not None
    assert float(student.grad) == pytest.approx(3 * (0.5 - 0.75))


@pytest.mark.parametrize(("student", "teacher"), [((2, 3), (2, 4)), ((2,), (2, 3)), ((2,), (3,)), ((2, 2), (2, 2, 2))])
def test_sides_that_cannot_be_compared_are_refused(student: tuple[int, ...], teacher: tuple[int, ...]) -> None:
    with pytest.raises(ModelError, match=r"\["):
        distillation_kl(torch.zeros(student), torch.zeros(teacher), 3.0)


def test_label_smoothing_by_hand() -> None:
    """Targets 0 and 1 become 0.05 and 0.95; at ln 3 the two cross entropies are ln 4 and ln(4/3)."""
    outputs, targets = torch.tensor([LN3, LN3]), torch.tensor([0, 1])
    expected = [0.95 * math.log(4) + 0.05 * math.log(4 / 3), 0.05 * math.log(4) + 0.95 * math.log(4 / 3)]
    assert supervised_loss(outputs, targets, 0.1).tolist() == pytest.approx(expected)
    two_classes = torch.stack([torch.zeros(2), outputs], dim=1)
    assert supervised_loss(two_classes, targets, 0.1).tolist() == pytest.approx(expected)


@pytest.mark.parametrize("dtype", [torch.int64, torch.float32, torch.bool])
def test_without_smoothing_the_bits_are_those_of_torch(dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(1)
    outputs = 6 * torch.randn(301, generator=generator)
    targets = torch.rand(301, generator=generator) < 0.3
    plain = functional.binary_cross_entropy_with_logits(outputs, targets.float(), reduction="none")
    assert torch.equal(supervised_loss(outputs, targets.to(dtype), 0.0), plain)


def test_logit_regression_by_hand() -> None:
    """2^2 / 8, 0, and beyond 6 linear: 6 (10 - 3) / 4."""
    student, teacher = torch.tensor([1.0, -3.0, 4.0]), torch.tensor([-1.0, -3.0, -6.0])
    expected = [0.5, 0.0, CLIP * (10 - CLIP / 2) / 4]
    assert logit_regression(student, teacher).tolist() == pytest.approx(expected)
    two_classes = torch.stack([torch.full((3,), 0.5), student + 0.5], dim=1)
    assert logit_regression(two_classes, teacher[:, None]).tolist() == pytest.approx(expected)


def test_logit_regression_is_the_limit_of_the_divergence_for_a_high_temperature() -> None:
    student, teacher = torch.tensor([0.5, -2.0], dtype=torch.float64), torch.tensor([2.0, 1.0], dtype=torch.float64)
    torch.testing.assert_close(
        distillation_kl(student, teacher, 300.0), logit_regression(student, teacher), rtol=1e-4, atol=0
    )


def test_the_gradient_of_the_logit_regression_is_clipped() -> None:
    student = torch.tensor([0.0, 0.0], requires_grad=True)
    logit_regression(student, torch.tensor([4.0, 400.0])).sum().backward()
    assert student.grad is not None
    assert student.grad.tolist() == pytest.approx([-1.0, -CLIP / 4])


def test_three_classes_have_no_log_odds() -> None:
    with pytest.raises(ModelError, match="two classes"):
        log_odds(torch.zeros(2, 3))


def test_the_teacher_is_right_where_its_logit_has_the_labels_sign() -> None:
    logits, targets = torch.tensor([-1e-3, 1e-3, 0.0, 0.0, 5.0, -5.0]), torch.tensor([0, 0, 0, 1, 1, 1])
    expected = [True, False, False, False, True, False]
    assert teacher_is_right(logits, targets).tolist() == expected
    assert teacher_is_right(logits[:, None], targets.float()).tolist() == expected
    assert teacher_is_right(torch.stack([-logits, torch.zeros(6)], dim=1), targets).tolist() == expected
    three = torch.tensor([[3.0, 1.0, 2.0], [3.0, 1.0, 2.0]])
    assert teacher_is_right(three, torch.tensor([0, 2])).tolist() == [True, False]


def test_focal_weights_by_hand() -> None:
    """At ln 3 the negative's class has p = 1/4, the positive's 3/4."""
    outputs, targets = torch.tensor([LN3, LN3]), torch.tensor([0, 1])
    assert focal_weights(outputs, targets, 2.0).tolist() == pytest.approx([0.75**2, 0.25**2])
    two_classes = torch.stack([torch.zeros(2), outputs], dim=1)
    assert focal_weights(two_classes, targets, 2.0).tolist() == pytest.approx([0.75**2, 0.25**2])


def test_focal_weights_stay_finite_far_away() -> None:
    outputs = torch.tensor([1e4, -1e4, 1e4], requires_grad=True)
    targets = torch.tensor([0, 0, 1])
    (supervised_loss(outputs, targets) * focal_weights(outputs, targets, 2.0)).sum().backward()
    assert outputs.grad is not None
    assert outputs.grad.tolist() == [1.0, 0.0, 0.0]


def test_the_balance_shifts_linearly_and_one_is_exact() -> None:
    targets = torch.tensor([0, 1])
    assert [balance_weights(targets, progress=p, end=5.0)[0].item() for p in (0.0, 0.25, 1.0)] == [1.0, 2.0, 5.0]
    assert balance_weights(targets, progress=0.7, end=1.0).tolist() == [1.0, 1.0]
    assert balance_weights(targets, progress=1.0, end=0.0).tolist() == [0.0, 1.0]


def test_hardness_weights_leave_positives_alone() -> None:
    targets, flags = torch.tensor([0, 0, 1, 1]), torch.tensor([True, False, True, False])
    assert hardness_weights(targets, flags, 3.0).tolist() == [3.0, 1.0, 1.0, 1.0]
    assert hardness_weights(targets, None, 3.0).tolist() == [1.0] * 4
