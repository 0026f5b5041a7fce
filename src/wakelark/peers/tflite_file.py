"""What a TFLite file takes and gives, read from the file itself, so that a strange one never reaches a runtime.

Field numbers are those of TensorFlow Lite's schema, version 3.
"""

from __future__ import annotations

from dataclasses import dataclass

from wakelark.errors import ModelError
from wakelark.tflite.schema import MAGIC
from wakelark.tflite.table_reader import DamagedTableError, TableReader

_MODEL_SUBGRAPHS, _GRAPH_TENSORS, _GRAPH_INPUTS, _GRAPH_OUTPUTS, _TENSOR_SHAPE, _TENSOR_TYPE = 2, 0, 1, 2, 0, 1
_TYPES = {0: "float32", 1: "float16", 2: "int32", 3: "uint8", 4: "int64", 6: "bool", 7: "int16", 9: "int8"}


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
        reader = TableReader(data)
        graph = reader.tables(reader.follow(0), _MODEL_SUBGRAPHS)[0]
        tensors = reader.tables(graph, _GRAPH_TENSORS)

        def infos(field: int) -> tuple[TensorInfo, ...]:
            return tuple(_tensor(reader, tensors[index]) for index in reader.integers(graph, field))

        return Signature(infos(_GRAPH_INPUTS), infos(_GRAPH_OUTPUTS))
    except (DamagedTableError, IndexError) as error:
        raise ModelError(f"{name} is a damaged TFLite file ({error}); download or export it again") from error


def _tensor(reader: TableReader, table: int) -> TensorInfo:
    number = reader.byte(table, _TENSOR_TYPE)
    return TensorInfo(_TYPES.get(number, f"type {number}"), tuple(reader.integers(table, _TENSOR_SHAPE)))
