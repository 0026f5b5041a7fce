"""The sample rate and everything that derives from it; hardened reading, writing and resampling of audio.

wakelark works on 16 kHz mono. Samples are float32 in [-1, 1] in memory and int16 on disk.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SAMPLE_RATE = 16_000
HOP_SAMPLES = 160  # 10 ms, the step of every front end

Float32Array = NDArray[np.float32]
Int16Array = NDArray[np.int16]


def to_int16(audio: Float32Array) -> Int16Array:
    """Float samples in [-1, 1] to int16, rounded and clipped.

    Shape: `[*] -> [*]`

    >>> to_int16(np.array([0.0, 1.0, -1.0, 2.0], np.float32)).tolist()
    [0, 32767, -32768, 32767]
    """
    return np.clip(np.rint(audio * 32768.0), -32768, 32767).astype(np.int16)


def to_float(audio: Int16Array) -> Float32Array:
    """Int16 samples to float32 in [-1, 1).

    Shape: `[*] -> [*]`
    """
    return audio.astype(np.float32) / np.float32(32768.0)
