"""The sample rate and everything that derives from it; hardened reading, writing and resampling of audio.

wakelark works on 16 kHz mono. Samples are float32 in [-1, 1] in memory and int16 on disk.

Files come from users and from strangers, so a file's header is looked at before the decoding library sees it
(`wakelark.audio_header`), and everything the library accepts too easily is checked again: cut files, NaN, wrong scale.
"""

from __future__ import annotations

import os
import stat
import wave
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from wakelark.audio_header import (
    AUDIO_SUFFIXES,
    LOSSY_CONTAINERS,
    BadAudio,
    Container,
    check_layout,
    printable,
    sniff,
    starts_like_audio,
)

if TYPE_CHECKING:
    from soundfile import SoundFile

__all__ = [
    "HOP_SAMPLES",
    "SAMPLE_RATE",
    "AudioFacts",
    "BadAudio",
    "Float32Array",
    "Int16Array",
    "audio_facts",
    "check_regular",
    "find_audio_files",
    "find_other_files",
    "printable",
    "read_audio",
    "stream_audio",
    "to_float",
    "to_int16",
    "write_wav",
]

SAMPLE_RATE = 16_000
HOP_SAMPLES = 160  # 10 ms, the step of every front end

Float32Array = NDArray[np.float32]
Int16Array = NDArray[np.int16]

_BLOCK_FRAMES = 1 << 17
_LOUDEST = 1.5  # lossy codecs and resamplers overshoot 1.0 a little; beyond this the file has another scale
_ALLOWED_CODECS = ("PCM_", "FLOAT", "DOUBLE", "ULAW", "ALAW", "VORBIS", "OPUS", "MPEG_LAYER_")


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


def read_audio(path: str | Path, *, max_seconds: float | None) -> Float32Array:
    """Read any supported file as 16 kHz mono float32 in [-1, 1].

    Channels are averaged. Peaks beyond 1 are clipped (decoders of lossy formats overshoot); a file of float samples
    beyond 1.5 has another scale and is refused, because guessing it would change the level of what is learned.

    Args:
        path: WAV, FLAC, Ogg (Vorbis, Opus), MP3, AIFF, AU or CAF, whatever its name says.
        max_seconds: longer files are refused (None: any length).

    Returns:
        Samples. Shape: `[n]`, n >= 1.

    Raises:
        BadAudio: with `.reason`, one of `wakelark.audio_header.REASONS`.
    """
    return np.concatenate(list(stream_audio(path, max_seconds=max_seconds)))


def stream_audio(path: str | Path, *, max_seconds: float | None) -> Iterator[Float32Array]:
    """`read_audio` in pieces of a few seconds, so that a recording of many hours needs little memory.

    The pieces, joined, are what `read_audio` returns. A fault far into the file raises when that place is reached.
    """
    path = Path(path)
    check_regular(path)
    try:
        with open(path, "rb") as file:
            container = sniff(file, path)
            yield from _decode(file.fileno(), path, container, max_seconds)
    except PermissionError as error:
        raise BadAudio(path, "permission-denied", "you may not read it; change its permissions") from error
    except OSError as error:
        raise BadAudio(path, "unreadable", f"the disk reports: {error.strerror}") from error


@dataclass(frozen=True, slots=True)
class AudioFacts:
    """How an audio file was stored: its container, codec, sample rate and channels."""

    container: str
    codec: str
    sample_rate: int
    channels: int


def audio_facts(path: str | Path) -> AudioFacts:
    """What a file that `read_audio` can read was stored as.

    Raises:
        BadAudio: it is not audio that is read.
    """
    import soundfile

    path = Path(path)
    check_regular(path)
    with open(path, "rb") as file:
        container = sniff(file, path)
        os.lseek(file.fileno(), 0, os.SEEK_SET)
        try:
            with soundfile.SoundFile(file.fileno(), closefd=False) as sound:
                return AudioFacts(container, sound.subtype, sound.samplerate, sound.channels)
        except soundfile.LibsndfileError as error:
            raise BadAudio(path, "unreadable", f"it cannot be decoded ({error.error_string.rstrip('.')})") from error


