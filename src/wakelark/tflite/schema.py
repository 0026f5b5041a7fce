"""The parts of TensorFlow Lite's schema, version 3, that wakelark writes and reads.

Numbers are those of `tensorflow/compiler/mlir/lite/schema/schema.fbs`; a test compares them with ai-edge-litert's copy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

MAGIC = b"TFL3"
SCHEMA_VERSION = 3


class Op(IntEnum):
    """The operators that ESPHome's firmware registers: all that wakelark writes. The value is the schema's."""

    ADD = 0
    AVERAGE_POOL_2D = 1
    CONCATENATION = 2
    CONV_2D = 3
    DEPTHWISE_CONV_2D = 4
    FULLY_CONNECTED = 9
    LOGISTIC = 14
    MAX_POOL_2D = 17
    MUL = 18
    RESHAPE = 22
    PAD = 34
    MEAN = 40
    STRIDED_SLICE = 45
    PACK = 83
    SPLIT_V = 102
    QUANTIZE = 114
    CALL_ONCE = 129
    VAR_HANDLE = 142
    READ_VARIABLE = 143
    ASSIGN_VARIABLE = 144


OP_VERSIONS = {
    Op.ADD: 2, Op.CONCATENATION: 2, Op.CONV_2D: 3, Op.DEPTHWISE_CONV_2D: 3, Op.FULLY_CONNECTED: 4, Op.LOGISTIC: 2,
    Op.STRIDED_SLICE: 2,
}  # fmt: skip
"""The first version of each operator that knows int8; 1 where it is not listed. Newer runtimes know older versions."""


class Kind(IntEnum):
    """Element types of tensors; the value is the schema's."""

    FLOAT32 = 0
    INT32 = 2
    UINT8 = 3
    INT8 = 9
    RESOURCE = 13


class Activation(IntEnum):
    """What an operator does to its sums before it writes them."""

    NONE = 0
    RELU = 1


@dataclass(frozen=True, slots=True)
class Int32:
    """A field of 32 bits."""

    value: int


@dataclass(frozen=True, slots=True)
class Int8:
    """A field of 8 bits."""

    value: int


Field = Int32 | Int8 | str
"""A field of an options table; a `str` is a text."""


@dataclass(frozen=True, slots=True)
class Options:
    """What an operator is told beside its tensors.

    Attributes:
        number: of the table in the schema's union `BuiltinOptions`.
        fields: by their number in the table; what is left out has the schema's default.
    """

    number: int
    fields: dict[int, Field]


VALID_PADDING = 1


def conv_options(*, stride: int = 1, dilation: int = 1, activation: Activation = Activation.NONE) -> Options:
    """A convolution without padding over the first image axis, which is time here.

    Args:
        stride, dilation: in steps of that axis.
        activation: fused.
    """
    fields: dict[int, Field] = {
        0: Int8(VALID_PADDING), 1: Int32(1), 2: Int32(stride), 3: Int8(activation), 4: Int32(1), 5: Int32(dilation),
    }  # fmt: skip
    return Options(1, fields)


def depthwise_options(*, activation: Activation = Activation.NONE) -> Options:
    """A depthwise convolution without padding, one output per channel."""
    return Options(2, {0: Int8(VALID_PADDING), 1: Int32(1), 2: Int32(1), 3: Int32(1), 4: Int8(activation)})


def dense_options(*, activation: Activation = Activation.NONE) -> Options:
    """A fully connected layer."""
    return Options(8, {0: Int8(activation)})


def concatenation_options(*, axis: int) -> Options:
    """Tensors put one after the other along `axis`."""
    return Options(10, {0: Int32(axis)})


def add_options(*, activation: Activation = Activation.NONE) -> Options:
    """A sum of two tensors."""
    return Options(11, {0: Int8(activation)})


def mean_options() -> Options:
    """A mean over axes, which are gone afterwards."""
    return Options(27, {0: Int8(0)})


def slice_options(*, axis: int, rank: int) -> Options:
    """A strided slice that takes everything but along `axis`, where it goes from `begin` to the end."""
    everything = (1 << rank) - 1
    return Options(32, {0: Int32(everything & ~(1 << axis)), 1: Int32(everything)})


def call_once_options(*, graph: int) -> Options:
    """Run the subgraph `graph` before the first step."""
    return Options(103, {0: Int32(graph)})


def variable_options(*, name: str) -> Options:
    """A handle of the variable `name`."""
    return Options(111, {0: "", 1: name})


@dataclass(frozen=True, slots=True)
class Quantisation:
    """How integers stand for real numbers: `real = scale * (integer - zero_point)`.

    Attributes:
        scales: one for the tensor, or one per index of `axis`.
        zero_point: of all of them.
        axis: that `scales` belong to.
    """

    scales: Sequence[float]
    zero_point: int = 0
    axis: int = 0

    @property
    def scale(self) -> float:
        """The only scale.

        Raises:
            ValueError: there are several.
        """
        if len(self.scales) != 1:
            raise ValueError(f"a tensor with {len(self.scales)} scales has not one scale")
        return self.scales[0]
