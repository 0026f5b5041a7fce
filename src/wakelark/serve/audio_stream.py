"""A client's audio, in whatever form it comes, as 16 kHz mono."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import soxr
from wyoming.event import Event

from wakelark.audio import SAMPLE_RATE, Float32Array
from wakelark.serve.protocol import ProtocolError, whole_number

_RATES = (8_000, 192_000)
_CHANNELS = 8


@dataclass(frozen=True, slots=True)
class AudioForm:
    """Sample rate in Hz, bytes per sample and channels of a chunk."""

    rate: int
    width: int
    channels: int

    @classmethod
    def of(cls, event: Event) -> AudioForm:
        """What an `audio-start` or `audio-chunk` says about its audio.

        Raises:
            ProtocolError: a value is missing or not one that is taken.
        """
        return cls(
            whole_number(event.data, "rate", *_RATES),
            whole_number(event.data, "width", 1, 4),
            whole_number(event.data, "channels", 1, _CHANNELS),
        )

    def seconds(self, payload: bytes) -> float:
        """How long so many bytes of audio last.

        Raises:
            ProtocolError: the bytes are no whole number of samples of all channels.
        """
        frame = self.width * self.channels
        if len(payload) % frame:
            raise ProtocolError(f"{len(payload)} bytes of audio are no multiple of {frame} (width x channels)")
        return len(payload) / frame / self.rate


class AudioStream:
    """Chunks in any form, which may change between two of them, to 16 kHz mono float32.

    Channels are averaged. Resampling keeps its state over chunks, so that there are no clicks between them.
    """

    def __init__(self) -> None:
        self._form: AudioForm | None = None
        self._resampler: soxr.ResampleStream | None = None

    def convert(self, payload: bytes, form: AudioForm) -> Float32Array:
        """A chunk. Shape: `-> [N]`; with resampling, N varies, as the filter looks ahead a little."""
        rest = np.zeros(0, np.float32)
        if form != self._form:
            rest = self.finish()
            self._form = form
            self._resampler = None
            if form.rate != SAMPLE_RATE:
                self._resampler = soxr.ResampleStream(form.rate, SAMPLE_RATE, 1, dtype="float32")
        mono = _samples(payload, form.width).reshape(-1, form.channels).mean(axis=1, dtype=np.float32)
        if self._resampler is not None:
            mono = np.clip(self._resampler.resample_chunk(mono), -1.0, 1.0)
        return np.concatenate([rest, mono]) if len(rest) else mono

    def finish(self) -> Float32Array:
        """What the resampler still holds at the end of a stream; afterwards a new one can begin. Shape: `-> [N]`"""
        resampler, self._resampler, self._form = self._resampler, None, None
        if resampler is None:
            return np.zeros(0, np.float32)
        return np.clip(resampler.resample_chunk(np.zeros(0, np.float32), last=True), -1.0, 1.0)


def _samples(payload: bytes, width: int) -> Float32Array:
    """Signed little-endian integers of 1 to 4 bytes as floats in [-1, 1). Shape: `-> [N]`"""
    if width == 3:
        wide = np.zeros((len(payload) // 3, 4), np.uint8)
        wide[:, 1:] = np.frombuffer(payload, np.uint8).reshape(-1, 3)
        return _samples(wide.tobytes(), 4)
    integers = np.frombuffer(payload, {1: "i1", 2: "<i2", 4: "<i4"}[width])
    return integers.astype(np.float32) / np.float32(2.0 ** (8 * width - 1))
