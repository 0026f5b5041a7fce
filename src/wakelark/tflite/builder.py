"""TFLite models from tensors and operators: several subgraphs, quantisation, variables."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np
from numpy.typing import NDArray

from wakelark.tflite.flat_table import Child, TableWriter
from wakelark.tflite.schema import MAGIC, OP_VERSIONS, SCHEMA_VERSION, Int8, Int32, Kind, Op, Options, Quantisation

_OLD_CODES = 127
"""The first field of an operator's code is one byte; what does not fit into it has this there, and newer runtimes
read the second field. Both are written: a reader of only one of them would take every operator for ADD (0)."""

_LAYOUTS = {Kind.FLOAT32: "<f4", Kind.INT32: "<i4", Kind.UINT8: "u1", Kind.INT8: "i1"}


class ModelBuilder:
    """A model under construction.

    The first graph that is made is the one that runs.

    Args:
        description: what the file says about itself.

    >>> model = ModelBuilder("an example")
    >>> graph = model.graph("main")
    >>> doubled = graph.tensor("doubled", [1, 2], Kind.FLOAT32)
    >>> start = graph.input("start", [1, 2], Kind.FLOAT32)
    >>> graph.operator(Op.ADD, [start, start], [doubled])
    >>> graph.outputs = [doubled]
    >>> model.finish()[4:8]
    b'TFL3'
    """

    def __init__(self, description: str) -> None:
        self._description = description
        self._graphs: list[GraphBuilder] = []
        self._buffers: dict[bytes, int] = {b"": 0}
        self._codes: dict[Op, int] = {}

    def graph(self, name: str) -> GraphBuilder:
        """A new subgraph."""
        self._graphs.append(GraphBuilder(self, name))
        return self._graphs[-1]

    def buffer(self, data: bytes) -> int:
        """Number of the buffer that holds `data`; 0 is the empty one."""
        return self._buffers.setdefault(data, len(self._buffers))

    def code(self, op: Op) -> int:
        """Number of an operator in the model's list of operators."""
        return self._codes.setdefault(op, len(self._codes))

    def finish(self) -> bytes:
        """The file."""
        writer = TableWriter()
        codes = [_operator_code(writer, op) for op in self._codes]
        graphs = [graph.write(writer) for graph in self._graphs]
        buffers = [writer.table({0: writer.data(data)} if data else {}) for data in self._buffers]
        fields = {
            0: Int32(SCHEMA_VERSION),
            1: writer.children(codes),
            2: writer.children(graphs),
            3: writer.text(self._description),
            4: writer.children(buffers),
        }
        return writer.finish(writer.table(fields), MAGIC)


