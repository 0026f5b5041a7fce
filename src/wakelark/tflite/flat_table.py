"""Writes FlatBuffers tables from plain values: what TFLite's schema needs and no more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import flatbuffers
import numpy as np
from numpy.typing import NDArray

from wakelark.tflite.schema import Field, Int8

BUFFER_ALIGNMENT_BYTES = 16
"""Weights must lie at multiples of this, says the schema (`force_align`)."""


@dataclass(frozen=True, slots=True)
class Child:
    """A field that points to something that is written already."""

    position: int


class TableWriter:
    """Writes tables and lists; what they point to must be written before them.

    >>> from wakelark.tflite.schema import Int32
    >>> writer = TableWriter()
    >>> root = writer.table({0: Int32(3), 1: writer.text("hello")})
    >>> data = writer.finish(root, b"TFL3")
    >>> data[4:8], b"hello" in data
    (b'TFL3', True)
    """

    def __init__(self) -> None:
        self._builder = flatbuffers.Builder(1 << 16)

    def text(self, text: str) -> Child:
        """A text, in UTF-8."""
        return Child(self._builder.CreateString(text))

    def data(self, data: bytes) -> Child:
        """Bytes, at a multiple of 16 bytes.

        Args:
            data: not empty.
        """
        return self._numbers(np.frombuffer(data, np.uint8), alignment=BUFFER_ALIGNMENT_BYTES)

    def integers(self, values: Sequence[int]) -> Child:
        """A list of 32-bit integers."""
        return self._numbers(np.asarray(values, "<i4"), alignment=4)

    def long_integers(self, values: Sequence[int]) -> Child:
        """A list of 64-bit integers."""
        return self._numbers(np.asarray(values, "<i8"), alignment=8)

    def floats(self, values: Sequence[float]) -> Child:
        """A list of 32-bit floats."""
        return self._numbers(np.asarray(values, "<f4"), alignment=4)

    def children(self, items: Sequence[Child]) -> Child:
        """A list of tables or texts."""
        self._builder.StartVector(4, len(items), 4)
        for item in reversed(items):
            self._builder.PrependUOffsetTRelative(item.position)
        return Child(self._builder.EndVector())

    def table(self, fields: Mapping[int, Field | Child]) -> Child:
        """A table; every field is written, also one that has its default value.

        Args:
            fields: by their number in the schema.
        """
        ready = {number: self.text(value) if isinstance(value, str) else value for number, value in fields.items()}
        builder = self._builder
        builder.StartObject(max(ready, default=-1) + 1)
        for number, value in ready.items():
            if isinstance(value, Child):
                builder.PrependUOffsetTRelativeSlot(number, value.position, 0)
            elif isinstance(value, Int8):
                builder.PrependInt8Slot(number, value.value, None)
            else:
                builder.PrependInt32Slot(number, value.value, None)
        return Child(builder.EndObject())

    def finish(self, root: Child, magic: bytes) -> bytes:
        """The whole file.

        Args:
            root: its first table.
            magic: four bytes that name its kind.
        """
        self._builder.Finish(root.position, magic)
        return bytes(self._builder.Output())

    def _numbers(self, values: NDArray[np.generic], *, alignment: int) -> Child:
        builder = self._builder
        raw = values.tobytes()
        builder.StartVector(values.dtype.itemsize, len(values), alignment)
        builder.head = builder.head - len(raw)
        builder.Bytes[builder.head : builder.head + len(raw)] = raw
        return Child(builder.EndVector())
