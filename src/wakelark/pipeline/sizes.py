"""The size calculator: what each target's files will take, from the configuration, before anything is trained.

Weights change no size: the networks are made with random ones, written as they will be, and measured.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from wakelark.config import Config
from wakelark.errors import ConfigError
from wakelark.export.accurate_graph import build_accurate_graph
from wakelark.export.bc_resnet_graph import build_bc_resnet_graph
from wakelark.export.graph import StreamGraph
from wakelark.export.int8 import quantise_weights
from wakelark.export.open_wake_word import OPENWAKEWORD_STEPS, steps_needed
from wakelark.export.student_graph import build_student_graph
from wakelark.models.bc_resnet import BcResNet
from wakelark.models.build import AnyStudent, build_student
from wakelark.models.heads import EmbeddingHead, HeadEnsemble
from wakelark.models.student import Student
from wakelark.models.trunk import MICRO
from wakelark.tflite.footprint import MicroFootprint, micro_footprint
from wakelark.tflite.open_wake_word import open_wake_word_tflite

_CARD_BYTES = 3000
"""About what a model's card adds to its file; it names the sources of the training audio."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileSize:
    """What a file will take.

    Attributes:
        target: what `wakelark export --to` calls it.
        file: its name, or a pattern of it.
        size_bytes: on disk.
        state_bytes: what a stream remembers between calls.
    """

    target: str
    file: str
    size_bytes: int
    state_bytes: int

    @property
    def text(self) -> str:
        """For people."""
        state = f" + {self.state_bytes / 1000:.0f} kB per stream" if self.state_bytes else ""
        return f"{self.file} {self.size_bytes / 1000:,.0f} kB{state}"


def file_sizes(config: Config) -> list[FileSize]:
    """Sizes of the files for computers, which all runs give.

    Raises:
        ModelError: the student's trunk is missing or damaged.
        SetupError: the package with the embedding's weights is missing.
    """
    heads, student = _untrained_heads(config), _untrained_student(config)
    built = {"model": build_accurate_graph(heads, 0.0), "model_tiny": _graph_of(student)}
    sizes: list[FileSize] = []
    for name, (graph, scores) in built.items():
        state_bytes = 4 * graph.state_size
        data = graph.finish(scores, {}).SerializeToString()
        for file, content in ((f"{name}.onnx", data), (f"{name}.int8.onnx", quantise_weights(data))):
            sizes.append(
                FileSize(target="onnx", file=file, size_bytes=len(content) + _CARD_BYTES, state_bytes=state_bytes)
            )
    if steps_needed(heads.context_steps, 1) <= OPENWAKEWORD_STEPS:
        data = open_wake_word_tflite(heads, 0.0, averaged=1)
        sizes.append(FileSize(target="openwakeword", file="<phrase>.tflite", size_bytes=len(data), state_bytes=0))
    return sizes


def check_micro_fits(student: Student) -> MicroFootprint:
    """What a student will take on an ESP32.

    Args:
        student: trained or not, on the features of ESPHome's front end.

    Raises:
        ConfigError: it cannot run there; with every number that is too large.
    """
    remedy = "choose fewer micro.channels, micro.kernels or micro.head_templates, or leave out --for esphome"
    try:
        footprint = micro_footprint(student.eval())
    except ValueError as error:  # more variables than can be written at all
        raise ConfigError(f"this student cannot run on an ESP32: {error}; {remedy}") from error
    if problems := footprint.problems():
        raise ConfigError(f"this student cannot run on an ESP32: {'; '.join(problems)}; {remedy}")
    return footprint


def micro_size(config: Config) -> MicroFootprint:
    """What the student for ESPHome's devices of a configuration will take.

    Args:
        config: whose `student` is that of the devices (`wakelark.pipeline.micro.micro_config`).

    Raises:
        ConfigError: as `check_micro_fits`.
        ModelError: its trunk is missing or damaged.
    """
    with torch.random.fork_rng(devices=[]):
        student = build_student(config.student, front_end=MICRO)
    assert isinstance(student, Student)
    return check_micro_fits(student)


def _graph_of(student: AnyStudent) -> tuple[StreamGraph, str]:
    return build_bc_resnet_graph(student, 0.0) if isinstance(student, BcResNet) else build_student_graph(student, 0.0)


def _untrained_heads(config: Config) -> HeadEnsemble:
    teacher = config.teacher
    with torch.random.fork_rng(devices=[]):
        heads = [
            EmbeddingHead(context_steps=teacher.context_steps, hidden=teacher.hidden, dropout=teacher.dropout)
            for _ in range(teacher.heads)
        ]
    return HeadEnsemble(heads, temperatures=[1.0] * len(heads), biases=[0.0] * len(heads)).eval()


def _untrained_student(config: Config) -> AnyStudent:
    """Its random numbers are not taken from those of a training."""
    with torch.random.fork_rng(devices=[]):
        return build_student(config.student).eval()
