"""The student as a streaming graph, its batch norms folded into the convolutions before them."""

from __future__ import annotations

import numpy as np
from torch import Tensor, nn

from wakelark.audio import Float32Array
from wakelark.export.front_ends import add_logmel
from wakelark.export.graph import StreamGraph
from wakelark.features.logmel import BANDS
from wakelark.features.spectrum import Float64Array
from wakelark.models.student import PhraseHead, Student
from wakelark.models.trunk import FRONT_KERNEL, LOGMEL, STEP_FRAMES, SeparableBlock


def build_student_graph(student: Student, shift: float) -> tuple[StreamGraph, str]:
    """The graph, not yet finished, and the name of its scores.

    Args:
        student: trained.
        shift: is added to the logits.

    Shape of the scores: `[1, n / 640]`
    """
    if student.front_end != LOGMEL:
        raise TypeError(f"the graph holds the front end {LOGMEL.name}, the student was trained on another")
    graph = StreamGraph("wakelark_tiny")
    frames = graph.node("Unsqueeze", [add_logmel(graph), graph.ints([0, 2])])
    kept = FRONT_KERNEL - STEP_FRAMES
    frames = graph.remember(frames, axis=3, keep=kept, shape=[1, BANDS, 1, kept])
    trunk = student.trunk
    weight, bias = fold(trunk.front, trunk.front_norm)
    values = graph.node("Relu", [_conv(graph, frames, weight, bias, stride=STEP_FRAMES)])
    for block in trunk.blocks:
        if not isinstance(block, SeparableBlock):
            raise TypeError(f"the graph knows no block of type {type(block).__name__}")
        values = _add_block(graph, values, block, trunk.channels)
    logits = _add_head(graph, values, student.head, shift)
    return graph, graph.reshape(graph.node("Sigmoid", [logits]), [1, -1])


def _add_block(graph: StreamGraph, values: str, block: SeparableBlock, channels: int) -> str:
    kept = block.kernel - 1
    joined = graph.remember(values, axis=3, keep=kept, shape=[1, channels, 1, kept])
    weight, bias = fold(block.depthwise, block.depthwise_norm)
    change = _conv(graph, joined, weight, bias, groups=channels)
    weight, bias = fold(block.pointwise, block.pointwise_norm)
    return graph.node("Relu", [graph.node("Add", [_conv(graph, change, weight, bias), values])])


def _add_head(graph: StreamGraph, values: str, head: PhraseHead, shift: float) -> str:
    narrowed = _conv(graph, values, _numpy(head.narrow.weight), _bias(head.narrow))
    kept = head.steps_before
    joined = graph.remember(narrowed, axis=3, keep=kept, shape=[1, head.rank, 1, kept])
    dilation = head.templates.dilation[0]
    matches = _conv(graph, joined, _numpy(head.templates.weight), _bias(head.templates), dilation=dilation)
    return _conv(graph, graph.node("Relu", [matches]), _numpy(head.out.weight), _bias(head.out) + shift)


def fold(conv: nn.Conv1d, norm: nn.BatchNorm1d) -> tuple[Float64Array, Float64Array]:
    """Weight and bias of the convolution that does what `conv` and then `norm`, in evaluation, do.

    Shape: `-> ([out, in, taps], [out])`

    Raises:
        ValueError: the norm keeps no statistics.
    """
    if norm.running_mean is None or norm.running_var is None:
        raise ValueError("a batch norm without running statistics cannot be folded")
    scale = _numpy(norm.weight) / np.sqrt(_numpy(norm.running_var) + norm.eps)
    bias = (_bias(conv) - _numpy(norm.running_mean)) * scale + _numpy(norm.bias)
    return _numpy(conv.weight) * scale[:, None, None], bias


def _conv(
    graph: StreamGraph,
    values: str,
    weight: Float64Array,
    bias: Float64Array,
    *,
    stride: int = 1,
    groups: int = 1,
    dilation: int = 1,
) -> str:
    """A convolution over the last axis; 4-D, because onnxruntime has its fast kernels for images."""
    image_weight: Float32Array = weight[:, :, None, :].astype(np.float32)
    inputs = [values, graph.constant(image_weight), graph.constant(bias.astype(np.float32))]
    attributes = {
        "kernel_shape": [1, weight.shape[2]], "strides": [1, stride], "group": groups, "dilations": [1, dilation],
    }  # fmt: skip
    return graph.node("Conv", inputs, attributes)


def _bias(conv: nn.Conv1d) -> Float64Array:
    return np.zeros(conv.out_channels) if conv.bias is None else _numpy(conv.bias)


def _numpy(tensor: Tensor) -> Float64Array:
    return tensor.detach().cpu().double().numpy()
