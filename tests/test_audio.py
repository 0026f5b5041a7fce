"""Hardened reading: what libsndfile accepts too easily is refused with a reason, and good audio comes through right."""

from __future__ import annotations

import functools
import io
import math
import os
import pickle
import socket
import struct
import tempfile
import wave
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from wakelark.audio import (
    SAMPLE_RATE,
    BadAudio,
    find_audio_files,
    find_other_files,
    read_audio,
    stream_audio,
    to_float,
    to_int16,
    write_wav,
)
from wakelark.audio_header import REASONS


def tone(seconds: float = 1.0, rate: int = SAMPLE_RATE, hertz: float = 440.0) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def reason(path: Path, max_seconds: float | None = None) -> str:
    with pytest.raises(BadAudio) as caught:
        read_audio(path, max_seconds=max_seconds)
    assert caught.value.reason in REASONS
    assert caught.value.exit_code == 3
    return caught.value.reason


def wav_bytes(
    codec: int = 1,
    channels: int = 1,
    rate: int = 16000,
    bits: int = 16,
    data: bytes = b"\1\0" * 800,
    declared: int | None = None,
) -> bytes:
    block = channels * bits // 8
    body = struct.pack("<HHIIHH", codec, channels, rate, min(rate * block, 2**32 - 1), block & 0xFFFF, bits)
    size = len(data) if declared is None else declared
    chunks = b"fmt " + struct.pack("<I", 16) + body + b"data" + struct.pack("<I", size) + data
    return b"RIFF" + struct.pack("<I", min(4 + len(chunks), 2**32 - 1)) + b"WAVE" + chunks


@given(st.lists(st.integers(-32768, 32767), min_size=1, max_size=50))
def test_int16_survives_the_round_trip(values: list[int]) -> None:
    samples = np.array(values, np.int16)
    assert (to_int16(to_float(samples)) == samples).all()


def test_wav_round_trip_is_exact(tmp_path: Path) -> None:
    audio = to_float(np.arange(-500, 500, dtype=np.int16))
    write_wav(tmp_path / "a.wav", audio)
    assert (read_audio(tmp_path / "a.wav", max_seconds=None) == audio).all()
    assert reason_or_none(tmp_path / "a.wav") is None


def reason_or_none(path: Path) -> str | None:
    try:
        read_audio(path, max_seconds=None)
    except BadAudio as error:
        return error.reason
    return None


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ALAW", "ULAW"])
def test_every_plain_codec_equals_the_16_bit_copy(tmp_path: Path, subtype: str) -> None:
    soundfile.write(tmp_path / "a.wav", tone(), SAMPLE_RATE, subtype=subtype)
    soundfile.write(tmp_path / "b.wav", tone(), SAMPLE_RATE, subtype="PCM_16")
    difference = read_audio(tmp_path / "a.wav", max_seconds=None) - read_audio(tmp_path / "b.wav", max_seconds=None)
    assert np.abs(difference).max() < {"PCM_U8": 0.01, "ALAW": 0.02, "ULAW": 0.02}.get(subtype, 1e-4)


@pytest.mark.parametrize("name", ["a.flac", "a.ogg", "a.mp3", "a.aiff", "a.au", "a.caf"])
def test_containers(tmp_path: Path, name: str) -> None:
    soundfile.write(tmp_path / name, tone(rate=48000), 48000)
    audio = read_audio(tmp_path / name, max_seconds=2.0)
    assert abs(len(audio) - SAMPLE_RATE) <= SAMPLE_RATE // 10  # MP3 pads
    assert np.sqrt(np.mean(audio[4000:12000] ** 2)) == pytest.approx(0.5 / math.sqrt(2), rel=0.02)


