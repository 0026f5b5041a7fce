"""The parts of `wakelark export` that need no run: int8 weights, the openWakeWord head, what a check lets through."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from ai_edge_litert.interpreter import Interpreter

from wakelark.errors import ModelError
from wakelark.export.int8 import quantise_weights
from wakelark.export.onnx import export_student, student_facts
from wakelark.export.open_wake_word import OPENWAKEWORD_STEPS, open_wake_word_onnx
from wakelark.export.parity import probe_audio
from wakelark.models.heads import HeadEnsemble
from wakelark.pipeline.targets.target import ParityCheck
from wakelark.runtime.detector import Detector
from wakelark.tflite.open_wake_word import open_wake_word_tflite

from .swinging import swinging_heads, swinging_student
from .test_export import card_of


def embeddings(count: int) -> np.ndarray:
    """Windows of 16 that look like the speech embedding's. Shape: `-> [count, 16, 96]`"""
    rng = np.random.default_rng(4)
    return (rng.standard_normal((count, OPENWAKEWORD_STEPS, 96)) * 15 + rng.standard_normal(96) * 5).astype(np.float32)


@pytest.mark.parametrize("figure", [1e-3, float("inf"), float("nan")])
def test_a_check_refuses_what_is_too_large_and_says_so(figure: float) -> None:
    with pytest.raises(ModelError, match=r"the parity check failed: a difference is .*, allowed are 0.0001"):
        ParityCheck(what="a difference", figure=figure, allowed=1e-4)


def test_a_check_keeps_what_is_small_enough() -> None:
    assert ParityCheck(what="a difference", figure=1e-4, allowed=1e-4).figure == 1e-4


def test_int8_weights_are_off_by_half_a_step_and_no_more(tmp_path: Path) -> None:
    student = swinging_student(gain=10)
    card = card_of(student_facts(student))
    path = tmp_path / "model_tiny.onnx"
    export_student(student, card, path)
    small = quantise_weights(path.read_bytes())
    before, after = (onnx.load_model_from_string(data) for data in (path.read_bytes(), small))
    values = {constant.name: onnx.numpy_helper.to_array(constant) for constant in after.graph.initializer}
    quantised = 0
    for constant in before.graph.initializer:
        if f"{constant.name}_int8" in values:
            weight = onnx.numpy_helper.to_array(constant)
            integers, scales = values[f"{constant.name}_int8"], values[f"{constant.name}_scale"]
            assert integers.dtype == np.int8
            assert scales.shape == (len(weight), *[1] * (weight.ndim - 1))
            assert np.all(np.abs(integers * scales - weight) <= scales * 0.5001)
            assert np.all(np.abs(integers).max(axis=tuple(range(1, weight.ndim))) == 127)  # no step is wasted
            quantised += weight.size
    assert quantised > 0.9 * sum(parameter.numel() for parameter in student.parameters() if parameter.ndim > 1)
    audio = probe_audio(np.random.default_rng(0), seconds=8)
    (tmp_path / "small.onnx").write_bytes(small)
    scores = [np.array(Detector.load(file).score(audio)) for file in (path, tmp_path / "small.onnx")]
    assert scores[0].std() > 0.01
    assert 0 < np.abs(scores[0] - scores[1]).max() < 0.15


def test_a_model_without_weights_is_not_quantised(tmp_path: Path) -> None:
    from .tiny_model import tiny_bytes

    with pytest.raises(ModelError, match="no float32 convolutions"):
        quantise_weights(tiny_bytes())


def heads() -> HeadEnsemble:
    return swinging_heads(gain=10, temperatures=[1.0, 2.0, 0.5], biases=[0.5, -1.0, 0.0]).eval()


def run_onnx(data: bytes, heard: np.ndarray) -> list[float]:
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    (given,), (gives,) = session.get_inputs(), session.get_outputs()
    assert (given.shape, gives.shape) == ([1, 16, 96], [1, 1])  # fixed: its runtimes read them
    return [float(np.asarray(session.run(None, {given.name: window[None]})[0])[0, 0]) for window in heard]


def run_tflite(data: bytes, heard: np.ndarray) -> list[float]:
    interpreter = Interpreter(model_content=data, num_threads=1)
    interpreter.allocate_tensors()
    (given,), (gives,) = interpreter.get_input_details(), interpreter.get_output_details()
    assert (list(given["shape"]), list(gives["shape"])) == ([1, 16, 96], [1, 1])
    scores = []
    for window in heard:
        interpreter.set_tensor(given["index"], window[None])
        interpreter.invoke()
        scores.append(float(interpreter.get_tensor(gives["index"])[0, 0]))
    return scores


@pytest.mark.parametrize("averaged", [1, 2, 7])
@pytest.mark.parametrize(("write", "run"), [(open_wake_word_onnx, run_onnx), (open_wake_word_tflite, run_tflite)])
def test_the_head_is_the_mean_of_the_newest_windows(
    write: Callable[..., bytes], run: Callable[[bytes, np.ndarray], list[float]], averaged: int
) -> None:
    ensemble, heard = heads(), embeddings(40)
    with torch.inference_mode():
        each = torch.sigmoid(ensemble(torch.from_numpy(heard)) - 0.7).numpy()  # [40, 7]: one per window of 10
    expected = each[:, -averaged:].mean(1)
    assert expected.std() > 0.01
    scores = run(write(ensemble, shift=-0.7, averaged=averaged), heard)
    np.testing.assert_allclose(scores, expected, atol=1e-5)


@pytest.mark.parametrize("write", [open_wake_word_onnx, open_wake_word_tflite])
def test_a_head_that_needs_more_than_openwakeword_gives_is_refused(write: Callable[..., bytes]) -> None:
    with pytest.raises(ValueError, match="17 embeddings are needed; openWakeWord gives 16"):
        write(heads(), shift=0.0, averaged=8)
