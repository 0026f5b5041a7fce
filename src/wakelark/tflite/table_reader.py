"""Reads FlatBuffers tables; every position is checked against the length of the data, and all work has a limit.

The layout is little endian: a table begins with the distance back to its vtable, which lists where its fields lie;
https://flatbuffers.dev/internals.
"""

from __future__ import annotations

import struct

MOST_ITEMS = 100_000
"""Items in a list; a damaged length must not make a list that fills the memory."""
_MOST_READS = 5_000_000
"""Numbers read in all: tables that point to one another again and again must not take for ever."""


class DamagedTableError(ValueError):
    """A position, a length or a text that cannot be."""


class TableReader:
    """Reads tables by their position.

    Args:
        data: the whole file.

    All methods raise `DamagedTableError` where the data are cut off or damaged.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._reads = 0

    def follow(self, at: int) -> int:
        """The position that the offset at `at` leads to."""
        return at + self._read("<I", at)

    def byte(self, table: int, field: int) -> int:
        """A field of one byte with a sign; 0 when it is left out, as in FlatBuffers."""
        at = self._field(table, field)
        return 0 if at is None else self._read("<b", at)

    def integer(self, table: int, field: int) -> int:
        """A field of 32 bits with a sign; 0 when it is left out."""
        at = self._field(table, field)
        return 0 if at is None else self._read("<i", at)

    def text(self, table: int, field: int) -> str:
        """A field that is a text; "" when it is left out."""
        at = self._field(table, field)
        if at is None:
            return ""
        start, count = self._list(at)
        return self._slice(start, count).decode(errors="replace")

    def integers(self, table: int, field: int) -> list[int]:
        """A field that is a list of 32-bit integers; empty when it is left out."""
        return [self._read("<i", at) for at in self._items(table, field, 4)]

    def long_integers(self, table: int, field: int) -> list[int]:
        """A field that is a list of 64-bit integers."""
        return [self._read("<q", at) for at in self._items(table, field, 8)]

    def floats(self, table: int, field: int) -> list[float]:
        """A field that is a list of 32-bit floats."""
        return [self._read_float(at) for at in self._items(table, field, 4)]

    def byte_count(self, table: int, field: int) -> int:
        """How many bytes a field that is a list of bytes has; all of them lie in the file."""
        at = self._field(table, field)
        if at is None:
            return 0
        start, count = self._list(at, most=len(self._data))
        self._slice(start, count)
        return count

    def table(self, table: int, field: int) -> int | None:
        """A field that is a table: its position; None when it is left out."""
        at = self._field(table, field)
        return None if at is None else self.follow(at)

    def tables(self, table: int, field: int) -> list[int]:
        """A field that is a list of tables: their positions."""
        return [self.follow(at) for at in self._items(table, field, 4)]

    def _items(self, table: int, field: int, size: int) -> range:
        at = self._field(table, field)
        if at is None:
            return range(0)
        start, count = self._list(at)
        return range(start, start + size * count, size)

    def _list(self, at: int, *, most: int = MOST_ITEMS) -> tuple[int, int]:
        """Where the list that the offset at `at` leads to begins, and its length."""
        start = self.follow(at)
        count = self._read("<I", start)
        if count > most:
            raise DamagedTableError(f"a list of {count} items")
        return start + 4, count

    def _field(self, table: int, field: int) -> int | None:
        vtable = table - self._read("<i", table)
        if 4 + 2 * field >= self._read("<H", vtable):
            return None
        offset = self._read("<H", vtable + 4 + 2 * field)
        return table + offset if offset else None

    def _slice(self, start: int, count: int) -> bytes:
        if start + count > len(self._data):
            raise DamagedTableError(f"{count} bytes at {start} of a file of {len(self._data)} bytes")
        return self._data[start : start + count]

    def _read(self, layout: str, at: int) -> int:
        self._check(layout, at)
        return struct.unpack_from(layout, self._data, at)[0]

    def _read_float(self, at: int) -> float:
        self._check("<f", at)
        return struct.unpack_from("<f", self._data, at)[0]

    def _check(self, layout: str, at: int) -> None:
        size = struct.calcsize(layout)
        if at < 0 or at + size > len(self._data):
            raise DamagedTableError(f"an offset leads to byte {at} of a file of {len(self._data)} bytes")
        self._reads += 1
        if self._reads > _MOST_READS:
            raise DamagedTableError("its tables lead to one another without end")
