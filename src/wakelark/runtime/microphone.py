"""The microphone as 16 kHz mono chunks (extra `mic`)."""

from __future__ import annotations

import queue
from collections.abc import Iterator
from typing import Any

import numpy as np

from wakelark.audio import SAMPLE_RATE, Float32Array
from wakelark.errors import SetupError

_CHUNK_S = 0.08
_SILENT_S = 10.0
"""PortAudio delivers audio all the time, silent or not: nothing for this long means that the device is gone."""

_INSTALL = 'install it with: pip install "wakelark[mic]"'
_PORTAUDIO = (
    "install it with: sudo apt install libportaudio2 (Debian, Ubuntu, Raspberry Pi OS), brew install portaudio (macOS)"
)


class Microphone:
    """Context manager and iterator of chunks of float32 audio in [-1, 1], about 80 ms each.

    Devices that do not offer 16 kHz are opened at their own rate and resampled.

    Args:
        device: number or part of the name as PortAudio lists it; None for the system's default.

    Attributes:
        name: of the device in use.
        dropped: chunks that PortAudio reported as lost because the machine was too slow.

    Raises:
        SetupError: on entering: no sounddevice, no PortAudio, no such device or none at all.
    """

    def __init__(self, device: str | None = None) -> None:
        self._device: int | str | None = int(device) if device is not None and device.isdigit() else device
        self._chunks: queue.SimpleQueue[Float32Array] = queue.SimpleQueue()
        self.name = ""
        self.dropped = 0

    def __enter__(self) -> Microphone:
        sounddevice = _sounddevice()
        try:
            info = sounddevice.query_devices(self._device, "input")
            self.name = str(info["name"])
            rate = self._usable_rate(sounddevice, int(info["default_samplerate"]))
            self._resampler = _resampler(rate)
            self._stream = sounddevice.InputStream(
                device=self._device,
                samplerate=rate,
                channels=1,
                dtype="float32",
                blocksize=round(rate * _CHUNK_S),
                callback=self._receive,
            )
            self._stream.start()
        except (sounddevice.PortAudioError, ValueError) as error:
            wanted = "the default microphone" if self._device is None else f"microphone {self._device!r}"
            raise SetupError(
                f"cannot open {wanted}: {error}; plug one in, allow its use in the system's settings, "
                "or choose another with --device (`wakelark listen --devices` lists them)"
            ) from error
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.stop()
        self._stream.close()

    def __iter__(self) -> Iterator[Float32Array]:
        while True:
            try:
                chunk = self._chunks.get(timeout=_SILENT_S)
            except queue.Empty:
                raise SetupError(
                    f"{self.name} has delivered no audio for {_SILENT_S:.0f} s: unplugged? Plug it in and start again"
                ) from None
            yield chunk if self._resampler is None else self._resampler.resample_chunk(chunk)

    def _usable_rate(self, sounddevice: Any, default_rate: int) -> int:
        try:
            sounddevice.check_input_settings(device=self._device, channels=1, dtype="float32", samplerate=SAMPLE_RATE)
        except sounddevice.PortAudioError:
            return default_rate
        return SAMPLE_RATE

    def _receive(self, data: Any, _frames: int, _time: object, status: Any) -> None:
        """Called by PortAudio's thread: only copies, so that no audio is lost."""
        self.dropped += bool(status.input_overflow)
        self._chunks.put(np.array(data[:, 0], np.float32))


def list_microphones() -> list[dict[str, object]]:
    """All input devices: `index, name, channels, rate, default`.

    Raises:
        SetupError: no sounddevice or no PortAudio.
    """
    sounddevice = _sounddevice()
    default = sounddevice.default.device[0]
    return [
        {
            "index": number,
            "name": str(info["name"]),
            "channels": int(info["max_input_channels"]),
            "rate": int(info["default_samplerate"]),
            "default": number == default,
        }
        for number, info in enumerate(sounddevice.query_devices())
        if info["max_input_channels"] > 0
    ]


def _sounddevice() -> Any:
    try:
        import sounddevice
    except ModuleNotFoundError as error:
        raise SetupError(f"listening needs the package sounddevice, which is not installed; {_INSTALL}") from error
    except OSError as error:  # sounddevice says so when it does not find the shared library
        raise SetupError(f"listening needs the PortAudio library, which is not installed; {_PORTAUDIO}") from error
    return sounddevice


def _resampler(rate: int) -> Any:
    if rate == SAMPLE_RATE:
        return None
    import soxr

    return soxr.ResampleStream(rate, SAMPLE_RATE, 1, dtype="float32")