@settings(max_examples=15)
@given(rate=st.sampled_from([4000, 8000, 11025, 22050, 44100, 48000, 96000, 192000]), seconds=st.floats(0.1, 1.5))
def test_resampling_keeps_duration_and_level(
    tmp_path_factory: pytest.TempPathFactory, rate: int, seconds: float
) -> None:
    path = tmp_path_factory.mktemp("rate") / "a.wav"
    source = tone(seconds, rate)
    soundfile.write(path, source, rate)
    audio = read_audio(path, max_seconds=None)
    assert abs(len(audio) - len(source) * SAMPLE_RATE / rate) <= 1
    middle = slice(len(audio) // 4, 3 * len(audio) // 4)
    assert np.abs(audio[middle] - tone(seconds + 0.01)[: len(audio)][middle]).max() < 2e-3


def test_channels_are_averaged(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.stack([tone(), np.zeros(SAMPLE_RATE, np.float32)], axis=1), SAMPLE_RATE)
    assert np.allclose(read_audio(tmp_path / "a.wav", max_seconds=None), tone() / 2, atol=1e-4)


def test_stream_equals_whole(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.flac", tone(20, 44100), 44100)
    pieces = list(stream_audio(tmp_path / "a.flac", max_seconds=None))
    assert len(pieces) > 3
    assert max(map(len, pieces)) < 5 * SAMPLE_RATE
    assert (np.concatenate(pieces) == read_audio(tmp_path / "a.flac", max_seconds=None)).all()


def test_empty_header_only_and_missing(tmp_path: Path) -> None:
    (tmp_path / "empty.wav").touch()
    whole = wav_bytes()
    (tmp_path / "header.wav").write_bytes(whole[:44])
    (tmp_path / "none.wav").write_bytes(wav_bytes(data=b""))
    (tmp_path / "cut20.wav").write_bytes(whole[:20])
    (tmp_path / "cut30.wav").write_bytes(whole[:30])
    assert reason(tmp_path / "empty.wav") == "empty-file"
    assert reason(tmp_path / "header.wav") == "no-audio"
    assert reason(tmp_path / "none.wav") == "no-audio"
    assert reason(tmp_path / "cut20.wav") == "unreadable"
    assert reason(tmp_path / "cut30.wav") == "unreadable"
    assert reason(tmp_path / "absent.wav") == "missing"
    assert reason(tmp_path) == "not-a-file"


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.aiff", "a.au", "a.caf", "a.ogg"])
def test_half_a_file_is_refused(tmp_path: Path, name: str) -> None:
    soundfile.write(tmp_path / name, tone(), SAMPLE_RATE)
    data = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(data[: len(data) // 2])
    assert reason(tmp_path / name) in ("truncated", "unreadable")


def test_truncation_names_the_share(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(wav_bytes(data=b"\1\0" * 400, declared=1600))
    with pytest.raises(BadAudio, match=r"a\.wav: only 50 % of its declared length"):
        read_audio(tmp_path / "a.wav", max_seconds=None)


def test_unknown_length_of_a_streamed_recording_is_accepted(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(wav_bytes(declared=0xFFFFFFFF))
    assert len(read_audio(tmp_path / "a.wav", max_seconds=None)) == 800


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_non_finite_samples_name_the_place(tmp_path: Path, value: float) -> None:
    audio = tone()
    audio[800] = value
    soundfile.write(tmp_path / "a.wav", audio, SAMPLE_RATE, subtype="FLOAT")
    with pytest.raises(BadAudio, match=r"at 0\.050 s") as caught:
        read_audio(tmp_path / "a.wav", max_seconds=None)
    assert caught.value.reason == "non-finite"


def test_wrong_scale_is_refused_and_overshoot_clipped(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "loud.wav", 30 * tone(), SAMPLE_RATE, subtype="FLOAT")
    soundfile.write(tmp_path / "over.wav", 2.4 * tone(), SAMPLE_RATE, subtype="FLOAT")
    assert reason(tmp_path / "loud.wav") == "mis-scaled"
    assert read_audio(tmp_path / "over.wav", max_seconds=None).max() == 1.0


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (wav_bytes(channels=1000), "too-many-channels"),
        (wav_bytes(channels=0), "too-many-channels"),
        (wav_bytes(rate=0), "implausible-rate"),
        (wav_bytes(rate=4_000_000_000), "implausible-rate"),
        (wav_bytes(codec=0x11, bits=4), "unsupported-codec"),
        (wav_bytes(codec=0x11, channels=50_000, bits=4), "unsupported-codec"),
        (wav_bytes(codec=2, bits=4), "unsupported-codec"),
        (wav_bytes(codec=0x55), "unsupported-codec"),
        (b"dear diary, this is no audio", "unreadable"),
        (b"\x89PNG\r\n\x1a\n" + bytes(64), "unreadable"),
        (b"\0\0\0\x20ftypM4A " + bytes(64), "unsupported-codec"),
        (b"OggS" + bytes(64), "unreadable"),
        (b"fLaC" + bytes(64), "unreadable"),
        (b"ID3", "unreadable"),
        (b"RIFF\0\0", "unreadable"),
        (b".snd", "no-audio"),
        (b"FORM\0\0\0\x40AIFC", "truncated"),
    ],
)
def test_hostile_headers(tmp_path: Path, content: bytes, expected: str) -> None:
    (tmp_path / "a.wav").write_bytes(content)
    assert reason(tmp_path / "a.wav") == expected


@settings(max_examples=150)
@given(position=st.integers(0, 60), value=st.integers(0, 255), cut=st.integers(0, 200))
def test_damaged_wav_is_audio_or_bad_audio(
    tmp_path_factory: pytest.TempPathFactory, position: int, value: int, cut: int
) -> None:
    data = bytearray(wav_bytes(data=b"\1\0" * 60))
    data[position] = value
    path = tmp_path_factory.getbasetemp() / "damaged.wav"
    path.write_bytes(bytes(data[: len(data) - cut]))
    if (refused := reason_or_none(path)) is not None:
        assert refused in REASONS
        return
    audio = read_audio(path, max_seconds=None)
    assert np.isfinite(audio).all()
    assert np.abs(audio).max() <= 1


@functools.cache
def whole(name: str) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(
        buffer, tone(0.25), SAMPLE_RATE, format=name.partition(" ")[0], subtype=name.partition(" ")[2] or None
    )
    return buffer.getvalue()


@pytest.mark.parametrize("name", ["WAV FLOAT", "WAVEX", "RF64", "FLAC", "OGG", "OGG OPUS", "MP3", "AIFF", "AU", "CAF"])
@settings(max_examples=40)
@given(changes=st.lists(st.tuples(st.integers(0, 4000), st.integers(0, 255)), max_size=6), cut=st.integers(0, 4000))
def test_any_damaged_container_is_audio_or_bad_audio(
    tmp_path_factory: pytest.TempPathFactory, name: str, changes: list[tuple[int, int]], cut: int
) -> None:
    data = bytearray(whole(name))
    for position, value in changes:
        data[position % min(len(data), 400)] = value
    path = tmp_path_factory.getbasetemp() / "damaged.bin"
    path.write_bytes(bytes(data[: max(1, len(data) - cut)]))
    if (refused := reason_or_none(path)) is not None:
        assert refused in REASONS
        return
    audio = read_audio(path, max_seconds=None)
    assert np.isfinite(audio).all()
    assert np.abs(audio).max() <= 1


def test_mp3_named_wav_is_read(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    soundfile.write(buffer, tone(), SAMPLE_RATE, format="MP3")
    (tmp_path / "a.wav").write_bytes(buffer.getvalue())
    assert len(read_audio(tmp_path / "a.wav", max_seconds=None)) > 15_000


def test_too_long_is_refused_before_decoding(tmp_path: Path) -> None:
    with wave.open(os.fspath(tmp_path / "a.wav"), "wb") as file:
        file.setparams((1, 2, SAMPLE_RATE, 0, "NONE", ""))
        file.writeframes(bytes(2 * SAMPLE_RATE * 11))
    assert reason(tmp_path / "a.wav", max_seconds=10) == "too-long"


NAMES = [
    b"new\nline.wav",
    b"-dash.wav",
    b"quote'\".wav",
    "emoji \U0001f600.wav".encode(),
    b"latin \xe9.wav",
    b"<script>.wav",
    b"x" * 250 + b".wav",
]


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_odd_names_are_read_and_shown_harmlessly(tmp_path: Path, name: bytes) -> None:
    path = Path(os.fsdecode(os.path.join(os.fsencode(tmp_path), name)))
    write_wav(path, tone())
    assert len(read_audio(path, max_seconds=None)) == SAMPLE_RATE
    path.write_bytes(b"")
    with pytest.raises(BadAudio) as caught:
        read_audio(path, max_seconds=None)
    assert str(caught.value).isprintable()
    str(caught.value).encode("utf-8")


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.wav")
    assert reason(tmp_path / "a.wav") == "not-a-file"
    assert find_audio_files(tmp_path) == []


@contextmanager
def folder_for_all() -> Iterator[Path]:
    """A folder that everybody may enter; `tmp_path` is for its owner only."""
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o755)
        yield Path(name)


@contextmanager
def as_nobody() -> Iterator[None]:
    """Without special rights, also where the tests run as root, who may read everything."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(before)


def test_permission_denied() -> None:
    with folder_for_all() as folder:
        write_wav(folder / "a.wav", tone())
        (folder / "a.wav").chmod(0)
        (folder / "closed").mkdir()
        write_wav(folder / "closed" / "b.wav", tone())
        write_wav(folder / "good.wav", tone())
        (folder / "closed").chmod(0)
        with as_nobody():
            found = find_audio_files(folder)
            reasons = {path.name: reason_or_none(path) for path in found}
        (folder / "closed").chmod(0o755)
    assert reasons == {"a.wav": "permission-denied", "closed": "permission-denied", "good.wav": None}


def test_finding_files(tmp_path: Path) -> None:
    (tmp_path / "deep" / "er").mkdir(parents=True)
    write_wav(tmp_path / "b.wav", tone())
    write_wav(tmp_path / "deep" / "er" / "noname", tone())
    (tmp_path / "phone.m4a").write_bytes(b"x")
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / "._b.wav").write_bytes(b"x")
    (tmp_path / ".git").mkdir()
    write_wav(tmp_path / ".git" / "c.wav", tone())
    (tmp_path / "a.wav").symlink_to(tmp_path / "b.wav")
    (tmp_path / "dead.wav").symlink_to(tmp_path / "nowhere.wav")
    (tmp_path / "deep" / "loop").symlink_to(tmp_path)
    os.link(tmp_path / "b.wav", tmp_path / "deep" / "hard.wav")
    found = [str(path.relative_to(tmp_path)) for path in find_audio_files(tmp_path)]
    assert found == ["a.wav", "deep/er/noname", "phone.m4a"]


def test_what_is_no_file_is_listed_and_never_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.wav")
    (tmp_path / "dead.wav").symlink_to(tmp_path / "nowhere.wav")
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "loop").symlink_to(tmp_path)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.fspath(tmp_path / "deep" / "s.wav"))
        others = find_other_files(tmp_path)
    assert [(str(error.path.relative_to(tmp_path)), error.reason) for error in others] == [
        ("dead.wav", "not-a-file"), ("deep/loop", "not-a-file"), ("deep/s.wav", "not-a-file"),
        ("pipe.wav", "not-a-file"),
    ]  # fmt: skip
    assert "not followed" in others[1].detail
    assert find_audio_files(tmp_path) == []


def test_bad_audio_travels_between_processes() -> None:
    error = pickle.loads(pickle.dumps(BadAudio("a.wav", "silent", "it is silent")))
    assert (str(error), error.reason, error.path) == ("a.wav: it is silent [silent]", "silent", Path("a.wav"))
