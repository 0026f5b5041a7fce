"""Trained networks on disk: one safetensors file each, with the architecture as JSON in its metadata. No pickle.

A run keeps its student and its heads this way, so that a later run may learn from them, mine with them or go on from
them without the configuration they were trained with.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from wakelark.corpus.cache import write_atomically
from wakelark.errors import ModelError
from wakelark.models.bc_resnet import BcResNet
from wakelark.models.build import AnyStudent
from wakelark.models.heads import EmbeddingHead, HeadEnsemble
from wakelark.models.student import Student
from wakelark.models.trunk import FRONT_ENDS, LOGMEL

FORMAT_VERSION = 1
_KEY = "wakelark_network"

Network = TypeVar("Network", bound=nn.Module)


def save_student(student: AnyStudent, path: Path) -> None:
    """Write a student.

    Raises:
        SetupError: the disk is full or may not be written.
    """
    _write(path, "student", _shape_of(student), student)


def load_student(path: Path) -> AnyStudent:
    """The student in a file, in evaluation mode on the CPU.

    Raises:
        ModelError: there is no such file, it is damaged, or it holds something else.
    """
    return _read(path, "student", _student_of)


def save_heads(ensemble: HeadEnsemble, path: Path) -> None:
    """Write the accurate model's heads with their calibration.

    Raises:
        SetupError: the disk is full or may not be written.
    """
    shape = {
        "context_steps": ensemble.context_steps,
        "hidden": [head.window.out_channels for head in ensemble.heads],
        "dropout": [head.dropout.p for head in ensemble.heads],
    }
    _write(path, "heads", shape, ensemble)


def load_heads(path: Path) -> HeadEnsemble:
    """The heads in a file, in evaluation mode on the CPU.

    Raises:
        ModelError: there is no such file, it is damaged, or it holds something else.
    """
    return _read(path, "heads", _heads_of)


def _shape_of(student: AnyStudent) -> dict[str, object]:
    if isinstance(student, BcResNet):
        return {"architecture": "bc_resnet", "width": student.width, "dropout": student.dropout}
    head = student.head
    return {
        "architecture": "ds_tcn",
        "front_end": student.front_end.name,
        "channels": student.trunk.channels,
        "kernels": list(student.trunk.kernels),
        "statistics_fixed": student.trunk.statistics_fixed,
        "rank": head.rank,
        "templates": head.templates.out_channels,
        "taps": head.templates.kernel_size[0],
        "dilation": head.templates.dilation[0],
        "dropout": head.dropout.p,
    }


def _student_of(shape: Mapping[str, Any]) -> AnyStudent:
    if shape["architecture"] not in STUDENTS:
        raise ValueError(f"its architecture is {shape['architecture']!r}, known are: {', '.join(STUDENTS)}")
    return STUDENTS[shape["architecture"]](shape)


def _ds_tcn(shape: Mapping[str, Any]) -> Student:
    student = Student(
        channels=shape["channels"], kernels=shape["kernels"], rank=shape["rank"], templates=shape["templates"],
        taps=shape["taps"], dilation=shape["dilation"], dropout=shape["dropout"],
        front_end=FRONT_ENDS[shape.get("front_end", LOGMEL.name)],  # files of before there were two
    )  # fmt: skip
    student.trunk.statistics_fixed = bool(shape["statistics_fixed"])
    return student


def _bc_resnet(shape: Mapping[str, Any]) -> BcResNet:
    return BcResNet(width=shape["width"], dropout=shape["dropout"])


STUDENTS: dict[str, Callable[[Mapping[str, Any]], AnyStudent]] = {"ds_tcn": _ds_tcn, "bc_resnet": _bc_resnet}
"""By the architecture named in a file: what makes a student of that shape."""


def _heads_of(shape: Mapping[str, Any]) -> HeadEnsemble:
    heads = [
        EmbeddingHead(context_steps=shape["context_steps"], hidden=hidden, dropout=dropout)
        for hidden, dropout in zip(shape["hidden"], shape["dropout"], strict=True)
    ]
    # The real temperatures and biases are buffers and come with the weights.
    return HeadEnsemble(heads, temperatures=[1.0] * len(heads), biases=[0.0] * len(heads))


def _write(path: Path, kind: str, shape: Mapping[str, object], network: nn.Module) -> None:
    card = {"format": FORMAT_VERSION, "kind": kind, "shape": shape}
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    write_atomically(path, save(weights, {_KEY: json.dumps(card)}))


def _read(path: Path, kind: str, build: Callable[[Mapping[str, Any]], Network]) -> Network:
    card, weights = _read_file(path, kind)
    if card["format"] != FORMAT_VERSION:
        raise ModelError(
            f"{path} is of format {card['format']}, this wakelark reads format {FORMAT_VERSION}; train the run again"
        )
    if card["kind"] != kind:
        raise ModelError(f"{path} holds {card['kind']}, not {kind}; name the other file of the run's checkpoints")
    try:
        network = build(card["shape"])
        network.load_state_dict(weights)
    except (KeyError, ValueError, TypeError, RuntimeError) as error:
        raise ModelError(
            f"{path}: the weights do not fit the architecture in the file, it is damaged or was changed ({error}); "
            f"train the run again"
        ) from error
    return network.eval()


def _read_file(path: Path, kind: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The card (format, kind and shape are there) and the weights, all finite."""
    if not path.is_file():
        raise ModelError(
            f"{path} is not there; `wakelark train` writes checkpoints/{kind}.safetensors at the end of a run"
        )
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path} is damaged or no safetensors file ({error}); train the run again") from error
    try:
        card = json.loads(metadata[_KEY])
        found = {name: card[name] for name in ("format", "kind", "shape")}
    except (KeyError, ValueError, TypeError) as error:
        raise ModelError(
            f"{path} is a safetensors file, but not one that wakelark wrote; name a finished run's "
            f"checkpoints/{kind}.safetensors"
        ) from error
    broken = [name for name, tensor in weights.items() if not bool(torch.isfinite(tensor).all())]
    if broken:
        raise ModelError(f"{path}: {broken[0]} holds values that are not finite; train the run again")
    return found, weights
