"""Networks on disk come back as they were, and nothing else comes back at all."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from wakelark.errors import ModelError
from wakelark.models.heads import EmbeddingHead, HeadEnsemble
from wakelark.models.saved import load_heads, load_student, save_heads, save_student
from wakelark.models.student import Student
from wakelark.models.trunk import MICRO


def student() -> Student:
    torch.manual_seed(0)
    made = Student(channels=8, kernels=(3, 5), rank=4, templates=6, taps=3, dilation=2, dropout=0.25)
    made.train()
    made(torch.randn(4, 40, 150))  # statistics of its own
    return made.eval()


def heads() -> HeadEnsemble:
    torch.manual_seed(0)
    members = [EmbeddingHead(context_steps=10, hidden=hidden, dropout=0.3) for hidden in (8, 12)]
    members[0].set_statistics(torch.randn(50, 96) * 3 + 1)
    return HeadEnsemble(members, temperatures=[2.0, 0.5], biases=[1.0, -3.0]).eval()


def test_a_student_comes_back(tmp_path: Path) -> None:
    before = student()
    before.trunk.statistics_fixed = True
    save_student(before, tmp_path / "a" / "student.safetensors")
    after = load_student(tmp_path / "a" / "student.safetensors")
    features = torch.randn(2, 40, 150)
    assert torch.equal(after(features), before(features))
    assert not after.training
    assert after.trunk.statistics_fixed
    assert (after.head.dropout.p, after.state_size) == (0.25, before.state_size)


def test_a_student_for_devices_comes_back(tmp_path: Path) -> None:
    before = Student(
        channels=8, kernels=(3, 5), rank=4, templates=6, taps=3, dilation=2, dropout=0.0, front_end=MICRO
    ).eval()
    save_student(before, tmp_path / "student.safetensors")
    after = load_student(tmp_path / "student.safetensors")
    features = torch.randn(2, 40, 150)
    assert torch.equal(after(features), before(features))
    assert (after.step_samples, after.receptive_field_samples) == (480, before.receptive_field_samples)


def test_heads_come_back_with_their_calibration(tmp_path: Path) -> None:
    before = heads()
    save_heads(before, tmp_path / "heads.safetensors")
    after = load_heads(tmp_path / "heads.safetensors")
    rows = torch.randn(2, 16, 96)
    assert torch.equal(after(rows), before(rows))
    assert after.temperatures.tolist() == [2.0, 0.5]
    assert [head.dropout.p for head in after.heads] == [0.3, 0.3]


def card_of(path: Path) -> tuple[dict[str, object], dict[str, torch.Tensor]]:
    with safe_open(path, framework="pt") as file:
        return json.loads(file.metadata()["wakelark_network"]), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


def test_what_is_not_a_whole_network_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "student.safetensors"
    with pytest.raises(ModelError, match=r"is not there.*checkpoints/student\.safetensors"):
        load_student(path)
    path.write_bytes(b"not a model")
    with pytest.raises(ModelError, match="damaged"):
        load_student(path)
    save_student(student(), path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ModelError, match="damaged"):
        load_student(path)
    save_file({"weight": torch.zeros(3)}, path)
    with pytest.raises(ModelError, match="not one that wakelark wrote"):
        load_student(path)
    save_heads(heads(), path)
    with pytest.raises(ModelError, match="holds heads, not student"):
        load_student(path)


def test_a_changed_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "student.safetensors"

    def changed(change: Mapping[str, object], shape: Mapping[str, object], weights: Mapping[str, torch.Tensor]) -> None:
        save_student(student(), path)
        card, kept = card_of(path)
        assert isinstance(card["shape"], dict)
        card = {**card, **change, "shape": {**card["shape"], **shape}}
        save_file({**kept, **weights}, path, {"wakelark_network": json.dumps(card)})

    changed({}, {}, {})
    load_student(path)
    for change, shape, weights, message in (
        ({"format": 2}, {}, {}, "format 2"),
        ({}, {"channels": 9}, {}, "do not fit"),
        ({}, {"kernels": None}, {}, "do not fit"),
        ({}, {"architecture": "conformer"}, {}, "conformer"),
        ({}, {}, {"more": torch.zeros(2)}, "do not fit"),
        ({}, {}, {"head.out.bias": torch.tensor([float("nan")])}, "not finite"),
    ):
        changed(change, shape, weights)
        with pytest.raises(ModelError, match=message):
            load_student(path)
