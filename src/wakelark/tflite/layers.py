"""A student as a list of plain layers, its batch norms folded in: what calibration runs and a file is written from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import nn

from wakelark.export.student_graph import fold
from wakelark.features.spectrum import Float64Array
from wakelark.models.student import Student
from wakelark.models.trunk import SeparableBlock


@dataclass(frozen=True, slots=True)
class Layer:
    """A convolution over time with real weights.

    Attributes:
        weight: `[out, in, taps]`, for a depthwise one `[channels, 1, taps]`.
        bias: `[out]`.
        stride, dilation: in steps.
        relu: whether sums below 0 become 0.
    """

    weight: Float64Array
    bias: Float64Array
    stride: int = 1
    dilation: int = 1
    relu: bool = False

    @property
    def steps_before(self) -> int:
        """Steps of the past that it needs beside the newest `stride`."""
        return (self.weight.shape[2] - 1) * self.dilation + 1 - self.stride


@dataclass(frozen=True, slots=True)
class Conv:
    """A stage that mixes channels."""

    name: str
    layer: Layer


@dataclass(frozen=True, slots=True)
class Depthwise:
    """A stage that keeps channels apart; the next `Residual` adds the end of its input."""

    name: str
    layer: Layer


@dataclass(frozen=True, slots=True)
class Residual:
    """A stage that adds what the last `Depthwise` was given, and makes what is below 0 zero."""

    name: str


Stage = Conv | Depthwise | Residual


@dataclass(frozen=True, slots=True)
class MicroLayers:
    """A student.

    Attributes:
        stages: in order; each gives a tensor that has a scale of its own.
        out: from the last of them to the logit, one tap; the shift is in its bias.
    """

    stages: Sequence[Stage]
    out: Layer

    @property
    def front(self) -> Layer:
        """The first layer, which strides over frames."""
        first = self.stages[0]
        if not isinstance(first, Conv):
            raise TypeError(f"the first stage is a {type(first).__name__}, not a convolution")
        return first.layer

    @property
    def receptive_field_frames(self) -> int:
        """Frames that one logit has heard."""
        front = self.front
        before = sum(stage.layer.steps_before for stage in self.stages[1:] if not isinstance(stage, Residual))
        return front.weight.shape[2] + front.stride * before


def micro_layers(student: Student, shift: float) -> MicroLayers:
    """The student's layers.

    Args:
        student: trained.
        shift: is added to the logits.

    Raises:
        TypeError: the trunk has a block of a kind that is not known here.
    """
    trunk, head = student.trunk, student.head
    weight, bias = fold(trunk.front, trunk.front_norm)
    stages: list[Stage] = [Conv("front", Layer(weight, bias, stride=trunk.front.stride[0], relu=True))]
    for number, block in enumerate(trunk.blocks):
        if not isinstance(block, SeparableBlock):
            raise TypeError(f"the graph knows no block of type {type(block).__name__}")
        stages.append(Depthwise(f"depthwise_{number}", Layer(*fold(block.depthwise, block.depthwise_norm))))
        stages.append(Conv(f"pointwise_{number}", Layer(*fold(block.pointwise, block.pointwise_norm))))
        stages.append(Residual(f"block_{number}"))
    stages += [Conv("narrow", _layer(head.narrow)), Conv("templates", _layer(head.templates, relu=True))]
    out = _layer(head.out)
    return MicroLayers(stages, Layer(out.weight, out.bias + shift))


def _layer(conv: nn.Conv1d, *, relu: bool = False) -> Layer:
    weight = conv.weight.detach().cpu().double().numpy()
    bias = np.zeros(conv.out_channels) if conv.bias is None else conv.bias.detach().cpu().double().numpy()
    return Layer(weight, bias, stride=conv.stride[0], dilation=conv.dilation[0], relu=relu)
