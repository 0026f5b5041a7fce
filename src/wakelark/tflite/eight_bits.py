"""A student that computes as its 8-bit file will, and can be trained as such.

Rounding has no gradient, so that of the value before it is taken, and none where a value lies beyond its range: the
straight-through estimator of quantisation-aware training (Jacob et al. 2018, "Quantization and Training of Neural
Networks for Efficient Integer-Arithmetic-Only Inference"). Weights are rounded before the batch norm is folded in: a
norm multiplies whole output channels, each of which has a scale of its own, so the integers are those of the file.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional
from typing_extensions import override

from wakelark.audio import Float32Array
from wakelark.models.student import Student
from wakelark.models.trunk import SeparableBlock
from wakelark.tflite import quantise
from wakelark.tflite.calibrate import find_ranges
from wakelark.tflite.layers import micro_layers
from wakelark.tflite.schema import Quantisation


class EightBitStudent(Student):
    """A student whose weights and activations are rounded as `tflite.micro_student` writes them.

    It has the parameters of the student that it was made from, under the same names. What is not simulated are biases,
    the rounding of sums and the last layer's 8-bit logit.

    Args:
        student: on the `micro` front end; it is copied, and the copy's norms keep their statistics in training.
        ranges: what the integers of each stage's output mean, see `find_ranges`.

    Shape: `[B, 40, T] -> [B, L]`
    """

    def __init__(self, student: Student, ranges: Sequence[Quantisation]) -> None:
        trunk, head = student.trunk, student.head
        super().__init__(
            channels=trunk.channels, kernels=trunk.kernels, rank=head.rank, templates=head.templates.out_channels,
            taps=head.templates.kernel_size[0], dilation=head.templates.dilation[0], dropout=head.dropout.p,
            front_end=student.front_end,
        )  # fmt: skip
        self.load_state_dict(student.state_dict())
        self.trunk.statistics_fixed = True
        self.ranges = tuple(ranges)
        self.train(student.training)

    @override
    def forward(self, features: Tensor) -> Tensor:
        trunk, head, ranges = self.trunk, self.head, iter(self.ranges)
        values = rounded(features, quantise.MICRO_INPUT)
        values = rounded(functional.relu(trunk.front_norm(_convolved(trunk.front, values))), next(ranges))
        for block in trunk.blocks:
            assert isinstance(block, SeparableBlock)
            change = rounded(block.depthwise_norm(_convolved(block.depthwise, values)), next(ranges))
            change = rounded(block.pointwise_norm(_convolved(block.pointwise, change)), next(ranges))
            values = rounded(functional.relu(values[..., block.kernel - 1 :] + change), next(ranges))
        narrowed = rounded(_convolved(head.narrow, head.dropout(values)), next(ranges))
        matched = rounded(functional.relu(_convolved(head.templates, narrowed)), next(ranges))
        return _convolved(head.out, matched).squeeze(1)


def in_eight_bits(student: Student, *, shift: float, features: Float32Array) -> EightBitStudent:
    """The student as its file will compute, its ranges found as for the file.

    Args:
        student: on the `micro` front end.
        shift: that the file will add to the logits; the simulation does not.
        features: of continuous audio, 0 to 26, on which the ranges are found.

    Shape of `features`: `[frames, bands]`
    """
    return EightBitStudent(student, find_ranges(micro_layers(student, shift), features))


def rounded(values: Tensor, meaning: Quantisation) -> Tensor:
    """The values that int8 can say, with the gradient of the values before.

    Shape: as `values`

    >>> values = torch.tensor([-1.0, 0.26, 30.0], requires_grad=True)
    >>> said = rounded(values, Quantisation([0.1], zero_point=-128))  # 0 to 25.5
    >>> said.sum().backward()
    >>> [round(value, 2) for value in said.tolist()], values.grad.tolist()
    ([0.0, 0.3, 25.5], [0.0, 1.0, 0.0])
    """
    lowest, highest = ((limit - meaning.zero_point) * meaning.scale for limit in (quantise.LOWEST, quantise.HIGHEST))
    inside = values.clamp(lowest, highest)
    integers = torch.round(inside.detach() / meaning.scale)
    return inside + (integers * meaning.scale - inside.detach())


def _convolved(conv: nn.Conv1d, values: Tensor) -> Tensor:
    """The convolution with 8-bit weights, one scale per output channel."""
    weight = conv.weight.detach()
    scales = weight.abs().amax(dim=(1, 2), keepdim=True) / quantise.WEIGHT_LIMIT
    scales = torch.where(scales > 0, scales, torch.ones_like(scales))
    weight = conv.weight + (torch.round(weight / scales) * scales - weight)
    return functional.conv1d(values, weight, conv.bias, conv.stride, 0, conv.dilation, conv.groups)