class GraphBuilder:
    """One subgraph; made by `ModelBuilder.graph`.

    Attributes:
        inputs, outputs: tensors that the caller sees.
    """

    def __init__(self, model: ModelBuilder, name: str) -> None:
        self._model = model
        self._name = name
        self._tensors: list[tuple[str, tuple[int, ...], Kind, int, Quantisation | None]] = []
        self._operators: list[tuple[Op, list[int], list[int], Options | None]] = []
        self._known: dict[tuple[bytes, tuple[int, ...], Kind], int] = {}
        self.inputs: list[int] = []
        self.outputs: list[int] = []

    def tensor(self, name: str, shape: Sequence[int], kind: Kind, quantisation: Quantisation | None = None) -> int:
        """A tensor that an operator fills; gives its number."""
        self._tensors.append((name, tuple(shape), kind, 0, quantisation))
        return len(self._tensors) - 1

    def input(self, name: str, shape: Sequence[int], kind: Kind, quantisation: Quantisation | None = None) -> int:
        """A tensor that the caller fills; gives its number."""
        self.inputs.append(self.tensor(name, shape, kind, quantisation))
        return self.inputs[-1]

    def constant(
        self, name: str, values: NDArray[np.generic], kind: Kind, quantisation: Quantisation | None = None
    ) -> int:
        """A tensor that holds `values`; gives its number.

        Raises:
            ValueError: `values` are no numbers of that kind, or there are none.
        """
        raw = np.ascontiguousarray(values, dtype=_LAYOUTS[kind])
        if not raw.size or not np.array_equal(raw, values.astype(np.float32) if kind == Kind.FLOAT32 else values):
            raise ValueError(f"{name}: {values.dtype} values of shape {values.shape} cannot be stored as {kind.name}")
        data = raw.tobytes()
        # An int8 array alone does not say what it means: only what has no quantisation is shared as a tensor.
        key = (data, raw.shape, kind)
        if quantisation is None and key in self._known:
            return self._known[key]
        self._tensors.append((name, raw.shape, kind, self._model.buffer(data), quantisation))
        if quantisation is None:
            self._known[key] = len(self._tensors) - 1
        return len(self._tensors) - 1

    def operator(self, op: Op, inputs: Sequence[int], outputs: Sequence[int], options: Options | None = None) -> None:
        """Add an operator; they run in the order in which they were added.

        Raises:
            ValueError: it names a tensor that there is not.
        """
        for number in (*inputs, *outputs):
            if not 0 <= number < len(self._tensors):
                raise ValueError(f"{op.name} names tensor {number}; {self._name} has {len(self._tensors)}")
        self._model.code(op)
        self._operators.append((op, list(inputs), list(outputs), options))

    def shape(self, tensor: int) -> tuple[int, ...]:
        """Shape of a tensor."""
        return self._tensors[tensor][1]

    def quantisation(self, tensor: int) -> Quantisation:
        """How a tensor's integers are meant.

        Raises:
            ValueError: it has none.
        """
        name, _, _, _, quantisation = self._tensors[tensor]
        if quantisation is None:
            raise ValueError(f"tensor {name} is not quantised")
        return quantisation

    @property
    def operators(self) -> list[Op]:
        """What runs, in order."""
        return [op for op, _, _, _ in self._operators]

    @property
    def constant_values(self) -> int:
        """Numbers in all constants: weights and biases, and what operators are told as tensors."""
        return sum(prod(shape) for _, shape, _, buffer, _ in self._tensors if buffer)

    def write(self, writer: TableWriter) -> Child:
        """Write the graph's table."""
        tensors = [
            _tensor(writer, name, shape, kind, buffer, quantisation)
            for name, shape, kind, buffer, quantisation in self._tensors
        ]
        operators = [
            _operator(writer, self._model.code(op), inputs, outputs, options)
            for op, inputs, outputs, options in self._operators
        ]
        fields = {
            0: writer.children(tensors),
            1: writer.integers(self.inputs),
            2: writer.integers(self.outputs),
            3: writer.children(operators),
            4: writer.text(self._name),
        }
        return writer.table(fields)


def _operator_code(writer: TableWriter, op: Op) -> Child:
    return writer.table({0: Int8(min(op, _OLD_CODES)), 2: Int32(OP_VERSIONS.get(op, 1)), 3: Int32(op)})


def _tensor(
    writer: TableWriter, name: str, shape: tuple[int, ...], kind: Kind, buffer: int, quantisation: Quantisation | None
) -> Child:
    fields: dict[int, Int32 | Int8 | Child] = {
        0: writer.integers(shape), 1: Int8(kind), 2: Int32(buffer), 3: writer.text(name), 8: Int8(1),
    }  # fmt: skip
    if quantisation is not None:
        zero_points = [quantisation.zero_point] * len(quantisation.scales)
        table = {2: writer.floats(quantisation.scales), 3: writer.long_integers(zero_points)}
        fields[4] = writer.table({**table, 6: Int32(quantisation.axis)})
    return writer.table(fields)


def _operator(writer: TableWriter, code: int, inputs: list[int], outputs: list[int], options: Options | None) -> Child:
    fields: dict[int, Int32 | Int8 | Child] = {
        0: Int32(code), 1: writer.integers(inputs), 2: writer.integers(outputs),
    }  # fmt: skip
    if options is not None:
        fields[3] = Int8(options.number)
        fields[4] = writer.table(options.fields)
    return writer.table(fields)
