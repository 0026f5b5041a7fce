"""What can be told about an audio file before any decoder sees it: its container, codec and whether it is whole.

The decoding library reads cut files silently, takes a thousand channels, and its ADPCM decoders have had memory errors;
so the header is parsed here first, and only what wakelark wants goes on.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import BinaryIO, Literal

from wakelark.errors import DataError

REASONS: dict[str, str] = {
    "missing": "there is no such file",
    "not-a-file": "a folder, pipe or device",
    "permission-denied": "it may not be read",
    "empty-file": "0 bytes",
    "no-audio": "a header without samples",
    "truncated": "less audio than the header promises",
    "unreadable": "damaged or not audio at all",
    "unsupported-codec": "a format or codec that is not read",
    "too-many-channels": "more than 8 channels, or none",
    "implausible-rate": "a sample rate outside 4 to 192 kHz",
    "non-finite": "NaN or infinite samples",
    "mis-scaled": "float samples far beyond full scale",
    "too-long": "longer than what it is used for",
    "too-short": "shorter than what it is used for",
    "silent": "nothing to hear",
    "unclear": "the phrase cannot be told from its surroundings",
    "changed": "it was written to while it was read",
    "decoder-crashed": "the decoder crashed or took too long",
}
"""Why a file is not used: every `BadAudio.reason`, with what it means."""

Container = Literal["wav", "flac", "ogg", "mp3", "aiff", "au", "caf"]
LOSSY_CONTAINERS: tuple[Container, ...] = ("ogg", "mp3")
_READABLE = (".wav", ".wave", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".aifc", ".au", ".snd", ".caf")
_UNREADABLE = (".m4a", ".aac", ".wma", ".webm", ".mp4", ".amr", ".3gp", ".mka")
AUDIO_SUFFIXES = frozenset(_READABLE + _UNREADABLE)

MAX_CHANNELS = 8
MIN_RATE, MAX_RATE = 4_000, 192_000
_WAV_CODECS = {1, 3, 6, 7}  # PCM, float, A-law, mu-law
_WAV_NAMES = {2: "MS ADPCM", 0x11: "IMA ADPCM", 0x31: "GSM 6.10", 0x55: "MP3 inside WAV", 0x50: "MPEG inside WAV"}
_EXTENSIBLE = 0xFFFE
_STREAMED = 0x7FFFF000  # recorders that write to a pipe put this or 0xFFFFFFFF where the size should be


class BadAudio(DataError):
    """An audio file that cannot be used.

    Attributes:
        path: the file.
        reason: a stable code, one of `REASONS`.
        detail: one clause for people: what is wrong and, where it helps, what to do.
    """

    def __init__(self, path: str | Path, reason: str, detail: str) -> None:
        super().__init__(f"{printable(path)}: {detail} [{reason}]")
        self.path = Path(path)
        self.reason = reason
        self.detail = detail

    def __reduce__(self) -> tuple[type[BadAudio], tuple[Path, str, str]]:  # pyright: ignore[reportImplicitOverride]
        # (typing.override needs Python 3.12) Worker processes send it home.
        return BadAudio, (self.path, self.reason, self.detail)


def printable(path: str | Path) -> str:
    r"""A file name as it may be shown: undecodable bytes and control characters are written as escapes.

    >>> printable("a\nb.wav")
    'a\\nb.wav'
    """
    text = os.fsencode(path).decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def starts_like_audio(head: bytes) -> bool:
    """True when the first 16 bytes are those of a container that is read, bare MP3 frames left out."""
    return _container(head) is not None and not _is_mp3_frame(head)


def check_layout(path: Path, channels: int, rate: int) -> None:
    """Refuse channel counts and rates that no recording of speech has.

    Raises:
        BadAudio: too-many-channels or implausible-rate.
    """
    if not 1 <= channels <= MAX_CHANNELS:
        raise BadAudio(path, "too-many-channels", f"{channels} channels; 1 to {MAX_CHANNELS} are read")
    if not MIN_RATE <= rate <= MAX_RATE:
        detail = f"a sample rate of {rate} Hz; {MIN_RATE} to {MAX_RATE} Hz are read"
        raise BadAudio(path, "implausible-rate", detail)


def sniff(file: BinaryIO, path: Path) -> Container:
    """The container of an open file, after the checks that need no decoder. Leaves the position anywhere.

    Raises:
        BadAudio: empty-file, no-audio, truncated, unreadable, unsupported-codec, too-many-channels, implausible-rate.
    """
    head = file.read(16)
    if not head:
        raise BadAudio(path, "empty-file", "it has 0 bytes")
    container = _container(head)
    suffix = path.suffix.lower()
    if container is None and suffix == ".mp3" and not _is_foreign(head):
        return "mp3"  # MP3 may begin with padding
    if container is None:
        if suffix in _UNREADABLE or _is_foreign(head):
            detail = "this format is not read; convert it, for instance: ffmpeg -i FILE FILE.wav"
            raise BadAudio(path, "unsupported-codec", detail)
        raise BadAudio(path, "unreadable", "its content is not audio, whatever its name says")
    if container == "wav":
        _check_wav(file, path)
    if container == "aiff":
        _check_length(path, struct.unpack(">I", head[4:8])[0], os.fstat(file.fileno()).st_size - 8, 2)
    if container == "au":
        start, declared = struct.unpack(">II", head[4:12].ljust(8, b"\0"))
        _check_length(path, declared, os.fstat(file.fileno()).st_size - start, 2)
    return container


def _container(head: bytes) -> Container | None:
    if head[:4] in (b"RIFF", b"RF64") and head[8:12] in (b"WAVE", b""):
        return "wav"
    if head[:4] == b"FORM" and head[8:11] == b"AIF":
        return "aiff"
    plain: dict[bytes, Container] = {b"fLaC": "flac", b"OggS": "ogg", b".snd": "au", b"caff": "caf"}
    if head[:4] in plain:
        return plain[head[:4]]
    return "mp3" if head[:3] == b"ID3" or _is_mp3_frame(head) else None


def _is_mp3_frame(head: bytes) -> bool:
    """Eleven sync bits, then a layer, bit rate and sample rate that exist."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return False
    return head[1] & 0x06 != 0 and head[1] & 0x18 != 0x08 and head[2] & 0xF0 != 0xF0 and head[2] & 0x0C != 0x0C


