"""The student: its size, its reach in time, and that a stream gives what a clip gives."""

from __future__ import annotations

import pytest
import torch

from wakelark.config import StudentConfig
from wakelark.errors import ConfigError
from wakelark.models.build import STUDENTS, build_student
from wakelark.models.student import Student
from wakelark.models.trunk import MICRO


def default_student() -> Student:
    return build_student(StudentConfig(trunk="none"))


def settled(student: Student) -> Student:
    """Batch norms with statistics of their own, then evaluation mode."""
    student.train()
    for seed in range(3):
        student(torch.randn(4, 40, 230, generator=torch.Generator().manual_seed(seed)) * 2 - 1)
    return student.eval()


def test_default_size_and_reach() -> None:
    student = default_student()
    assert 15_000 <= sum(p.numel() for p in student.parameters()) <= 45_000
    assert 0.76 <= student.receptive_field_samples / 16_000 <= 1.9
    assert student(torch.zeros(2, 40, 198)).shape[1] >= 3, "a view of two seconds gives some steps to pool over"


def test_reach_in_time() -> None:
    student = build_student(
        StudentConfig(trunk="none", channels=8, kernels=(3, 3, 5, 5, 7), head_taps=10, head_dilation=2)
    )
    # The trunk: 5 + 4 * (2 + 2 + 4 + 4 + 6) frames, one more than an embedding; the head: 4 * 9 * 2 more.
    assert student.trunk.receptive_field_frames == 77
    assert student.receptive_field_frames == 149
    assert student.receptive_field_samples == 148 * 160 + 400
    assert student.step_samples == 640
    assert student(torch.zeros(2, 40, 149)).shape == (2, 1)
    assert student(torch.zeros(2, 40, 198)).shape == (2, 13)


def micro_student() -> Student:
    config = StudentConfig(trunk="none", channels=8, kernels=(3, 5, 7, 7, 7), head_taps=13)
    student = build_student(config, front_end=MICRO)
    assert isinstance(student, Student)
    return student


def test_reach_in_time_on_the_front_end_of_devices() -> None:
    student = micro_student()
    assert student.trunk.receptive_field_frames == 77  # 5 + 3 * 24
    assert student.receptive_field_frames == 149
    assert student.receptive_field_samples == 148 * 160 + 480
    assert (student.step_samples, student.trunk.front.stride) == (480, (3,))
    assert student(torch.zeros(2, 40, 198)).shape == (2, 17)


@pytest.mark.parametrize("split", [[3] * 80, [240], [3, 15, 102, 120]])
def test_a_stream_of_30_ms_steps_gives_what_a_clip_gives(split: list[int]) -> None:
    student = settled(micro_student())
    frames = torch.randn(3, 40, 240)
    with torch.inference_mode():
        whole = student(frames[:, :, 1:])  # the state stands for two frames: steps start at 3 s - 2
        state, logits = torch.zeros(3, student.state_size), []
        for piece in frames.split(split, dim=2):
            said, state = student.stream(piece, state)
            logits.append(said)
    torch.testing.assert_close(torch.cat(logits, 1)[:, -whole.shape[1] :], whole, atol=1e-5, rtol=1e-5)


def test_a_trunk_for_another_front_end_is_refused() -> None:
    with pytest.raises(ConfigError, match="small was made for the front end logmel"):
        build_student(StudentConfig(trunk="small"), front_end=MICRO)
    with pytest.raises(ConfigError, match="bc_resnet hears through logmel only"):
        build_student(StudentConfig(trunk="none", architecture="bc_resnet"), front_end=MICRO)


def test_logits_depend_on_the_receptive_field_and_on_nothing_else() -> None:
    student = settled(build_student(StudentConfig(trunk="none", channels=12, kernels=(3, 5), dropout=0.2)))
    frames = torch.randn(1, 40, student.receptive_field_frames + 4 * 3, requires_grad=True)
    student(frames)[0, 1].backward()
    assert frames.grad is not None
    touched = frames.grad.abs().sum((0, 1)).nonzero().flatten().tolist()
    assert min(touched) >= 4
    assert max(touched) == 4 + student.receptive_field_frames - 1


@pytest.mark.parametrize("split", [[4] * 60, [240], [4, 16, 100, 120], [8, 8, 224]])
def test_a_stream_gives_what_a_clip_gives(split: list[int]) -> None:
    student = settled(default_student())
    frames = torch.randn(3, 40, 240)
    with torch.inference_mode():
        state, parts = torch.zeros(3, student.state_size), []
        for piece in frames.split(split, dim=2):
            logits, state = student.stream(piece, state)
            parts.append(logits)
        # The state stands for one frame before the first, so step s of the stream starts at frame 4 s - 1.
        whole = student(frames[:, :, 3:])
        streamed = torch.cat(parts, 1)
    assert streamed.shape == (3, 60)
    torch.testing.assert_close(streamed[:, -whole.shape[1] :], whole, atol=1e-5, rtol=1e-5)


def test_dropout_and_batch_norm_rest_in_evaluation() -> None:
    student = settled(default_student())
    frames = torch.randn(2, 40, 198)
    torch.testing.assert_close(student(frames), student(frames))
    torch.testing.assert_close(student(frames)[:1], student(frames[:1]))


def test_every_parameter_learns() -> None:
    student = default_student().train()
    student(torch.randn(8, 40, 198)).square().sum().backward()
    assert all(p.grad is not None and float(p.grad.abs().sum()) > 0 for p in student.parameters())


def test_trunk_feeds_the_head() -> None:
    student = settled(default_student())
    frames = torch.randn(2, 40, 198)
    torch.testing.assert_close(student.head(student.trunk(frames)), student(frames))


def test_the_registry_is_a_literal_dict_and_refuses_the_unknown() -> None:
    assert set(STUDENTS) == {"ds_tcn", "bc_resnet"}
    with pytest.raises(ConfigError, match="'resnet' is unknown; choose one of: ds_tcn, bc_resnet"):
        build_student(StudentConfig.model_construct(architecture="resnet"))


def test_fixed_statistics_stay_in_training_while_the_rest_learns() -> None:
    student = settled(default_student())
    student.trunk.statistics_fixed = True
    before = student.trunk.front_norm.running_mean
    assert before is not None
    kept = before.clone()
    student.train()(torch.randn(8, 40, 198) * 3).square().sum().backward()
    torch.testing.assert_close(student.trunk.front_norm.running_mean, kept, rtol=0, atol=0)
    assert student.trunk.front_norm.weight.grad is not None
    assert student.head.training
