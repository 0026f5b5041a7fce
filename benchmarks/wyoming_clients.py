"""Does the wake service keep up? `python benchmarks/wyoming_clients.py --phrase-audio DIR MODEL...`

Starts `wakelark serve` as a process of its own and feeds it with real-time clients. Each sends 32 ms chunks at the pace
of a microphone: recordings of the phrase between pauses. With every chunk it sends a ping; the server answers in
order, so the answer comes when the chunk has been heard by all models: its lag is how far the server is behind. Prints
the lag per client and the CPU of the server.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from wyoming.audio import AudioChunk, AudioStart
from wyoming.client import AsyncClient
from wyoming.ping import Ping

from wakelark.audio import SAMPLE_RATE, Int16Array, find_audio_files, read_audio, to_int16

CHUNK = 512
PAUSE_S = 1.5


@dataclass
class Measured:
    """Lags in ms of one client's chunks, and how many detections it got."""

    lags_ms: list[float] = field(default_factory=list)
    detections: int = 0
    late_ms: float = 0.0


def main() -> None:
    """Run the server and the clients, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="+", type=Path)
    parser.add_argument("--phrase-audio", type=Path, required=True, help="folder with recordings of the phrase")
    parser.add_argument("--judge", type=Path)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=60.0)
    arguments = parser.parse_args()
    judge = ["--judge", str(arguments.judge)] if arguments.judge else []
    words = [*map(str, arguments.models), *judge, "--uri", "tcp://127.0.0.1:0", "--json"]
    server = subprocess.Popen(
        [sys.executable, "-m", "wakelark", "serve", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert server.stdout is not None
        uri = json.loads(server.stdout.readline())["uri"]
        started_s = cpu_s(server.pid)
        began = time.monotonic()
        audio = material(arguments.phrase_audio, arguments.seconds)
        measured = asyncio.run(run_clients(uri, audio, arguments.clients))
        elapsed_s = time.monotonic() - began
        used_s = cpu_s(server.pid) - started_s
        memory_mb = resident_mb(server.pid)
    finally:
        server.terminate()
        server.wait(10)
    print(f"{len(measured)} clients, {arguments.seconds:g} s each, models: {', '.join(map(str, arguments.models))}")
    print("client   lag p50 ms   p99 ms   max ms   detections   sent late by at most ms")
    for number, client in enumerate(measured, 1):
        p50, p99 = np.percentile(client.lags_ms, [50, 99])
        row = f"{number:6} {p50:12.1f} {p99:8.1f} {max(client.lags_ms):8.1f} {client.detections:12}"
        print(f"{row} {client.late_ms:12.1f}")
    lags = [lag for client in measured for lag in client.lags_ms]
    p50, p99 = np.percentile(lags, [50, 99])
    print(f"   all {p50:12.1f} {p99:8.1f} {max(lags):8.1f} {sum(c.detections for c in measured):12}")
    print(f"server: {100 * used_s / elapsed_s:.0f} % of one core, {memory_mb:.0f} MB resident; {os.cpu_count()} cores")


def material(folder: Path, seconds: float) -> Int16Array:
    """Recordings of the phrase between pauses, as long as asked. Shape: `-> [N]`"""
    samples = round(seconds * SAMPLE_RATE)
    pieces: list[Int16Array] = []
    while sum(map(len, pieces)) < samples:
        for path in find_audio_files(folder)[:40]:
            pieces += [to_int16(read_audio(path, max_seconds=30)), np.zeros(round(PAUSE_S * SAMPLE_RATE), np.int16)]
    return np.concatenate(pieces)[:samples]


async def run_clients(uri: str, audio: Int16Array, count: int) -> list[Measured]:
    """All clients at once; each begins elsewhere in the audio and a little later, as satellites do."""
    turned = [np.roll(audio, -number * len(audio) // count) for number in range(count)]
    return await asyncio.gather(
        *(one_client(uri, heard, delay_s=0.032 * number / count) for number, heard in enumerate(turned))
    )


async def one_client(uri: str, audio: Int16Array, *, delay_s: float) -> Measured:
    """Send at the pace of a microphone; the lag of a chunk is from when it was sent to the answer of its ping."""
    measured = Measured()
    sent_s: dict[str, float] = {}
    async with AsyncClient.from_uri(uri) as client:
        chunks = len(audio) // CHUNK

        async def read() -> None:
            while len(measured.lags_ms) < chunks:
                event = await client.read_event()
                assert event is not None, "the server hung up"
                if event.type == "pong":
                    measured.lags_ms.append(1000 * (time.monotonic() - sent_s.pop(event.data["text"])))
                measured.detections += event.type == "detection"

        reader = asyncio.ensure_future(read())
        await client.write_event(AudioStart(rate=SAMPLE_RATE, width=2, channels=1).event())
        began = time.monotonic() + delay_s
        for number in range(chunks):
            due = began + (number + 1) * CHUNK / SAMPLE_RATE
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            measured.late_ms = max(measured.late_ms, 1000 * (time.monotonic() - due))
            pcm = audio[number * CHUNK : (number + 1) * CHUNK].tobytes()
            sent_s[str(number)] = time.monotonic()
            await client.write_event(AudioChunk(rate=SAMPLE_RATE, width=2, channels=1, audio=pcm).event())
            await client.write_event(Ping(text=str(number)).event())
        await asyncio.wait_for(reader, 60)
    return measured


def cpu_s(process: int) -> float:
    """CPU seconds of a process until now (Linux)."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_mb(process: int) -> float:
    """Memory of a process in MB (Linux)."""
    return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


if __name__ == "__main__":
    main()