def _is_foreign(head: bytes) -> bool:
    """MP4 family, Matroska/WebM, ASF (WMA), AMR."""
    return head[4:8] == b"ftyp" or head[:4] in (b"\x1a\x45\xdf\xa3", b"\x30\x26\xb2\x75") or head[:5] == b"#!AMR"


def _check_wav(file: BinaryIO, path: Path) -> None:
    """Walk the chunks up to the samples: codec, layout, and declared against real size."""
    size = os.fstat(file.fileno()).st_size
    position, codec, block = 12, None, 1
    while position + 8 <= size:
        file.seek(position)
        name, length = struct.unpack("<4sI", file.read(8))
        if name == b"fmt ":
            codec, block = _check_format(file.read(min(length, 40)), path)
        elif name == b"data":
            if codec is None:
                raise BadAudio(path, "unreadable", "malformed header: samples before their format")
            return _check_length(path, length, size - position - 8, block)
        position += 8 + length + length % 2
    if codec is None:
        raise BadAudio(path, "unreadable", "malformed header: the file ends before the format of the samples")
    raise BadAudio(path, "no-audio", "it has a header and no samples")


def _check_format(body: bytes, path: Path) -> tuple[int, int]:
    """(codec, bytes per frame) of a WAV `fmt ` chunk."""
    if len(body) < 16:
        raise BadAudio(path, "unreadable", "malformed header: the format of the samples is cut off")
    codec, channels, rate, _, block, _ = struct.unpack("<HHIIHH", body[:16])
    if codec == _EXTENSIBLE and len(body) >= 26:
        codec = struct.unpack("<H", body[24:26])[0]
    if codec not in _WAV_CODECS:
        name = _WAV_NAMES.get(codec, f"number {codec:#x}")
        raise BadAudio(path, "unsupported-codec", f"its codec, {name}, is not read; convert it to 16-bit WAV")
    check_layout(path, channels, rate)
    return codec, max(block, 1)


def _check_length(path: Path, declared: int, present: int, block: int) -> None:
    if present == 0 or declared == 0:
        raise BadAudio(path, "no-audio", "it has a header and no samples")
    if declared - present >= block and declared < _STREAMED:
        raise BadAudio(path, "truncated", f"only {100 * present / declared:.0f} % of its declared length is there")
