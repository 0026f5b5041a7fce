"""The student in 8 bits: it computes what its file computes, and learns where plain rounding costs too much."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch

from wakelark.audio import Float32Array, Int16Array
from wakelark.evaluation.events import Float64Array, log_odds
from wakelark.features.micro import micro
from wakelark.models.student import Student
from wakelark.models.trunk import SeparableBlock
from wakelark.pipeline.development import DevelopmentSet, PositiveTrial
from wakelark.pipeline.micro_tuning import EightBitCost, tune_in_eight_bits
from wakelark.pipeline.networks import probability
from wakelark.pipeline.student import StudentJob, train_student
from wakelark.tflite import quantise
from wakelark.tflite.calibrate import quantised_features
from wakelark.tflite.eight_bits import EightBitStudent, in_eight_bits, rounded
from wakelark.tflite.micro_student import build_micro_student
from wakelark.tflite.run import device_features, run_litert
from wakelark.training.stream_features import StreamFeatures

from .micro_material import micro_features, micro_student, real_scores
from .test_micro_model import job

SHIFT = 0.4


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> StudentJob:
    """The training of a student that hears whether there is a tone in the noise."""
    begun = job(tmp_path_factory.mktemp("job"))
    config = begun.config.model_copy(deep=True)
    config.training.steps, config.training.steps_per_epoch, config.training.learning_rate = 80, 20, 0.02
    config.training.workers, config.student.candidates = 1, 1
    return replace(begun, config=config, development=positives_and_noise(begun))


@pytest.fixture(scope="module")
def student(begun: StudentJob) -> Student:
    trained, _ = train_student(begun, progress=lambda *_: None, warn=lambda message: None)
    assert isinstance(trained, Student)
    return trained


@pytest.fixture(scope="module")
def features(begun: StudentJob) -> Float32Array:
    return micro(begun.store.audio(np.arange(24)).ravel())


def in_three_ways(student: Student, features: Float32Array) -> tuple[Float64Array, Float64Array]:
    """How far the scores of its file are from those of its likeness, and from those in float, step by step."""
    heard = features[: len(features) // 3 * 3]
    likeness = in_eight_bits(student, shift=SHIFT, features=features)
    data = build_micro_student(student, shift=SHIFT, features=features).data
    written = run_litert(data, device_features(heard))[-len(heard) // 6 :]
    scores, real = (
        probability(rounded(torch.from_numpy(log_odds(real_scores(network, heard, SHIFT))), quantise.LOGIT).numpy())
        for network in (likeness, student)
    )
    assert np.ptp(written) > 0.5, "the scores swing, so that agreeing means something"
    return np.abs(written - scores[-len(written) :]), np.abs(written - real[-len(written) :])


def test_it_computes_what_its_file_computes(student: Student, features: Float32Array) -> None:
    apart, _ = in_three_ways(student, features)
    assert apart.mean() < 1.5 / 256
    # Where 8 bits change the scores a lot, its own change with them: what is left are the kernels' roundings.
    for factor in (100.0, 300.0):
        apart, from_real = in_three_ways(hard_to_round(student, factor), features)
        assert from_real.mean() > 15 / 256
        assert apart.mean() < from_real.mean() / 4


def test_every_weight_learns_and_no_statistic_moves() -> None:
    likeness = in_eight_bits(micro_student(), shift=0.0, features=micro_features()).train()
    before = {name: value.clone() for name, value in likeness.named_buffers()}
    likeness(torch.from_numpy(micro_features(seed=1)[:600].T.copy())[None]).square().sum().backward()
    for name, parameter in likeness.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name
    assert all(torch.equal(value, before[name]) for name, value in likeness.named_buffers())
    assert likeness.state_dict().keys() == micro_student().state_dict().keys()


def test_features_are_rounded_as_the_firmware_rounds_them() -> None:
    features = micro_features()[:300]
    student = copy.deepcopy(micro_student())
    likeness = in_eight_bits(student, shift=0.0, features=micro_features())
    with torch.no_grad():
        own = likeness(torch.from_numpy(features.T.copy())[None])
        rounded = likeness(torch.from_numpy(quantised_features(features).astype(np.float32).T.copy())[None])
    torch.testing.assert_close(own, rounded)


def hard_to_round(student: Student, factor: float = 1000.0) -> Student:
    """The same function with channel 0 so loud, all through the trunk, that a scale for all channels leaves nothing of
    the others, and the head's weight for it so small that its integer is 0."""
    changed = copy.deepcopy(student)
    trunk = changed.trunk
    with torch.no_grad():
        for values in (trunk.front_norm.weight, trunk.front_norm.bias):
            values[0] *= factor
        for block in trunk.blocks:
            assert isinstance(block, SeparableBlock)
            assert block.depthwise_norm.running_mean is not None
            assert block.depthwise_norm.running_var is not None
            block.depthwise_norm.running_mean[0] *= factor
            block.depthwise_norm.running_var[0] *= factor**2
            for values in (block.pointwise_norm.weight, block.pointwise_norm.bias):
                values[0] *= factor
        changed.head.narrow.weight[:, 0] /= factor
    return changed.eval()


def test_the_trick_changes_no_real_score() -> None:
    features = torch.from_numpy(micro_features()[:600].T.copy())[None]
    with torch.no_grad():
        changed, plain = hard_to_round(micro_student())(features), micro_student()(features)
    torch.testing.assert_close(changed, plain, rtol=1e-2, atol=1e-2)


def test_what_is_too_much() -> None:
    assert not EightBitCost(40, 3, 4).too_much, "one clip is no cost"
    assert EightBitCost(40, 3, 5).too_much
    assert not EightBitCost(400, 3, 5).too_much, "half a point"
    assert EightBitCost(400, 3, 6).too_much
    assert not EightBitCost(400, 6, 3).too_much


def positives_and_noise(job: StudentJob) -> DevelopmentSet:
    """Every view with the tone is a clip of the phrase, the others are a recording."""
    audio = job.store.audio(np.arange(len(job.store.labels)))

    def heard(name: str, sound: Int16Array) -> StreamFeatures:
        return StreamFeatures(name, len(sound), micro(sound).astype(np.float16), np.zeros((3, 96), np.float16))

    trials = [
        PositiveTrial(heard(f"{n}", np.concatenate([audio[n - 1], audio[n], audio[n - 1]])), 2.5, 6.0, 0, False)
        for n in range(1, len(audio), 2)
    ]
    return DevelopmentSet(trials, [heard("noise", np.concatenate(audio[::2]))], job.config.evaluation)


def test_where_rounding_costs_too_much_fine_tuning_helps(
    begun: StudentJob, student: Student, features: Float32Array
) -> None:
    plain = tune_in_eight_bits(begun, student, features, progress=lambda *_: None, warn=lambda message: None)
    assert plain.best.student is student
    assert plain.tuned is None
    assert plain.told()["fine_tuned"] is False

    hard, said = hard_to_round(student), list[str]()
    tuned = tune_in_eight_bits(begun, hard, features, progress=lambda *_: None, warn=said.append)
    assert tuned.plain.cost.too_much
    assert tuned.best is tuned.tuned
    assert tuned.best.cost.missed_in_8_bits < tuned.plain.cost.missed_in_8_bits
    assert not isinstance(tuned.best.student, EightBitStudent)
    assert "fine-tuned in 8 bits" in said[0]
    again = tune_in_eight_bits(begun, hard, features, progress=lambda *_: None, warn=said.append)
    pairs = zip(tuned.best.student.parameters(), again.best.student.parameters(), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs), "from its checkpoint, to the last bit"
