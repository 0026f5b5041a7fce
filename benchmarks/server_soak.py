"""Does the wake service stay up, and small? `python benchmarks/server_soak.py --phrase-audio FILE MODEL`

Starts the server as a process of its own on loopback and, in turn: keeps idle clients connected, feeds it with clients
at real time (the lag is from when a chunk is sent to when its ping is answered, which comes when the chunk has been
heard), connects thousands of times, every third of them with a reset in the middle of a message, and sends one client
a stream of many hours as fast as it is taken: the recording once a minute, so that every minute's detections must come
at the same offset. After each part it counts the server's open files and its memory. Everything is bounded in count
and time; the server under test has the places that it takes, and no limit of the pace for the stream.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import socket
import struct
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from wyoming.audio import AudioChunk, AudioStart
from wyoming.client import AsyncClient
from wyoming.ping import Ping

import wakelark
from wakelark.audio import SAMPLE_RATE, Int16Array, read_audio, to_int16
from wakelark.serve.models import FiresAt, load_models
from wakelark.serve.protocol import Limits
from wakelark.serve.server import Address, WakeServer

CHUNK = 1280  # 80 ms, as satellites send
MINUTE = 60 * SAMPLE_RATE


@dataclass
class Server:
    """The process under test."""

    process: subprocess.Popen[str]
    uri: str

    def state(self) -> dict[str, float]:
        """Open files, memory and CPU until now (Linux)."""
        number = self.process.pid
        fields = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()
        pages = int(Path(f"/proc/{number}/statm").read_text().split()[1])
        return {
            "files": len(os.listdir(f"/proc/{number}/fd")),
            "rss_mb": round(pages * os.sysconf("SC_PAGE_SIZE") / 1e6, 1),
            "cpu_s": (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"),
        }

    def connect(self) -> socket.socket:
        """A plain connection."""
        address = Address.parse(self.uri)
        return socket.create_connection((address.host, address.port), timeout=10)


@dataclass
class Lags:
    """Of all clients at real time, in ms; and how late the clients themselves were, which is not the server's."""

    server_ms: list[float] = field(default_factory=list)
    sender_ms: list[float] = field(default_factory=list)
    detections: int = 0


def main() -> None:
    """Run the parts, print them, and keep them as JSON."""
    arguments = parsed()
    if arguments.serve:
        asyncio.run(serve(arguments))
        return
    files = 4 * (arguments.clients + arguments.idle) + 200
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, max(files, resource.getrlimit(resource.RLIMIT_NOFILE)[1])))
    recording = to_int16(read_audio(arguments.phrase_audio, max_seconds=30))
    measured: dict[str, object] = {
        "command": "python benchmarks/server_soak.py " + " ".join(sys.argv[1:]),
        "models": [path.name for path in arguments.models],
        "cores": os.cpu_count(),
        "load_before": round(os.getloadavg()[0], 1),
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
    }
    server = started()
    try:
        measured["before"] = server.state()
        measured["clients"] = asyncio.run(with_clients(server, arguments, recording))
        measured["connects"] = asyncio.run(connects(server, arguments.connects))
        measured["stream"] = asyncio.run(stream(server, arguments.hours, recording))
        time.sleep(1.0)
        measured["after"] = server.state()
    finally:
        server.process.terminate()
        server.process.wait(20)
    print(json.dumps(measured, indent=1))
    if arguments.output is not None:
        arguments.output.write_text(json.dumps(measured, indent=1) + "\n", encoding="utf-8")


def parsed() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", type=Path)
    parser.add_argument("--phrase-audio", type=Path, help="a recording in which the model fires")
    parser.add_argument("--clients", type=int, default=20, help="at real time")
    parser.add_argument("--seconds", type=float, default=20.0, help="how long these send")
    parser.add_argument("--idle", type=int, default=100, help="connected all the while, and silent")
    parser.add_argument("--connects", type=int, default=2000)
    parser.add_argument("--hours", type=float, default=1.0, help="of the long stream")
    parser.add_argument("--output", type=Path, help="where to keep the figures as JSON")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if not arguments.serve and arguments.phrase_audio is None:
        parser.error("--phrase-audio is needed")
    if arguments.hours < 0.1:
        parser.error("--hours must be at least 0.1, or there is no slope of the memory")
    return arguments


async def serve(arguments: argparse.Namespace) -> None:
    """The server's side, in the process under test."""
    limits = Limits(clients=arguments.clients + arguments.idle + 100, pace=1e9)
    models = load_models(arguments.models, judges=[], fires_at=FiresAt())
    address = Address.parse("tcp://127.0.0.1:0")
    async with WakeServer(models, address, version=wakelark.__version__, limits=limits) as server:
        print(server.address.uri, flush=True)
        await asyncio.Event().wait()


