"""The student in 8 bits: it computes what its file computes, and learns where plain rounding costs too much."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from wakelark.audio import Int16Array
from wakelark.features.micro import micro
from wakelark.models.student import Student
from wakelark.pipeline.development import DevelopmentSet, PositiveTrial
from wakelark.pipeline.micro_tuning import EightBitCost, eight_bit_cost, tune_in_eight_bits
from wakelark.pipeline.student import StudentJob, train_student
from wakelark.tflite.calibrate import quantised_features
from wakelark.tflite.eight_bits import EightBitStudent, in_eight_bits
from wakelark.tflite.layers import micro_layers
from wakelark.tflite.micro_student import build_micro_student
from wakelark.tflite.run import device_features, run_litert
from wakelark.training.stream_features import StreamFeatures

from .micro_material import micro_features, micro_student
from .test_micro_model import job

SHIFT = 0.4


def test_it_computes_what_its_file_computes() -> None:
    student, features = micro_student(), micro_features()
    likeness = in_eight_bits(student, shift=SHIFT, features=features)
    heard = micro_features(seed=1)
    heard = heard[: len(heard) // 3 * 3]
    with torch.no_grad():
        logits = likeness(torch.from_numpy(heard.T.copy())[None])[0] + SHIFT
    scores = torch.sigmoid(logits).numpy()
    data = build_micro_student(student, shift=SHIFT, features=features).data
    written = run_litert(data, device_features(heard))[-len(scores) :]
    assert np.ptp(written) > 0.9
    assert np.abs(written - scores).mean() < 1.5 / 256
    assert np.abs(written - scores).max() < 16 / 256
    with torch.no_grad():
        real = torch.sigmoid(student(torch.from_numpy(heard.T.copy())[None])[0] + SHIFT).numpy()
    assert np.abs(written - scores).mean() < np.abs(real - scores).mean() / 2, "it is the file's likeness, not torch's"


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
    features = micro_features()[:90]
    student = copy.deepcopy(micro_student())
    likeness = in_eight_bits(student, shift=0.0, features=micro_features())
    with torch.no_grad():
        own = likeness(torch.from_numpy(features.T.copy())[None])
        rounded = likeness(torch.from_numpy(quantised_features(features).astype(np.float32).T.copy())[None])
    torch.testing.assert_close(own, rounded)


def hard_to_round(student: Student) -> Student:
    """The same function: some channels between two layers are a thousand times as large, and the next layer's weights
    for them as much smaller. An 8-bit scale for all channels leaves nothing of the others."""
    changed = copy.deepcopy(student)
    for block in changed.trunk.blocks:
        norm, pointwise = block.get_submodule("depthwise_norm"), block.get_submodule("pointwise")
        assert isinstance(norm, torch.nn.BatchNorm1d)
        assert isinstance(pointwise, torch.nn.Conv1d)
        with torch.no_grad():
            norm.weight[:2] *= 1000
            norm.bias[:2] *= 1000
            pointwise.weight[:, :2] /= 1000
    return changed.eval()


def test_the_trick_changes_no_real_score() -> None:
    features = torch.from_numpy(micro_features()[:600].T.copy())[None]
    with torch.no_grad():
        torch.testing.assert_close(
            hard_to_round(micro_student())(features), micro_student()(features), rtol=1e-3, atol=1e-3
        )


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


def test_where_rounding_costs_too_much_fine_tuning_helps(tmp_path: Path) -> None:
    begun = job(tmp_path)
    config = begun.config.model_copy(deep=True)
    config.training.steps, config.training.steps_per_epoch, config.student.candidates = 60, 20, 1
    config.training.workers = 1
    begun = replace(begun, config=config, development=positives_and_noise(begun))
    student, _ = train_student(begun, progress=lambda done, total, what: None, warn=lambda message: None)
    assert isinstance(student, Student)
    features = micro(begun.store.audio(np.arange(24)).ravel())

    plain = tune_in_eight_bits(begun, student, features, progress=lambda *_: None, warn=lambda message: None)
    assert plain.student is student
    assert plain.told() == {
        "development_clips": 12, "missed": plain.cost.missed, "missed_in_8_bits": plain.cost.missed_in_8_bits,
        "fine_tuned": False,
    }  # fmt: skip

    hard, said = hard_to_round(student), list[str]()
    assert eight_bit_cost(hard, begun.development, features).too_much
    tuned = tune_in_eight_bits(begun, hard, features, progress=lambda *_: None, warn=said.append)
    assert tuned.tuned is not None
    assert tuned.kept
    assert tuned.tuned.missed_in_8_bits < tuned.cost.missed_in_8_bits
    assert not isinstance(tuned.student, EightBitStudent)
    assert "fine-tuned in 8 bits" in said[0]
    again = tune_in_eight_bits(begun, hard, features, progress=lambda *_: None, warn=said.append)
    assert all(torch.equal(a, b) for a, b in zip(tuned.student.parameters(), again.student.parameters(), strict=True))
    assert len(micro_layers(tuned.student, 0.0).stages) == 3 + 3 * 2
