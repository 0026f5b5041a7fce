"""What an ONNX file may hold, checked before ONNX Runtime sees it.

ONNX Runtime runs whatever a graph asks for: loops without an end, tensors of any size, operators that read files. This
reads the file's own structure (protocol buffers, field numbers of onnx.proto) and lets through straight arithmetic
only. The package `onnx` is not needed; weights are skipped, so it takes milliseconds.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

from wakelark.errors import ModelError

_ALLOWED = """
Abs Add And ArgMax ArgMin AveragePool BatchNormalization Cast Ceil Celu Clip Concat Constant Conv ConvInteger Cos
DequantizeLinear Div Dropout DynamicQuantizeLinear Elu Equal Erf Exp Flatten Floor GRU Gather Gelu Gemm
GlobalAveragePool GlobalMaxPool Greater GreaterOrEqual GroupNormalization HardSigmoid HardSwish Identity
InstanceNormalization LSTM LayerNormalization LeakyRelu Less LessOrEqual Log LogSoftmax MatMul MatMulInteger Max MaxPool
Mean Min Mish Mod Mul Neg Not Or PRelu Pow QLinearConv QLinearMatMul QuantizeLinear RNN Reciprocal ReduceL2
ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare Relu Reshape Round Selu Shape
Sigmoid Sign Sin Slice Softmax Softplus Softsign Split Sqrt Squeeze Sub Sum Tanh Transpose Unsqueeze Where
"""
OPERATORS = frozenset(_ALLOWED.split())
"""What wakelark's exports and heads for openWakeWord are made of. No loops, no branches, nothing random, and not those
whose work is to make a tensor of any size (ConstantOfShape, Expand, Tile, Range, Resize, Pad). What is left can still
be made to ask for much memory: `wakelark.peers.live.check_runs` tries a stranger's file in a process with limits."""
MAX_NODES = 10_000
MAX_ELEMENTS = 2**26
"""Of a tensor in the file: more than any file of `MAX_MODEL_BYTES` can hold as float32."""

_MAX_FIELDS = 500_000
_MAX_RANK = 16
_DOMAINS = ("", "ai.onnx")
_MODEL_GRAPH, _MODEL_FUNCTIONS = 7, 25
_GRAPH_NODE, _GRAPH_INITIALIZER, _GRAPH_SPARSE = 1, 5, 15
_NODE_OPERATOR, _NODE_ATTRIBUTE, _NODE_DOMAIN = 4, 5, 7
_ATTRIBUTE_TENSORS, _ATTRIBUTE_GRAPHS, _ATTRIBUTE_SPARSE = (5, 10), (6, 11), (22, 23)
_TENSOR_DIMS, _TENSOR_EXTERNAL, _TENSOR_LOCATION = 1, 13, 14


def check_onnx(data: bytes, *, name: str) -> None:
    """Refuse an ONNX file that holds anything but straight arithmetic with its weights inside.

    Args:
        data: the whole file.
        name: what messages call it.

    Raises:
        ModelError: it is damaged, keeps weights in other files, or has operators, sub-graphs, functions or tensors that
            no wake-word model needs.
    """
    try:
        _Check(name).model(memoryview(data))
    except _DamagedError as error:
        raise ModelError(f"{name} is not a usable ONNX model: {error}") from error


class _DamagedError(Exception):
    """Bytes that are no protocol buffer."""


class _Check:
    def __init__(self, name: str) -> None:
        self._name = name
        self._nodes = self._fields = 0

    def model(self, data: memoryview) -> None:
        for number, value in self._parts(data):
            if number == _MODEL_FUNCTIONS:
                raise self._refused("functions of its own")
            if number == _MODEL_GRAPH:
                self._graph(_bytes(value))

    def _graph(self, data: memoryview) -> None:
        for number, value in self._parts(data):
            if number == _GRAPH_NODE:
                self._node(_bytes(value))
            elif number == _GRAPH_INITIALIZER:
                self._tensor(_bytes(value))
            elif number == _GRAPH_SPARSE:
                raise self._refused("sparse tensors")

    def _node(self, data: memoryview) -> None:
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise self._refused(f"more than {MAX_NODES} nodes")
        operator = ""
        for number, value in self._parts(data):
            if number == _NODE_DOMAIN and (domain := _text(value)) not in _DOMAINS:
                raise self._refused(f"an operator of the domain {domain!r}")
            if number == _NODE_OPERATOR:
                operator = _text(value)
                if operator not in OPERATORS:
                    raise self._refused(f"the operator {operator!r}")
            elif number == _NODE_ATTRIBUTE:
                self._attribute(_bytes(value))
        if not operator:
            raise self._refused("a node without an operator")

    def _attribute(self, data: memoryview) -> None:
        for number, value in self._parts(data):
            if number in _ATTRIBUTE_GRAPHS:
                raise self._refused("a graph inside a node")
            if number in _ATTRIBUTE_SPARSE:
                raise self._refused("sparse tensors")
            if number in _ATTRIBUTE_TENSORS:
                self._tensor(_bytes(value))

    def _tensor(self, data: memoryview) -> None:
        dims: list[int] = []
        for number, value in self._parts(data):
            if number in (_TENSOR_EXTERNAL, _TENSOR_LOCATION) and value != 0:
                raise ModelError(
                    f"{self._name} keeps its weights in other files, which is refused; a wakelark model is one file"
                )
            if number == _TENSOR_DIMS:
                dims += [value] if isinstance(value, int) else _packed(value)
        if prod(dims) > MAX_ELEMENTS:
            raise self._refused(f"a tensor of the shape {dims}")

    def _parts(self, data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
        """(field number, value) of every field of a message: an integer, or the bytes of what has a length."""
        position = 0
        while position < len(data):
            self._fields += 1
            if self._fields > _MAX_FIELDS:
                raise self._refused(f"more than {_MAX_FIELDS} parts")
            key, position = _varint(data, position)
            kind = key & 7
            if kind == 0:
                value, position = _varint(data, position)
            else:
                size = {1: 8, 5: 4}.get(kind)
                if kind == 2:
                    size, position = _varint(data, position)
                if size is None or size > len(data) - position:
                    raise _DamagedError("it is cut off or damaged")
                value, position = data[position : position + size], position + size
            yield key >> 3, value

    def _refused(self, what: str) -> ModelError:
        return ModelError(
            f"{self._name} holds {what}, which no wake-word model needs and wakelark does not run; "
            "get the model from who made it, or export it again"
        )


def _varint(data: memoryview, position: int) -> tuple[int, int]:
    """A number of up to 64 bits, 7 of them per byte, the lowest first, and the position after it."""
    value = 0
    for place, byte in enumerate(data[position : position + 10]):
        value |= (byte & 0x7F) << (7 * place)
        if byte < 0x80:
            return value & (2**64 - 1), position + place + 1
    raise _DamagedError("it is cut off or damaged")


def _packed(data: memoryview) -> list[int]:
    if len(data) > 10 * _MAX_RANK:
        raise _DamagedError("a tensor with that many dimensions cannot be")
    values, position = [], 0
    while position < len(data):
        value, position = _varint(data, position)
        values.append(value)
    return values


def _bytes(value: int | memoryview) -> memoryview:
    if isinstance(value, int):
        raise _DamagedError("a number stands where a part of the graph should be")
    return value


def _text(value: int | memoryview) -> str:
    return bytes(_bytes(value)[:200]).decode("utf-8", "backslashreplace")
