"""A server with tiny models inside a test's own event loop, and the `wyoming` package's client at it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.client import AsyncClient
from wyoming.event import Event

from wakelark.serve.models import FiresAt, ServedModel, load_models
from wakelark.serve.protocol import Limits
from wakelark.serve.server import Address, WakeServer
from wakelark.serve.triggers import TriggerFolder

from .tiny_model import write_tiny_model

RATE = 16_000
LOUD_MS = 1000
"""`loud_after_silence` is loud from here on, for 0.4 s."""


def two_models(folder: Path) -> list[ServedModel]:
    """One that fires at a power of 0.05 and one that hears only louder sound."""
    easy = write_tiny_model(folder / "loud_noise.onnx")
    hard = write_tiny_model(folder / "very_loud.onnx", phrase="very loud", threshold=1.0)
    return load_models([easy, hard], judges=[], fires_at=FiresAt())


def loud_after_silence(level: float = 0.4, *, rate: int = RATE, channels: int = 1) -> bytes:
    """1 s of silence, 0.4 s at `level`, 0.6 s of silence, as 16-bit samples."""
    audio = np.zeros(2 * rate)
    audio[rate : rate + rate * 2 // 5] = level * np.sin(2 * np.pi * 440 * np.arange(rate * 2 // 5) / rate)
    return np.repeat((audio * 32767).astype("<i2"), channels).tobytes()


@asynccontextmanager
async def running(
    models: list[ServedModel], *, limits: Limits | None = None, triggers: TriggerFolder | None = None
) -> AsyncIterator[WakeServer]:
    address = Address.parse("tcp://127.0.0.1:0")
    async with WakeServer(models, address, version="1.2.3", limits=limits, triggers=triggers, workers=2) as server:
        yield server


def client_of(server: WakeServer) -> AsyncClient:
    return AsyncClient.from_uri(server.address.uri, connect_timeout=5, read_timeout=5)


async def say(
    client: AsyncClient,
    pcm: bytes,
    *,
    rate: int = RATE,
    channels: int = 1,
    timestamps: int | None = None,
    size: int = 2048,
) -> None:
    """A whole stream: start, chunks of `size` bytes, stop."""
    await client.write_event(AudioStart(rate=rate, width=2, channels=channels).event())
    for start in range(0, len(pcm), size):
        ms = None if timestamps is None else timestamps + round(1000 * start / (2 * channels * rate))
        chunk = AudioChunk(rate=rate, width=2, channels=channels, audio=pcm[start : start + size], timestamp=ms)
        await client.write_event(chunk.event())
    await client.write_event(AudioStop().event())


async def answers(client: AsyncClient) -> list[Event]:
    """What the server sent until now: it answers in order, so until the answer to a ping."""
    await client.write_event(Event("ping", {"text": "end"}))
    events: list[Event] = []
    while (event := await client.read_event()) is not None and event.type != "pong":
        events.append(event)
    return events


async def raw(server: WakeServer) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", server.address.port)
