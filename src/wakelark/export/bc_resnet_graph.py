"""The BC-ResNet as a streaming graph, its norms folded into the convolutions before them where they have one scale."""

from __future__ import annotations

import numpy as np
from torch import Tensor, nn

from wakelark.export.front_ends import add_logmel
from wakelark.export.graph import StreamGraph
from wakelark.features.logmel import BANDS
from wakelark.features.spectrum import Float64Array
from wakelark.models.bc_resnet import (
    LAST_BANDS,
    LAST_DILATION,
    LAST_KERNEL,
    STEM_KERNEL,
    STEM_STRIDE,
    SUB_BANDS,
    BcResNet,
    BroadcastBlock,
    SubSpectralNorm,
)


def build_bc_resnet_graph(student: BcResNet, shift: float) -> tuple[StreamGraph, str]:
    """The graph, not yet finished, and the name of its scores.

    Args:
        student: trained.
        shift: is added to the logits.

    Shape of the scores: `[1, n / 640]`
    """
    graph = StreamGraph("wakelark_tiny")
    trunk = student.trunk
    frames = graph.node("Unsqueeze", [add_logmel(graph), graph.ints([0, 1])])
    kept = STEM_KERNEL - STEM_STRIDE
    frames = graph.remember(frames, axis=3, keep=kept, shape=[1, 1, BANDS, kept])
    values = graph.node("Relu", [_conv(graph, frames, trunk.stem, trunk.stem_norm)])
    bands = BANDS // trunk.stem.stride[0]
    for block in trunk.each_block():
        values, bands = _add_block(graph, values, block, bands)
    kept = (LAST_KERNEL - 1) * LAST_DILATION
    shape = [1, trunk.last.in_channels, LAST_BANDS, kept]
    values = _conv(graph, graph.remember(values, axis=3, keep=kept, shape=shape), trunk.last, None)
    values = graph.node("Relu", [_conv(graph, values, trunk.widen, trunk.widen_norm)])
    out = student.head.out
    assert out.bias is not None
    weight = graph.constant(_numpy(out.weight)[..., None].astype(np.float32))
    bias = graph.constant((_numpy(out.bias) + shift).astype(np.float32))
    logits = graph.node("Conv", [values, weight, bias], {"kernel_shape": [1, 1]})
    return graph, graph.reshape(graph.node("Sigmoid", [logits]), [1, -1])


def _add_block(graph: StreamGraph, values: str, block: BroadcastBlock, bands: int) -> tuple[str, int]:
    """The block's result and the bands that it has."""
    bands //= block.across.stride[0]
    widened = graph.node("Relu", [_conv(graph, values, block.widen, block.widen_norm)]) if block.first else values
    spectral = _add_norm(graph, _conv(graph, widened, block.across, None), block.across_norm, bands)
    mean = graph.node("ReduceMean", [spectral], {"axes": [2], "keepdims": 1})
    joined = graph.remember(mean, axis=3, keep=block.kept, shape=[1, block.channels, 1, block.kept])
    # x sigmoid(x) = h + h tanh(h) with h = x / 2, halved in the kernel. The only Sigmoid makes the scores of logits:
    # the parity check finds the logits by it.
    half = _conv(graph, joined, block.along, block.along_norm, gain=0.5)
    temporal = graph.node("Add", [half, graph.node("Mul", [half, graph.node("Tanh", [half])])])
    residual = spectral if block.first else graph.node("Add", [spectral, values])
    if block.time_stride > 1:
        residual = graph.slice(residual, axis=3, start=block.time_stride - 1, step=block.time_stride)
    return graph.node("Relu", [graph.node("Add", [residual, _conv(graph, temporal, block.mix, None)])]), bands


def _add_norm(graph: StreamGraph, values: str, norm: SubSpectralNorm, bands: int) -> str:
    """Every sub-band has a scale of its own, which no kernel that all bands share can take in."""
    scale, shift = (
        graph.constant(np.repeat(part.reshape(1, -1, SUB_BANDS, 1), bands // SUB_BANDS, axis=2).astype(np.float32))
        for part in _scale_and_shift(norm.norm)
    )
    return graph.node("Add", [graph.node("Mul", [values, scale]), shift])


def _conv(graph: StreamGraph, values: str, conv: nn.Conv2d, norm: nn.BatchNorm2d | None, *, gain: float = 1.0) -> str:
    """`gain` times a convolution without bias, after which comes what its norm does in evaluation."""
    weight, shift = _numpy(conv.weight), np.zeros(conv.out_channels)
    if norm is not None:
        scale, shift = _scale_and_shift(norm)
        weight = weight * scale[:, None, None, None]
    weight, shift = weight * gain, shift * gain
    height, width = (int(size) for size in conv.padding)
    attributes = {
        "kernel_shape": list(conv.kernel_size), "strides": list(conv.stride), "dilations": list(conv.dilation),
        "pads": [height, width, height, width], "group": conv.groups,
    }  # fmt: skip
    inputs = [values, graph.constant(weight.astype(np.float32)), graph.constant(shift.astype(np.float32))]
    return graph.node("Conv", inputs, attributes)


def _scale_and_shift(norm: nn.BatchNorm2d) -> tuple[Float64Array, Float64Array]:
    """`norm(x) = scale * x + shift` in evaluation.

    Raises:
        ValueError: the norm keeps no statistics.
    """
    if norm.running_mean is None or norm.running_var is None:
        raise ValueError("a batch norm without running statistics cannot be folded")
    scale = _numpy(norm.weight) / np.sqrt(_numpy(norm.running_var) + norm.eps)
    return scale, _numpy(norm.bias) - _numpy(norm.running_mean) * scale


def _numpy(tensor: Tensor) -> Float64Array:
    return tensor.detach().cpu().double().numpy()
