"""The `micro` front end: what ESPHome's micro_wake_word hears, computed by the same code (package pymicro-features).

40 log bands (125 to 7,500 Hz) every 10 ms over windows of 30 ms, with noise reduction and automatic gain (PCAN). A
value is the device's `uint16 / 25.6`: 0 to 26. The front end is *stateful*: its estimate of the noise follows the sound
with time constants of 0.17 s (odd bands) and 0.4 s (even bands), and starts at nothing. So the features of a short clip
are not those of the same sound within a stream. Where a clip stands for a piece of a stream, `micro_of_clip` lets the
front end hear something first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wakelark.audio import HOP_SAMPLES, SAMPLE_RATE, Float32Array, Int16Array
from wakelark.errors import SetupError

if TYPE_CHECKING:
    from pymicro_features import MicroFrontend

BANDS = 40
WINDOW_SAMPLES = 480
"""30 ms; ESPHome's `preprocessor_settings.h`, and the package's."""
LEAD_SAMPLES = 3 * SAMPLE_RATE // 2
"""1.5 s: after it 2 % are left of where the slower estimate of the noise started (`(1 - 0.025) ** 150`)."""

_HOP_BYTES = 2 * HOP_SAMPLES


def frame_count(samples: int) -> int:
    """How many frames the front end makes of this many samples.

    >>> frame_count(479), frame_count(480), frame_count(32_000)
    (0, 1, 198)
    """
    return max(0, (samples - WINDOW_SAMPLES) // HOP_SAMPLES + 1)


def micro(audio: Int16Array) -> Float32Array:
    """Features of a whole stream, from a front end that has heard nothing before.

    Frame t covers the samples `160 t` to `160 t + 480`.

    Shape: `[N] -> [(N - 480) // 160 + 1, 40]`, values 0 to 26

    Raises:
        SetupError: pymicro-features is not installed.
    """
    return StreamingMicro().process(audio)


def micro_of_clip(clip: Int16Array) -> Float32Array:
    """Features of a clip as if it came out of the middle of a stream.

    Before the clip the front end hears the clip's beginning backwards, at most `LEAD_SAMPLES` of it: sound of the same
    room and level, without a jump where the clip starts. A shorter clip goes back and forth. The lead's frames are cut
    off.

    Shape: `[N] -> [(N - 480) // 160 + 1, 40]`

    Raises:
        SetupError: pymicro-features is not installed.
    """
    if len(clip) < WINDOW_SAMPLES:
        return np.zeros((0, BANDS), np.float32)
    return micro(np.pad(clip, (LEAD_SAMPLES, 0), mode="symmetric"))[LEAD_SAMPLES // HOP_SAMPLES :]


class StreamingMicro:
    """`micro` for audio that comes piece by piece: any chunking gives the same frames.

    Raises:
        SetupError: pymicro-features is not installed.
    """

    def __init__(self) -> None:
        self._front_end = _front_end()
        self._rest = b""

    def process(self, chunk: Int16Array) -> Float32Array:
        """The frames that this chunk completes, perhaps none.

        Shape: `[n] -> [t, 40]`
        """
        data = self._rest + np.ascontiguousarray(chunk, "<i2").tobytes()
        whole = len(data) // _HOP_BYTES * _HOP_BYTES
        self._rest = data[whole:]
        frames = []
        for start in range(0, whole, _HOP_BYTES):  # the front end takes exactly one hop per call
            if features := self._front_end.process_samples(data[start : start + _HOP_BYTES]).features:
                frames.append(features)
        return np.array(frames, np.float32).reshape(-1, BANDS)

    def reset(self) -> None:
        """Forget the audio so far, and what is known of its noise."""
        self._front_end.reset()
        self._rest = b""


def _front_end() -> MicroFrontend:
    try:
        from pymicro_features import MicroFrontend
    except ImportError as error:
        raise SetupError(
            "the front end of ESPHome's devices needs the package pymicro-features; install it with: "
            "pip install 'wakelark[esphome]'"
        ) from error
    return MicroFrontend()
