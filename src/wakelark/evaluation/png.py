"""A PNG of one colour in sixteen opacities: the smallest picture that suits a light and a dark page."""

from __future__ import annotations

import struct
import zlib

import numpy as np
from numpy.typing import NDArray

COLOUR = (66, 82, 204)
"""The accent of the page (`page/style.css`)."""
_GAMMA = 1.3


def indexed_png(shades: NDArray[np.uint8], *, levels: int) -> bytes:
    """A PNG file of `COLOUR`; shade 0 is transparent, the highest opaque.

    The format is the W3C's PNG specification, colour type 3 (palette) with a tRNS chunk, 4 bits per pixel.

    Shape: `[height, width]`

    Args:
        shades: 0 to `levels` - 1.
        levels: at most 16.
    """
    height, width = shades.shape
    if not (0 < levels <= 16 and shades.size and int(shades.max()) < levels):
        raise ValueError(f"a picture of {height} x {width} pixels in {levels} shades cannot be written in 4 bits")
    even = np.pad(shades, ((0, 0), (0, width % 2)))
    packed = (even[:, ::2] << 4 | even[:, 1::2]).astype(np.uint8)
    rows = np.pad(packed, ((0, 0), (1, 0)))  # every row begins with its filter: none
    opacities = [round(255 * (shade / max(1, levels - 1)) ** _GAMMA) for shade in range(levels)]
    chunks = (
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 4, 3, 0, 0, 0)),
        (b"PLTE", bytes(COLOUR) * levels),
        (b"tRNS", bytes(opacities)),
        (b"IDAT", zlib.compress(rows.tobytes(), 9)),
        (b"IEND", b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(name, data) for name, data in chunks)


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
