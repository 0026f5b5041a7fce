"""What a TFLite file holds, read without trusting it: nothing of it is run."""

from __future__ import annotations

from dataclasses import dataclass

from wakelark.errors import ModelError
from wakelark.tflite.op_names import op_name
from wakelark.tflite.schema import MAGIC, Op
from wakelark.tflite.table_reader import DamagedTableError, TableReader

_KINDS = {
    0: "float32", 1: "float16", 2: "int32", 3: "uint8", 4: "int64", 5: "string", 6: "bool", 7: "int16", 8: "complex64",
    9: "int8", 10: "float64", 11: "complex128", 12: "uint64", 13: "resource", 14: "variant", 15: "uint32", 16: "uint16",
    17: "int4",
}  # fmt: skip
_CUSTOM = 32
_VAR_HANDLE_TEXT = 1
_CALL_ONCE_GRAPH = 0
_MOST_AXES = 8


@dataclass(frozen=True, slots=True)
class ReadTensor:
    """A tensor.

    Attributes:
        name, kind, shape: as the file says.
        scales, zero_points: of its quantisation; empty for none.
        constant_bytes: of its values in the file; 0 for a tensor that is filled when the model runs.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    scales: tuple[float, ...]
    zero_points: tuple[int, ...]
    constant_bytes: int

    @property
    def text(self) -> str:
        """As messages show it: `int8 [1, 3, 40]`."""
        return f"{self.kind} {list(self.shape)}"


@dataclass(frozen=True, slots=True)
class ReadOperator:
    """An operator.

    Attributes:
        number: of the built-in operator.
        name: of it; for a custom operator what the file calls it.
        inputs, outputs: numbers of tensors; -1 for an input that is left out.
        variable: which variable a VAR_HANDLE names, else "".
        graph: which subgraph a CALL_ONCE calls, else None.
    """

    number: int
    name: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    variable: str
    graph: int | None


@dataclass(frozen=True, slots=True)
class ReadGraph:
    """A subgraph."""

    tensors: tuple[ReadTensor, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    operators: tuple[ReadOperator, ...]


@dataclass(frozen=True, slots=True)
class ReadModel:
    """A whole file.

    Attributes:
        version: of the schema.
        graphs: the first is the one that runs.
        size_bytes: of the file.
    """

    version: int
    graphs: tuple[ReadGraph, ...]
    size_bytes: int

    @property
    def variables(self) -> set[str]:
        """Names of the resource variables."""
        operators = (operator for graph in self.graphs for operator in graph.operators)
        return {operator.variable for operator in operators if operator.number == Op.VAR_HANDLE}


def read_model(data: bytes) -> ReadModel:
    """Read a TFLite file.

    Raises:
        ModelError: it is none, or it is cut off or damaged; the message says no file name.
    """
    if data[4:8] != MAGIC:
        raise ModelError(f"no TFLite file: it begins with {data[:8]!r}, not with {MAGIC.decode()} at byte 4")
    try:
        reader = TableReader(data)
        root = reader.follow(0)
        codes = [_operator_code(reader, table) for table in reader.tables(root, 1)]
        buffers = [reader.byte_count(table, 0) for table in reader.tables(root, 4)]
        graphs = [_graph(reader, table, codes, buffers) for table in reader.tables(root, 2)]
        if not graphs:
            raise DamagedTableError("it has no graph")
        return ReadModel(reader.integer(root, 0), tuple(graphs), len(data))
    except DamagedTableError as error:
        raise ModelError(f"a TFLite file that is cut off or damaged ({error})") from error


def _operator_code(reader: TableReader, table: int) -> tuple[int, str]:
    # Older files have only the first field; it has no more than 127, and then the second one counts.
    number = max(reader.byte(table, 0), reader.integer(table, 3))
    return number, reader.text(table, 1) if number == _CUSTOM else op_name(number)


def _graph(reader: TableReader, table: int, codes: list[tuple[int, str]], buffers: list[int]) -> ReadGraph:
    tensors = tuple(_tensor(reader, tensor, buffers) for tensor in reader.tables(table, 0))
    inputs, outputs = (tuple(reader.integers(table, field)) for field in (1, 2))
    operators = tuple(_operator(reader, operator, codes) for operator in reader.tables(table, 3))
    named = [*inputs, *outputs, *(n for o in operators for n in (*o.inputs, *o.outputs))]
    if wrong := [number for number in named if not -1 <= number < len(tensors)]:
        raise DamagedTableError(f"it names tensor {wrong[0]} of {len(tensors)}")
    if -1 in (*inputs, *outputs):
        raise DamagedTableError("an input or output is no tensor")
    return ReadGraph(tensors, inputs, outputs, operators)


def _tensor(reader: TableReader, table: int, buffers: list[int]) -> ReadTensor:
    buffer, kind = reader.integer(table, 2), reader.byte(table, 1)
    if not 0 <= buffer < max(1, len(buffers)):
        raise DamagedTableError(f"a tensor names buffer {buffer} of {len(buffers)}")
    shape = tuple(reader.integers(table, 0))
    if len(shape) > _MOST_AXES:
        raise DamagedTableError(f"a tensor of {len(shape)} axes")
    quantisation = reader.table(table, 4)
    return ReadTensor(
        reader.text(table, 3),
        _KINDS.get(kind, f"type {kind}"),
        shape,
        tuple(reader.floats(quantisation, 2)) if quantisation is not None else (),
        tuple(reader.long_integers(quantisation, 3)) if quantisation is not None else (),
        buffers[buffer] if buffers else 0,
    )


def _operator(reader: TableReader, table: int, codes: list[tuple[int, str]]) -> ReadOperator:
    index = reader.integer(table, 0)
    if not 0 <= index < len(codes):
        raise DamagedTableError(f"an operator has code {index} of {len(codes)}")
    number, name = codes[index]
    options = reader.table(table, 4)
    return ReadOperator(
        number,
        name,
        tuple(reader.integers(table, 1)),
        tuple(reader.integers(table, 2)),
        reader.text(options, _VAR_HANDLE_TEXT) if number == Op.VAR_HANDLE and options is not None else "",
        reader.integer(options, _CALL_ONCE_GRAPH) if number == Op.CALL_ONCE and options is not None else None,
    )
