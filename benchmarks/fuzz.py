"""Coverage-guided fuzzing of what reads bytes from strangers: `python benchmarks/fuzz.py frames --seconds 120`

`frames` is the parser of Wyoming messages, `sniffer` the look at an audio file before any decoder sees it. Both may
only answer or raise their own error, in bounded memory and time. The inputs that reach new code are kept with
`--corpus DIR` and taken up again by the next run. What was found so far is kept as tests: tests/test_serve_hostile.py
and tests/test_frame_parser.py.

Needs `pip install atheris` (the extra `fuzz`; Linux).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import struct
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["wakelark.serve.protocol", "wakelark.audio_header"]):
    from wakelark.audio_header import REASONS, BadAudio, sniff
    from wakelark.serve.protocol import Limits, ProtocolError, read_event

LIMITS = Limits(line_bytes=512, data_bytes=256, payload_bytes=1024)
# The JSON decoder is written in C, which is not watched: these words help to get past it.
WORDS = [
    b'"type":',
    b'"data":{',
    b'"data_length":',
    b'"payload_length":',
    b'"ping"',
    b"\\ud800",
    b"null}\n",
    b"NaN",
    b"1e999",
]
CHUNKS = [b"RIFF", b"RF64", b"WAVE", b"fmt ", b"data", b"ds64", b"LIST", b"FORM", b"AIFF", b"AIFC", b"COMM", b"SSND"]
SUFFIXES = [".wav", ".mp3", ".flac", ".m4a", "", ".aiff", ".au", ".ogg"]


def main() -> None:
    """Fuzz one target for a while; libFuzzer's own figures are printed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", choices=["frames", "sniffer"])
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--corpus", type=Path, help="where inputs that reach new code are kept")
    parser.add_argument("--input", type=Path, help="try this one file instead, as a failed run wrote it")
    arguments = parser.parse_args()
    one: Callable[[bytes], None] = one_stream if arguments.target == "frames" else one_file
    if arguments.input is not None:
        one(arguments.input.read_bytes())
        return
    with tempfile.TemporaryDirectory() as folder:
        child = os.fork()  # libFuzzer ends its process itself, without tidying up
        if not child:
            fuzz(one, arguments.target, Path(folder), seconds=arguments.seconds, corpus=arguments.corpus)
        _, status = os.waitpid(child, 0)
    raise SystemExit(os.waitstatus_to_exitcode(status))


def fuzz(one: Callable[[bytes], None], target: str, folder: Path, *, seconds: int, corpus: Path | None) -> None:
    """Run libFuzzer; it does not come back."""
    seeds, words = (frames(), WORDS) if target == "frames" else (files(), CHUNKS)
    (folder / "seeds").mkdir()
    for number, seed in enumerate(seeds):
        (folder / "seeds" / str(number)).write_bytes(seed)
    quoted = ['"' + "".join(f"\\x{byte:02x}" for byte in word) + '"\n' for word in words]
    (folder / "words").write_text("".join(quoted))
    kept = [str(corpus)] if corpus is not None else []
    limits = [f"-max_total_time={seconds}", "-max_len=4096", "-timeout=5", "-rss_limit_mb=1024"]
    atheris.Setup([sys.argv[0], *kept, str(folder / "seeds"), f"-dict={folder / 'words'}", *limits], one)
    atheris.Fuzz()


LOOP = asyncio.new_event_loop()


def one_stream(data: bytes) -> None:
    """The first byte says where the stream is cut into two pieces; the rest is the stream."""
    if data:
        LOOP.run_until_complete(parse(data[1:], data[0]))


async def parse(data: bytes, cut: int) -> None:
    """Every message of a stream, checked."""
    reader = asyncio.StreamReader(limit=LIMITS.line_bytes)
    reader.feed_data(data[:cut])

    def feed_rest() -> None:
        reader.feed_data(data[cut:])
        reader.feed_eof()

    asyncio.get_running_loop().call_soon(feed_rest)
    while True:
        try:
            event = await read_event(reader, LIMITS, wait_s=5)
        except ProtocolError as error:
            check(str(error).isprintable() and len(str(error)) < 200, "the error fits into a log line")
            return
        if event is None:
            return
        check(event.payload is None or 0 < len(event.payload) <= LIMITS.payload_bytes, "the payload keeps the limit")
        json.dumps([event.type, event.data], ensure_ascii=False).encode("utf-8")


FILE = os.memfd_create("fuzz")


def one_file(data: bytes) -> None:
    """The first byte says what the file is called; the rest is the file."""
    if not data:
        return
    os.ftruncate(FILE, 0)
    os.pwrite(FILE, data[1:], 0)
    os.lseek(FILE, 0, os.SEEK_SET)
    path = Path("x" + SUFFIXES[data[0] % len(SUFFIXES)])
    with os.fdopen(os.dup(FILE), "rb") as file:
        try:
            sniff(file, path)
        except BadAudio as error:
            check(error.reason in REASONS, "the reason is one of those that are documented")


def check(holds: bool, law: str) -> None:
    """A law of the target: libFuzzer takes any exception for a finding, and keeps the input."""
    if not holds:
        raise AssertionError(f"not true: {law}")


def frames() -> list[bytes]:
    """Streams to begin with."""
    chunk = {"rate": 16000, "width": 2, "channels": 1, "timestamp": 5}
    messages = [
        {"type": "describe"},
        {"type": "ping", "data": {"text": "\u00e9"}},
        {"type": "audio-chunk", "data": chunk, "payload_length": 4},
        {"type": "detect", "data_length": 16},
        {"type": "audio-stop", "data": None, "payload_length": None},
    ]
    lines = [json.dumps(message).encode() + b"\n" for message in messages]
    lines[2] += b"abcd"
    lines[3] += b'{"names": ["x"]}'
    return [b"\x05" + line for line in lines] + [b"\x40" + b"".join(lines), b"\x00" + b"[" * 400 + b"\n"]


def files() -> list[bytes]:
    """Headers to begin with: every container, and WAV with each of the chunks that are looked at."""
    form = struct.pack("<HHIIHH", 1, 1, 16_000, 32_000, 2, 16)
    extensible = struct.pack("<HHIIHHHHI", 0xFFFE, 1, 16_000, 32_000, 2, 16, 22, 16, 4) + bytes([1]) + bytes(15)
    wavs = []
    for part in (form, extensible):
        body = b"fmt " + struct.pack("<I", len(part)) + part + b"LIST" + struct.pack("<I", 4) + b"INFO"
        body += b"data" + struct.pack("<I", 8) + bytes(8)
        wavs += [kind + struct.pack("<I", 4 + len(body)) + b"WAVE" + body for kind in (b"RIFF", b"RF64")]
    others = [
        b"fLaC" + bytes(40),
        b"OggS" + bytes(40),
        b".snd" + struct.pack(">IIIII", 24, 8, 3, 16_000, 1) + bytes(8),
        b"FORM" + struct.pack(">I", 40) + b"AIFFCOMM" + bytes(30),
        b"caff" + bytes(40),
        b"ID3" + bytes(40),
        b"\xff\xfb\x90\x00" + bytes(40),
    ]
    return [bytes([number % len(SUFFIXES)]) + content for number, content in enumerate([*wavs, *others])]


if __name__ == "__main__":
    main()
