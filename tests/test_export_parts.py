"""The parts of `wakelark export` that need no run: int8 weights, the openWakeWord head, what a check lets through."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from wakelark.errors import ModelError
from wakelark.export.int8 import quantise_weights
from wakelark.export.onnx import export_student, student_facts
from wakelark.export.open_wake_word import EMBEDDINGS, open_wake_word_head, write_onnx_head
from wakelark.export.parity import probe_audio
from wakelark.pipeline.targets.target import ParityCheck
from wakelark.runtime.detector import Detector

from .swinging import swinging_heads, swinging_student
from .test_export import card_of


def embeddings(count: int) -> np.ndarray:
    """Windows of 16 that look like the speech embedding's. Shape: `-> [count, 16, 96]`"""
    rng = np.random.default_rng(4)
    return (rng.standard_normal((count, EMBEDDINGS, 96)) * 15 + rng.standard_normal(96) * 5).astype(np.float32)


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


@pytest.mark.parametrize("smoothing_steps", [1, 2, 7])
def test_the_head_is_the_mean_of_the_newest_windows(smoothing_steps: int) -> None:
    heads = swinging_heads(gain=10, temperatures=[1.0, 2.0, 0.5], biases=[0.5, -1.0, 0.0]).eval()
    head = open_wake_word_head(heads, shift=-0.7, smoothing_steps=smoothing_steps)
    heard = embeddings(40)
    with torch.inference_mode():
        each = torch.sigmoid(heads(torch.from_numpy(heard)) - 0.7).numpy()  # [40, 7]: one per window of 10
    expected = each[:, -smoothing_steps:].mean(1)
    assert expected.std() > 0.01
    np.testing.assert_allclose(head.probability(heard), expected, atol=1e-5)
    session = onnxruntime.InferenceSession(write_onnx_head(head), providers=["CPUExecutionProvider"])
    (given,), (gives,) = session.get_inputs(), session.get_outputs()
    assert (given.shape, gives.shape) == ([1, 16, 96], [1, 1])  # fixed: its runtimes read them
    scores = [float(session.run(None, {given.name: window[None]})[0][0, 0]) for window in heard]
    np.testing.assert_allclose(scores, expected, atol=1e-5)


def test_a_head_that_needs_more_than_openwakeword_gives_is_refused() -> None:
    heads = swinging_heads(gain=1, temperatures=[1.0], biases=[0.0])
    with pytest.raises(ModelError, match=r"takes 17, and an openWakeWord model gets 16; .*teacher.context_steps"):
        open_wake_word_head(heads, shift=0.0, smoothing_steps=8)