def started() -> Server:
    """The same command again, as a server."""
    process = subprocess.Popen([sys.executable, __file__, *sys.argv[1:], "--serve"], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return Server(process, process.stdout.readline().strip())


async def with_clients(server: Server, arguments: argparse.Namespace, recording: Int16Array) -> dict[str, object]:
    """The idle ones are connected while those at real time send."""
    idle = [server.connect() for _ in range(arguments.idle)]
    for connection in idle:
        connection.sendall(b'{"type": "ping"}\n')
    await asyncio.sleep(1.0)
    with_idle = server.state()
    lags = Lags()
    audio = np.resize(
        np.concatenate([recording, np.zeros(SAMPLE_RATE, np.int16)]), round(arguments.seconds * SAMPLE_RATE)
    )
    began = time.monotonic()
    offsets = [CHUNK / SAMPLE_RATE * number / arguments.clients for number in range(arguments.clients)]
    await asyncio.gather(*(real_time(server.uri, audio, lags, delay_s=offset) for offset in offsets))
    seconds = time.monotonic() - began
    busy = server.state()
    answered = 0
    for connection in idle:
        connection.sendall(b'{"type": "ping"}\n')
        answered += b"pong" in connection.recv(4096)
        connection.close()
    await asyncio.sleep(1.0)
    return {
        "real_time": arguments.clients,
        "seconds": arguments.seconds,
        "idle": arguments.idle,
        "idle_still_answered": answered,
        "lag_ms": percentiles(lags.server_ms),
        "sent_late_ms": percentiles(lags.sender_ms),
        "detections": lags.detections,
        "server_cpu_percent": round(100 * (busy["cpu_s"] - with_idle["cpu_s"]) / seconds),
        "with_idle": with_idle,
        "with_all": busy,
        "after": server.state(),
    }


async def real_time(uri: str, audio: Int16Array, lags: Lags, *, delay_s: float) -> None:
    """One client at the pace of a microphone."""
    async with AsyncClient.from_uri(uri) as client:
        sent_s: list[float] = []
        chunks = len(audio) // CHUNK

        async def read() -> None:
            answered = 0
            while answered < chunks:
                event = await client.read_event()
                if event is None:
                    raise SystemExit("the server hung up on a client at real time")
                if event.type == "pong":
                    lags.server_ms.append(1000 * (time.monotonic() - sent_s[answered]))
                    answered += 1
                lags.detections += event.type == "detection"

        reading = asyncio.ensure_future(read())
        await client.write_event(AudioStart(rate=SAMPLE_RATE, width=2, channels=1).event())
        began = time.monotonic() + delay_s
        for number in range(chunks):
            due = began + (number + 1) * CHUNK / SAMPLE_RATE
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            lags.sender_ms.append(1000 * (time.monotonic() - due))
            pcm = audio[number * CHUNK : (number + 1) * CHUNK].tobytes()
            sent_s.append(time.monotonic())
            await client.write_event(AudioChunk(rate=SAMPLE_RATE, width=2, channels=1, audio=pcm).event())
            await client.write_event(Ping().event())
        await asyncio.wait_for(reading, 60)


async def connects(server: Server, count: int) -> dict[str, object]:
    """Many short connections: one asks, one leaves at once, one is reset in the middle of a message."""
    reset = struct.pack("ii", 1, 0)
    began = time.monotonic()
    answered = 0
    for number in range(count):
        with server.connect() as connection:
            match number % 3:
                case 0:
                    connection.sendall(b'{"type": "ping"}\n')
                    answered += b"pong" in connection.recv(4096)
                case 1:
                    connection.sendall(b'{"type": "audio-chunk", "payload_length": 1000}\nabc')
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
                case _:
                    pass
    seconds = time.monotonic() - began
    await asyncio.sleep(1.0)
    return {"count": count, "answered": answered, "per_second": round(count / seconds), "after": server.state()}


async def stream(server: Server, hours: float, recording: Int16Array) -> dict[str, object]:
    """A recording a minute, for hours, as fast as it is taken; memory by the hour."""
    minute = np.zeros(MINUTE, np.int16)
    minute[20 * SAMPLE_RATE : 20 * SAMPLE_RATE + len(recording)] = recording
    pieces = [minute[start : start + SAMPLE_RATE].tobytes() for start in range(0, MINUTE, SAMPLE_RATE)]
    offsets: list[int] = []
    memory: list[tuple[float, float]] = []
    began = time.monotonic()
    async with AsyncClient.from_uri(server.uri) as client:
        await client.write_event(AudioStart(rate=SAMPLE_RATE, width=2, channels=1).event())
        for number in range(round(60 * hours)):
            for piece in pieces:
                await client.write_event(AudioChunk(rate=SAMPLE_RATE, width=2, channels=1, audio=piece).event())
            await client.write_event(Ping().event())
            while (event := await client.read_event()) is not None and event.type != "pong":
                offsets.append(event.data["timestamp"] - 60_000 * number)
            memory.append((number / 60, server.state()["rss_mb"]))
    times, megabytes = np.array(memory[len(memory) // 4 :]).T
    return {
        "hours": hours,
        "seconds": round(time.monotonic() - began, 1),
        "detections": len(offsets),
        "offsets_ms": sorted(set(offsets)),
        "rss_mb_first_and_last": [memory[0][1], memory[-1][1]],
        "rss_mb_per_hour": round(float(np.polyfit(times, megabytes, 1)[0]), 4),
    }


def percentiles(values: list[float]) -> dict[str, float]:
    """The usual ones, and the largest."""
    p50, p95, p99, most = np.percentile(values, [50, 95, 99, 100])
    return {"p50": round(p50, 1), "p95": round(p95, 1), "p99": round(p99, 1), "max": round(most, 1)}


if __name__ == "__main__":
    main()
