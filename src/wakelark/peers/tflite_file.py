"""What a TFLite file takes and gives, read from the file itself, so that a strange one never reaches a runtime.

The layout is FlatBuffers (little endian): a table begins with the distance back to its vtable, which lists where its
fields lie; https://flatbuffers.dev/internals. Field numbers are those of TensorFlow Lite's schema, version 3.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from wakelark.errors import ModelError

MAGIC = b"TFL3"
_MODEL_SUBGRAPHS, _GRAPH_TENSORS, _GRAPH_INPUTS, _GRAPH_OUTPUTS, _TENSOR_SHAPE, _TENSOR_TYPE = 2, 0, 1, 2, 0, 1
_TYPES = {0: "float32", 1: "float16", 2: "int32", 3: "uint8", 4: "int64", 6: "bool", 7: "int16", 9: "int8"}
_MOST = 100_000
"""Items in a list; a damaged length must not make a list that fills the memory."""


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """A tensor's element type and shape."""

    kind: str
    shape: tuple[int, ...]

    @property
    def text(self) -> str:
        """As messages show it: `float32 [1, 16, 96]`."""
        return f"{self.kind} {list(self.shape)}"


@dataclass(frozen=True, slots=True)
class Signature:
    """Inputs and outputs of a model's main graph."""

    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]

    @property
    def text(self) -> str:
        """As messages show it: `takes ... and gives ...`."""
        takes, gives = (", ".join(info.text for info in part) or "nothing" for part in (self.inputs, self.outputs))
        return f"takes {takes} and gives {gives}"


def is_tflite(data: bytes) -> bool:
    """Whether the data begin as a TFLite file does."""
    return data[4:8] == MAGIC


def read_signature(data: bytes, *, name: str) -> Signature:
    """Inputs and outputs of a TFLite file.

    Args:
        data: the whole file.
        name: what messages call it.

    Raises:
        ModelError: the file is cut off or damaged.
    """
    try:
        reader = _Reader(data)
        graph = reader.tables(reader.follow(0), _MODEL_SUBGRAPHS)[0]
        tensors = reader.tables(graph, _GRAPH_TENSORS)

        def infos(field: int) -> tuple[TensorInfo, ...]:
            return tuple(_tensor(reader, tensors[index]) for index in reader.integers(graph, field))

        return Signature(infos(_GRAPH_INPUTS), infos(_GRAPH_OUTPUTS))
    except (struct.error, IndexError, ValueError) as error:
        raise ModelError(f"{name} is a damaged TFLite file ({error}); download or export it again") from error


def _tensor(reader: _Reader, table: int) -> TensorInfo:
    number = reader.byte(table, _TENSOR_TYPE)
    return TensorInfo(_TYPES.get(number, f"type {number}"), tuple(reader.integers(table, _TENSOR_SHAPE)))


class _Reader:
    """Reads tables by their position; every position is checked against the length of the data."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def follow(self, at: int) -> int:
        """The position that the offset at `at` leads to."""
        return at + self._read("<I", at)

    def byte(self, table: int, field: int) -> int:
        """A field of one byte; 0 when it is left out, as in FlatBuffers."""
        at = self._field(table, field)
        return 0 if at is None else self._read("<b", at)

    def integers(self, table: int, field: int) -> list[int]:
        """A field that is a list of 32-bit integers."""
        return [self._read("<i", at) for at in self._items(table, field)]

    def tables(self, table: int, field: int) -> list[int]:
        """A field that is a list of tables: their positions."""
        return [self.follow(at) for at in self._items(table, field)]

    def _items(self, table: int, field: int) -> range:
        at = self._field(table, field)
        if at is None:
            return range(0)
        start = self.follow(at)
        count = self._read("<I", start)
        if count > _MOST:
            raise ValueError(f"a list of {count} items")
        return range(start + 4, start + 4 + 4 * count, 4)

    def _field(self, table: int, field: int) -> int | None:
        vtable = table - self._read("<i", table)
        if 4 + 2 * field >= self._read("<H", vtable):
            return None
        offset = self._read("<H", vtable + 4 + 2 * field)
        return table + offset if offset else None

    def _read(self, layout: str, at: int) -> int:
        if at < 0:
            raise ValueError("an offset leads outside the file")
        return struct.unpack_from(layout, self._data, at)[0]
