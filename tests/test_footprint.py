"""The size calculator: what a model will take is known before it is trained; what cannot fit is said with numbers."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from tflite_micro import runtime

from wakelark.cli import main
from wakelark.config import Config
from wakelark.errors import ConfigError
from wakelark.export.onnx import export_student, student_facts
from wakelark.models.build import build_student
from wakelark.models.student import Student
from wakelark.models.trunk import MICRO
from wakelark.pipeline.sizes import check_micro_fits, file_sizes
from wakelark.tflite.footprint import estimated_arena_bytes, micro_footprint
from wakelark.tflite.micro_student import build_micro_student

from .test_export import card_of

SHAPES = {
    "small": {"channels": 32, "kernels": (5, 7, 9), "rank": 8, "templates": 16, "taps": 10},
    "as trained": {"channels": 64, "kernels": (3, 3, 5, 5, 7), "rank": 16, "templates": 32, "taps": 10},
    "large": {"channels": 80, "kernels": (3, 5, 7, 9, 11, 13), "rank": 24, "templates": 48, "taps": 12},
}
UNFIT = {
    "too large": {"channels": 160, "kernels": (3, 3, 5, 5, 7), "rank": 32, "templates": 64, "taps": 10},
    "too deep": {"channels": 16, "kernels": (3,) * 19, "rank": 8, "templates": 8, "taps": 4},
}


def student(name: str) -> Student:
    """A student of random weights that takes three frames per step, as ESPHome's do."""
    torch.manual_seed(0)
    return Student(**{**SHAPES, **UNFIT}[name], dilation=2, dropout=0.0, front_end=MICRO).eval()


def runs_in(data: bytes, arena_bytes: int) -> bool:
    try:
        interpreter = runtime.Interpreter.from_bytes(data, arena_size=arena_bytes)
        interpreter.set_input(np.zeros((1, 3, 40), np.int8), 0)
        interpreter.invoke()
    except RuntimeError:
        return False
    return True


@pytest.mark.parametrize("name", SHAPES)
def test_the_estimated_arena_is_what_tflite_micro_needs(name: str) -> None:
    features = np.random.default_rng(1).uniform(0, 26, (800, 40)).astype(np.float32)
    model = build_micro_student(student(name), shift=0.3, features=features)
    estimate = estimated_arena_bytes(model.facts)
    assert runs_in(model.data, round(1.02 * estimate))
    assert not runs_in(model.data, round(0.98 * estimate))
    assert micro_footprint(student(name)).file_bytes == pytest.approx(len(model.data), abs=64)  # other zero points
    assert micro_footprint(student(name)).arena_bytes == estimate


def test_what_does_not_fit_is_said_with_both_numbers() -> None:
    fits = micro_footprint(student("as trained"))
    assert fits.problems() == []
    assert (fits.variables, fits.period_ms) == (7, 30)
    assert "7 of 20 variables" in fits.text
    huge = dataclasses.replace(fits, file_bytes=300_000, arena_bytes=150_000, variables=21, step_ms=25.0)
    assert huge.problems() == [
        "the file has 300,000 bytes, at most 240,000 fit",
        "the arena takes about 150,000 bytes, at most 111,000 fit",
        "it needs 21 variables, at most 20 fit",
        "a step takes about 25 ms, at most 20 fit",
    ]


def test_more_channels_take_more_of_everything() -> None:
    small, large = (micro_footprint(student(name)) for name in ("small", "large"))
    assert small.file_bytes < large.file_bytes
    assert small.arena_bytes < large.arena_bytes
    assert small.step_ms < large.step_ms


def test_sizes_of_the_files_for_computers_are_those_that_are_written(tmp_path: Path) -> None:
    config = Config()
    sizes = {size.file: size for size in file_sizes(config)}
    student = build_student(config.student)
    exported = export_student(student, card_of(student_facts(student)), tmp_path / "model_tiny.onnx")
    assert sizes["model_tiny.onnx"].size_bytes == pytest.approx(exported.size_bytes, rel=0.02)
    assert sizes["model_tiny.onnx"].state_bytes == 4 * student.state_size + 4 * 320  # and two hops of audio
    assert sizes["model_tiny.int8.onnx"].size_bytes < 0.55 * sizes["model_tiny.onnx"].size_bytes
    assert sizes["model.int8.onnx"].size_bytes < 0.4 * sizes["model.onnx"].size_bytes
    config.teacher.heads = 8
    assert {size.file: size for size in file_sizes(config)}["model.onnx"].size_bytes > sizes["model.onnx"].size_bytes


def test_asking_for_sizes_draws_no_random_numbers() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    file_sizes(Config())
    assert torch.equal(torch.rand(3), expected)


def test_a_student_that_fits_no_chip_is_refused_with_the_numbers() -> None:
    assert check_micro_fits(student("as trained")).problems() == []
    with pytest.raises(ConfigError, match=r"cannot run on an ESP32: the file has .* at most 240,000 fit.*channels"):
        check_micro_fits(student("too large"))
    with pytest.raises(ConfigError, match=r"21 resource variables; the firmware has room for 20"):
        check_micro_fits(student("too deep"))


def test_training_for_a_chip_that_has_no_room_is_refused_at_the_start(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["train", "alexa", "--for", "esphome", "--set", "micro.trunk=none", "--set", "micro.channels=200"]
    with pytest.raises(SystemExit) as stop:
        main([*words, "--out", str(tmp_path / "run")])
    assert stop.value.code == 2
    assert "at most 240,000 fit" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
