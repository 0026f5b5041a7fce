"""A model file with its convolutions' weights as 8-bit integers: a fraction of the size, the same work and state.

Each output channel has its own scale; activations, biases and the front ends stay as they are. The weights are turned
back by `Cast` and `Mul`, which depend on nothing but constants: onnxruntime does that once, when it loads the file.
(`DequantizeLinear` would say the same, but onnxruntime leaves it in the graph and runs it in every call.) So a score
does not depend on how the audio is cut into calls, as it would with activations that are quantised call by call.
"""

from __future__ import annotations

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from wakelark.audio import Float32Array
from wakelark.errors import ModelError

LARGEST = 127
"""Weights are quantised symmetrically, to -127 .. 127."""
FEWEST_VALUES = 1024
"""Smaller kernels stay float32: they are a hundredth of a file and, as the first layer is among them, cost half of the
accuracy (largest change of the accurate model's log-odds on a smoke run's clips: 0.18 instead of 0.47)."""


def quantise_weights(model: bytes) -> bytes:
    """The same model with the weights of all its convolutions in int8.

    Args:
        model: an ONNX file of wakelark, whose convolution weights are float32 constants.

    Raises:
        ModelError: it has no such weights, or is not valid afterwards.
    """
    proto = onnx.load_model_from_string(model)
    graph = proto.graph
    names = {node.input[1] for node in graph.node if node.op_type == "Conv"}
    constants = {constant.name: constant for constant in graph.initializer}
    weights = {name: numpy_helper.to_array(constants[name]) for name in names if name in constants}
    weights = {name: weight for name, weight in weights.items() if weight.size >= FEWEST_VALUES}
    if not weights or any(weight.dtype != np.float32 for weight in weights.values()):
        raise ModelError("the model has no float32 convolutions to quantise; nothing was written")
    nodes: list[onnx.NodeProto] = []
    for name, weight in sorted(weights.items()):
        integers, scales = _quantise(weight)
        graph.initializer.remove(constants[name])
        graph.initializer.append(numpy_helper.from_array(integers, f"{name}_int8"))
        graph.initializer.append(numpy_helper.from_array(scales, f"{name}_scale"))
        nodes.append(helper.make_node("Cast", [f"{name}_int8"], [f"{name}_float"], to=onnx.TensorProto.FLOAT))
        nodes.append(helper.make_node("Mul", [f"{name}_float", f"{name}_scale"], [name]))
    rest = list(graph.node)
    del graph.node[:]
    graph.node.extend([*nodes, *rest])
    try:
        onnx.checker.check_model(proto, full_check=True)
    except onnx.checker.ValidationError as error:
        raise ModelError(f"the int8 graph is not valid ONNX; nothing was written ({error})") from error
    return proto.SerializeToString()


def _quantise(weight: Float32Array) -> tuple[NDArray[np.int8], Float32Array]:
    """Integers and one scale per output channel, with integer * scale = weight to half a scale.

    Shape: `[out, ...] -> ([out, ...], [out, 1, ...])`
    """
    largest = np.abs(weight).max(axis=tuple(range(1, weight.ndim)), keepdims=True)
    scales = np.where(largest > 0, largest / LARGEST, 1.0).astype(np.float32)
    return np.rint(weight / scales).clip(-LARGEST, LARGEST).astype(np.int8), scales
