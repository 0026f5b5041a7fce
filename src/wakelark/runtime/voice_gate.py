"""The voice gate: scores count only where something speech-like stood out from the background a moment ago.

Frames of about 20 ms (a step, cut into equal parts) have the level of their band from 300 to 3400 Hz. The background
is the lowest level of late: it follows every quieter frame at once and rises by `RISE_DB_PER_S` otherwise, so that it
finds its way back up when the room gets louder (minimum statistics with a constant slope instead of a window). The
gate opens with a frame `gate_db` above the background, and stays open for `hold_s`.
"""

from __future__ import annotations

import math

import numpy as np

from wakelark.audio import SAMPLE_RATE, Float32Array

BAND_HZ = (300.0, 3400.0)
FRAME_S = 0.02
RISE_DB_PER_S = 3.0
LOWEST_DB = -80.0
"""Quieter than any room: digital silence is no background to stand out from."""
FIRST_BACKGROUND_DB = -60.0
"""The background of a stream that has just begun: below most rooms, because a gate that is open harms least."""


class VoiceGate:
    """One stream's gate; see the module.

    Args:
        gate_db: how far above the background, in dB.
        hold_s: for how long after such a frame the gate is open.
        step_samples: audio per step.
    """

    def __init__(self, *, gate_db: float, hold_s: float, step_samples: int) -> None:
        self._gate_db = gate_db
        self._frames = max(1, round(step_samples / SAMPLE_RATE / FRAME_S))
        self._size = step_samples // self._frames
        # A window, else the hum of the mains leaks into the band from below it.
        self._window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(self._size) / self._size)
        self._scale = 2 / (self._size * float(np.sum(self._window**2)))
        self._hold_steps = max(1, math.ceil(hold_s * SAMPLE_RATE / step_samples - 1e-9))
        bin_hz = SAMPLE_RATE / self._size
        self._band = slice(math.ceil(BAND_HZ[0] / bin_hz), math.floor(BAND_HZ[1] / bin_hz) + 1)
        self._rise_db = RISE_DB_PER_S * self._size / SAMPLE_RATE
        self.reset()

    def reset(self) -> None:
        """As for a stream that begins."""
        self._background_db = FIRST_BACKGROUND_DB
        self._left = 0

    def is_open(self, step: Float32Array) -> bool:
        """Take the audio of one more step and say whether its score counts.

        Always one step at a time: the same bits whatever chunks the audio comes in.

        Shape: `[step_samples]`
        """
        loud = False
        for level_db in self._levels(step):
            self._background_db = min(level_db, self._background_db + self._rise_db)
            loud |= level_db - self._background_db >= self._gate_db
        self._left = self._hold_steps if loud else max(0, self._left - 1)
        return self._left > 0

    def _levels(self, step: Float32Array) -> list[float]:
        """Level of the band in each frame, in dB of full scale."""
        frames = step[: self._frames * self._size].reshape(self._frames, self._size).astype(np.float64)
        spectrum = np.fft.rfft(frames * self._window, axis=1)[:, self._band]
        power = self._scale * np.sum(spectrum.real**2 + spectrum.imag**2, axis=1)
        return [max(LOWEST_DB, 10 * math.log10(value)) if value > 0 else LOWEST_DB for value in power.tolist()]
