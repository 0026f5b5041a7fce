"""The student as an int8 streaming file: it says what torch says, in every runtime, from real features."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from ai_edge_litert import schema_py_generated as litert

from wakelark.errors import ModelError
from wakelark.tflite import quantise
from wakelark.tflite.layers import micro_layers
from wakelark.tflite.micro_student import MicroModel, build_micro_student
from wakelark.tflite.run import LITERT, PYMICRO, TFLM, device_features, run_everywhere, run_litert
from wakelark.tflite.schema import Op
from wakelark.tflite.tflm import Arena, measure_arena, run_tflm

from .micro_material import micro_features, micro_student, real_scores, real_scores_from_the_start

SHIFT = 0.4


@pytest.fixture(scope="module")
def model() -> MicroModel:
    return build_micro_student(micro_student(), shift=SHIFT, features=micro_features())


@pytest.fixture(scope="module")
def arena(model: MicroModel) -> Arena:
    return measure_arena(model.data)


def test_int8_says_what_torch_says(model: MicroModel) -> None:
    features = micro_features(seed=1)
    expected = real_scores(micro_student(), features, SHIFT)
    frames = device_features(features[: len(features) // 3 * 3])
    scores = run_litert(model.data, frames)[-len(expected) :]
    assert 0.2 < np.mean(expected > 0.5) < 0.8, "the scores swing, so that agreeing means something"
    assert np.abs(scores - expected).mean() < 0.015
    assert np.abs(scores - expected).max() < 0.12
    assert np.corrcoef(scores, expected)[0, 1] > 0.998


def test_the_first_steps_are_those_of_a_past_of_zeros(model: MicroModel, arena: Arena) -> None:
    """The second subgraph fills the variables before the first step, in every runtime."""
    assert arena.smallest_bytes is not None
    features = micro_features(seed=5)[:60]
    expected = real_scores_from_the_start(micro_layers(micro_student(), SHIFT), features)
    for scores in run_everywhere(model.data, device_features(features), arena_bytes=arena.smallest_bytes).values():
        assert len(scores) == len(expected) == 20
        assert np.abs(scores - expected).max() < 0.1
    assert np.ptp(expected) > 0.2


def test_the_runtimes_agree(model: MicroModel, arena: Arena) -> None:
    assert arena.smallest_bytes is not None
    frames = device_features(micro_features(seed=2)[:1200])
    scores = run_everywhere(model.data, frames, arena_bytes=arena.smallest_bytes)
    assert set(scores) == {LITERT, TFLM, PYMICRO}
    assert np.ptp(scores[TFLM]) > 0.5
    # Each rounds sums in its own way, which is two steps of 1/256 on average where a score swings from step to step.
    for other in (LITERT, PYMICRO):
        assert np.abs(scores[TFLM] - scores[other]).max() <= 16 / 256
        assert np.abs(scores[TFLM] - scores[other]).mean() < 3 / 256


def test_it_starts_from_silence_again_each_time(model: MicroModel) -> None:
    frames = device_features(micro_features(seed=2)[:90])
    once, twice = run_litert(model.data, frames), run_litert(model.data, np.concatenate([frames, frames]))
    np.testing.assert_array_equal(once, twice[:30])
    assert not np.array_equal(once, twice[30:]), "it remembers"
    np.testing.assert_array_equal(once, run_litert(model.data, frames))


def test_only_what_the_firmware_has(model: MicroModel) -> None:
    assert set(model.facts.operators) <= {op.name for op in Op}
    assert model.facts.variables == 5, "front, three blocks, head"
    student = micro_student()
    assert model.facts.receptive_field_frames == 5 + 3 * (2 + 4 + 6 + 18)
    assert model.facts.state_bytes == 2 * 40 + 32 * (2 + 4 + 6) + 8 * 18
    weights = sum(layer.numel() for name, layer in student.named_parameters() if "norm" not in name)
    folded_biases = 32 * 7  # the front's and two per block
    assert model.facts.parameters == weights + folded_biases
    assert model.facts.size_bytes == len(model.data)


def test_the_file_is_as_the_published_ones_are(model: MicroModel) -> None:
    read = litert.ModelT.InitFromPackedBuf(model.data, 0)
    main, first = read.subgraphs
    taken, given = main.tensors[main.inputs[0]], main.tensors[main.outputs[0]]
    assert (list(taken.shape), taken.type, list(taken.quantization.zeroPoint)) == ([1, 3, 40], 9, [-128])
    assert taken.quantization.scale[0] == pytest.approx(26 / 255)
    assert (list(given.shape), given.type, list(given.quantization.scale)) == ([1, 1], 3, [1 / 256])
    assert len(first.operators) == 2 * model.facts.variables
    depthwise = next(
        main.tensors[operator.inputs[1]]
        for operator in main.operators
        if read.operatorCodes[operator.opcodeIndex].builtinCode == Op.DEPTHWISE_CONV_2D
    )
    assert (len(depthwise.quantization.scale), depthwise.quantization.quantizedDimension) == (32, 3)


def test_no_weight_is_further_off_than_half_a_step() -> None:
    values = np.random.default_rng(0).standard_normal((5, 3, 2)) * np.array([1, 10, 0.1, 0, 3])[:, None, None]
    integers, meaning = quantise.weights(values, axis=0)
    scales = np.array(meaning.scales)[:, None, None]
    assert np.abs(integers).max() == 127
    assert (np.abs(integers * scales - values) <= scales / 2 + 1e-12).all()


@pytest.mark.parametrize(("low", "high"), [(-3.0, 5.0), (0.0, 7.0), (2.0, 7.0), (-9.0, -1.0), (0.0, 0.0)])
def test_zero_is_an_integer(low: float, high: float) -> None:
    meaning = quantise.affine(low, high)
    assert -128 <= meaning.zero_point <= 127
    kept = (quantise.to_integers(np.array([0.0, low, high]), meaning) - meaning.zero_point) * meaning.scale
    np.testing.assert_allclose(kept, [0.0, low, high], atol=meaning.scale)
    assert kept[0] == 0


def test_the_features_are_the_firmwares() -> None:
    """Worked out by hand from the firmware's `value * 256 / 666 - 128`, rounded."""
    numbers = np.array([0, 1, 2, 333, 665, 666, 670, 900], np.float32)
    assert device_features(numbers / 25.6).tolist() == [-128, -128, -127, 0, 127, 127, 127, 127]