def write_wav(path: str | Path, audio: Float32Array | Int16Array) -> None:
    """Write 16 kHz mono audio as a 16-bit WAV file.

    Shape: audio `[n]`, float32 in [-1, 1] or int16.
    """
    samples = audio if audio.dtype == np.int16 else to_int16(np.asarray(audio, np.float32))
    with wave.open(os.fspath(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes(samples.astype("<i2").tobytes())


def find_audio_files(folder: str | Path) -> list[Path]:
    """All audio files below a folder, sorted by path, each once.

    A file counts when its name has a known suffix (also of formats that cannot be read, so that they are reported and
    not overlooked) or when it begins like audio. Links to folders are not followed; several links to one file count
    once; pipes, sockets and devices, hidden folders and the `._` twins that macOS leaves behind do not count. A
    sub-folder that may not be opened is listed itself, so that reading it reports "permission-denied".
    """
    denied: list[Path] = []
    found: dict[tuple[int, int], Path] = {}
    walk = os.walk(folder, onerror=lambda error: denied.append(Path(os.fsdecode(error.filename))))
    for parent, folders, names in walk:
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(parent, name)
            if not name.startswith("._") and (identity := _identity(path)) and _counts(path):
                found.setdefault(identity, path)
    return sorted([*found.values(), *denied], key=os.fsencode)


def _identity(path: Path) -> tuple[int, int] | None:
    """(device, inode) of a regular file, or of the one a link leads to; None for anything else and for dead links."""
    try:
        status = path.stat()
    except OSError:
        return None
    return (status.st_dev, status.st_ino) if stat.S_ISREG(status.st_mode) else None


def _counts(path: Path) -> bool:
    if path.suffix.lower() in AUDIO_SUFFIXES:
        return True
    try:
        with open(path, "rb") as file:
            return starts_like_audio(file.read(16))
    except OSError:
        return False  # neither its name nor its content says audio


def find_other_files(folder: str | Path) -> list[BadAudio]:
    """What `find_audio_files` leaves out although somebody may have meant it, each with its reason, sorted by path.

    Links to folders, dead links with an audio name, and pipes, sockets and devices with one.
    """
    refused: list[BadAudio] = []
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for path in (Path(parent, name) for name in folders):
            if path.is_symlink():
                refused.append(BadAudio(path, "not-a-file", "it is a link to a folder, which is not followed"))
        for path in (Path(parent, name) for name in names if not name.startswith("._")):
            if path.suffix.lower() in AUDIO_SUFFIXES and _identity(path) is None:
                what = "a link that leads nowhere" if path.is_symlink() else "a pipe, socket or device"
                refused.append(BadAudio(path, "not-a-file", f"it is {what}"))
    return sorted(refused, key=lambda error: os.fsencode(error.path))


def check_regular(path: Path) -> None:
    """Refuse what is not a file before opening it: opening a pipe would wait for ever.

    Raises:
        BadAudio: missing, permission-denied or not-a-file.
    """
    try:
        mode = path.stat().st_mode
    except PermissionError as error:
        raise BadAudio(path, "permission-denied", "you may not open its folder; change the permissions") from error
    except (OSError, ValueError) as error:
        raise BadAudio(path, "missing", "no such file") from error
    if stat.S_ISDIR(mode) and not os.access(
        path, os.R_OK | os.X_OK, effective_ids=os.access in os.supports_effective_ids
    ):
        raise BadAudio(path, "permission-denied", "you may not open this folder; change its permissions")
    if not stat.S_ISREG(mode):
        raise BadAudio(path, "not-a-file", "it is a folder, pipe or device, not an audio file")


def _decode(descriptor: int, path: Path, container: Container, max_seconds: float | None) -> Iterator[Float32Array]:
    import soundfile

    os.lseek(descriptor, 0, os.SEEK_SET)
    try:
        # By descriptor: names that are not UTF-8 cannot be passed to the library.
        with soundfile.SoundFile(descriptor, closefd=False) as file:
            if not file.subtype.startswith(_ALLOWED_CODECS):
                raise BadAudio(
                    path, "unsupported-codec", f"its codec {file.subtype} is not read; convert it to 16-bit WAV"
                )
            check_layout(path, file.channels, file.samplerate)
            if max_seconds is not None and file.frames > max_seconds * file.samplerate:
                raise _too_long(path, file.frames / file.samplerate, max_seconds)
            yield from _blocks(file, path, container, max_seconds)
    except soundfile.LibsndfileError as error:
        raise BadAudio(path, "unreadable", f"it cannot be decoded ({error.error_string.rstrip('.')})") from error


def _blocks(file: SoundFile, path: Path, container: Container, max_seconds: float | None) -> Iterator[Float32Array]:
    """Checked, mixed and resampled blocks of an open `soundfile.SoundFile`."""
    import soxr

    rate: int = file.samplerate
    resampler = (
        None if rate == SAMPLE_RATE else soxr.ResampleStream(rate, SAMPLE_RATE, 1, dtype="float32", quality="HQ")
    )
    frames = given = 0
    while len(block := np.asarray(file.read(_BLOCK_FRAMES, dtype="float32", always_2d=True), np.float32)):
        mono = block.mean(axis=1, dtype=np.float32)
        _check_samples(block, path, container, frames, rate)
        frames += len(block)
        if max_seconds is not None and frames > max_seconds * rate:
            raise _too_long(path, frames / rate, max_seconds)
        if resampler is not None:
            mono = resampler.resample_chunk(mono)
        given += len(mono)
        if len(mono):
            yield np.clip(mono, -1.0, 1.0)
    # The length of MP3 and Ogg is a guess until they are decoded; the others state it.
    if container not in LOSSY_CONTAINERS and frames < 0.99 * file.frames < 2**62:
        raise BadAudio(path, "truncated", f"only {100 * frames / file.frames:.0f} % of its declared length is there")
    if resampler is not None and len(rest := resampler.resample_chunk(np.zeros(0, np.float32), last=True)):
        given += len(rest)
        yield np.clip(rest, -1.0, 1.0)
    if not given:
        raise BadAudio(path, "no-audio", "it has a header and no samples")


def _check_samples(block: Float32Array, path: Path, container: Container, offset: int, rate: int) -> None:
    peak = float(np.max(np.abs(block)))
    if not np.isfinite(peak):
        bad = int(np.flatnonzero(~np.isfinite(block).all(axis=1))[0])
        raise BadAudio(path, "non-finite", f"NaN or infinite samples at {(offset + bad) / rate:.3f} s")
    if peak > _LOUDEST and container not in LOSSY_CONTAINERS:
        detail = f"a peak of {peak:.3g} where 1.0 is full scale; scale it down or save it as 16-bit WAV"
        raise BadAudio(path, "mis-scaled", detail)


def _too_long(path: Path, seconds: float, max_seconds: float) -> BadAudio:
    return BadAudio(path, "too-long", f"{seconds:.1f} s or more where at most {max_seconds:g} s are used; cut it")