def test_the_shift_moves_every_score(model: MicroModel) -> None:
    features = micro_features(seed=1)[:600]
    frames = device_features(features)
    other = build_micro_student(micro_student(), shift=SHIFT + 1, features=micro_features())
    low, high = run_litert(model.data, frames)[60:], run_litert(other.data, frames)[60:]
    sure = (low > 0.1) & (low < 0.9)
    moved = np.log(high[sure] / (1 - high[sure])) - np.log(low[sure] / (1 - low[sure]))
    assert sure.sum() > 20
    assert np.median(moved) == pytest.approx(1.0, abs=0.1)


def test_layers_say_what_the_student_says() -> None:
    layers = micro_layers(micro_student(), 0.0)
    assert layers.receptive_field_frames == 95
    assert [stage.name for stage in layers.stages][:4] == ["front", "depthwise_0", "pointwise_0", "block_0"]
    assert layers.front.steps_before == 2


def test_features_that_cannot_be_calibrated_on_are_refused() -> None:
    student = micro_student()
    with pytest.raises(ModelError, match="at least 190 frames, got"):
        build_micro_student(student, shift=0.0, features=micro_features()[:100])
    with pytest.raises(ModelError, match="no numbers"):
        build_micro_student(student, shift=0.0, features=np.full((500, 40), np.nan, np.float32))
    broken = micro_student.__wrapped__(16)
    broken.trunk.blocks.append(torch.nn.Identity())
    with pytest.raises(TypeError, match="no block of type"):
        micro_layers(broken, 0.0)


def test_a_model_that_does_not_fit_says_so(model: MicroModel, arena: Arena) -> None:
    assert arena.smallest_bytes is not None
    assert 4_000 < arena.smallest_bytes < 40_000
    frames = device_features(micro_features()[:30])
    with pytest.raises(ModelError, match=f"in {arena.smallest_bytes - 32} bytes: .*allocate"):
        run_tflm(model.data, frames, arena_bytes=arena.smallest_bytes - 32)
    assert len(run_tflm(model.data, frames, arena_bytes=arena.smallest_bytes)) == 10


def test_a_file_that_is_cut_off_boots_nowhere(model: MicroModel) -> None:
    arena = measure_arena(model.data[: len(model.data) // 2])
    assert arena.smallest_bytes is None
    assert arena.reason
