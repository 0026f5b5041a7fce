"""Clients that break the protocol, by accident or not: they are disconnected, and everybody else is served on."""

from __future__ import annotations

import asyncio
import json
import logging
from pathlib import Path

import pytest
from wyoming.event import Event

from wakelark.serve.protocol import Limits

from .wyoming_server import answers, client_of, loud_after_silence, raw, running, say, two_models

CHUNK = {"rate": 16_000, "width": 2, "channels": 1}


def message(kind: object = "audio-chunk", *, payload: bytes = b"", **header: object) -> bytes:
    """A message as bytes, with any header."""
    return json.dumps({"type": kind, "payload_length": len(payload), **header}).encode() + b"\n" + payload


BROKEN = {
    "garbage": b"\x00\xff\xfe GET / HTTP/1.1\r\n\r\n",
    "an empty line": b"\n",
    "a list": b"[1, 2]\n",
    "a number": b"17\n",
    "no type": b'{"data": {}}\n',
    "a type that is a number": message(7),
    "data that are a list": message(data=[1]),
    "data that are a text": message(data="x"),
    "a header deep as a well": b'{"type": ' + b"[" * 20_000 + b"]" * 20_000 + b"}\n",
    "a line that never ends": b"x" * 200_000,
    "a number of many digits": b'{"type": ' + b"9" * 5000 + b"}\n",
    "a payload of a terabyte": message(data=CHUNK, payload_length=10**12),
    "data of a gigabyte": message("detect", data_length=10**9),
    "a negative payload": message(data=CHUNK, payload_length=-1),
    "a payload length that is a text": message(data=CHUNK, payload_length="10"),
    "a payload length that is true": message(data=CHUNK, payload_length=True),
    "data that are no JSON": message("detect", data_length=4) + b"{{{{",
    "data that are no object": message("detect", data_length=4) + b"true",
    "a chunk without a rate": message(data={"width": 2, "channels": 1}, payload=b"ab"),
    "a chunk of 0 Hz": message(data={**CHUNK, "rate": 0}, payload=b"ab"),
    "a chunk of 1 Hz": message(data={**CHUNK, "rate": 1}, payload=b"ab"),
    "a chunk of 4 GHz": message(data={**CHUNK, "rate": 4 * 10**9}, payload=b"ab"),
    "a rate that is a fraction": message(data={**CHUNK, "rate": 16000.5}, payload=b"ab"),
    "seven bytes a sample": message(data={**CHUNK, "width": 7}, payload=b"a" * 14),
    "a thousand channels": message(data={**CHUNK, "channels": 1000}, payload=b"a" * 2000),
    "half a sample": message(data=CHUNK, payload=b"abc"),
    "a start without a form": message("audio-start", data={}),
    "a timestamp that is a text": message(data={**CHUNK, "timestamp": "now"}, payload=b"ab"),
    "names that are a text": message("detect", data={"names": "alexa"}),
    "names that are numbers": message("detect", data={"names": [1]}),
    "a ping with a list": message("ping", data={"text": []}),
    "a text that is no Unicode": b'{"type": "ping", "data": {"text": "\\ud800"}}\n',
    "a text in UTF-16": '{"type": "ping"}\n'.encode("utf-16-be"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_client_that_breaks_the_protocol_is_disconnected_with_one_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    caplog.set_level(logging.INFO, "wakelark")

    async def scenario() -> bytes:
        async with running(two_models(tmp_path)) as server, client_of(server) as good:
            reader, writer = await raw(server)
            writer.write(BROKEN[name])
            try:
                left = await asyncio.wait_for(reader.read(), 5)
            except ConnectionResetError:  # closed with bytes of ours unread
                left = b""
            writer.close()
            await say(good, loud_after_silence())
            assert [event.type for event in await answers(good)] == ["detection"]
            return left

    assert asyncio.run(scenario()) == b""
    told = [record.getMessage() for record in caplog.records if "disconnected" in record.getMessage()]
    assert len(told) == 1, caplog.text
    assert told[0].isprintable()
    assert len(told[0]) < 200
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


@pytest.mark.parametrize(
    "half",
    [b'{"type": "desc', message(data=CHUNK, payload_length=100) + b"a" * 50, message("detect", data_length=9) + b"{"],
    ids=["header", "payload", "data"],
)
def test_a_client_that_leaves_in_the_middle_of_a_message(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, half: bytes
) -> None:
    async def scenario() -> None:
        async with running(two_models(tmp_path)) as server, client_of(server) as good:
            reader, writer = await raw(server)
            writer.write(half)
            writer.write_eof()
            assert await asyncio.wait_for(reader.read(), 5) == b""
            writer.close()
            await say(good, loud_after_silence())
            assert [event.type for event in await answers(good)] == ["detection"]

    asyncio.run(scenario())
    assert "disconnected in the middle of a message" in caplog.text


@pytest.mark.parametrize(
    ("sent", "limits", "reason"),
    [
        (b"", Limits(first_s=0.2), "sent nothing for 0.2 s"),
        (b'{"type": ', Limits(message_s=0.2), "not complete after 0.2 s"),
        (message(data=CHUNK, payload_length=100) + b"a", Limits(message_s=0.2), "not complete after 0.2 s"),
    ],
    ids=["says nothing", "half a header", "half a payload"],
)
def test_slow_clients_are_disconnected(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, sent: bytes, limits: Limits, reason: str
) -> None:
    async def scenario() -> None:
        async with running(two_models(tmp_path), limits=limits) as server:
            reader, writer = await raw(server)
            writer.write(sent)
            await asyncio.wait_for(reader.read(), 5)
            writer.close()

    asyncio.run(scenario())
    assert reason in caplog.text


def test_a_client_that_does_not_read_is_disconnected(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It asks and asks; once the sockets' buffers are full, the server waits no longer than it says."""

    async def ask(writer: asyncio.StreamWriter) -> None:
        while True:
            writer.write(message("ping", data={"text": "x" * 60_000}) * 40)
            await writer.drain()

    async def scenario() -> None:
        async with running(two_models(tmp_path), limits=Limits(write_s=0.3)) as server:
            _, writer = await raw(server)
            with pytest.raises(ConnectionError):
                await asyncio.wait_for(ask(writer), 10)
            writer.transport.abort()

    asyncio.run(scenario())
    assert "did not read its answers" in caplog.text


def test_there_are_never_more_clients_than_allowed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> list[Event]:
        async with running(two_models(tmp_path), limits=Limits(clients=1)) as server:
            async with client_of(server) as first:
                await answers(first)
                reader, writer = await raw(server)
                assert await asyncio.wait_for(reader.read(), 5) == b""
                writer.close()
            await asyncio.sleep(0.1)
            async with client_of(server) as second:
                await say(second, bytes(3200))
                return await answers(second)

    assert [event.type for event in asyncio.run(scenario())] == ["not-detected"]
    assert "turned away: all 1 places are taken" in caplog.text


def test_a_client_faster_than_real_time_is_held_back_and_loses_nothing(tmp_path: Path) -> None:
    """2 s of audio: half a second may come at once, the rest at four times real time takes 0.375 s."""
    limits = Limits(burst_s=0.5, pace=4.0)

    async def scenario() -> tuple[list[Event], float]:
        loop = asyncio.get_running_loop()
        async with running(two_models(tmp_path), limits=limits) as server, client_of(server) as client:
            began = loop.time()
            await say(client, loud_after_silence())
            return await answers(client), loop.time() - began

    events, seconds = asyncio.run(scenario())
    assert [event.type for event in events] == ["detection"]
    assert 0.3 <= seconds < 3


def test_the_server_stops_with_clients_in_the_middle_of_things(tmp_path: Path) -> None:
    async def scenario() -> bytes:
        async with running(two_models(tmp_path)) as server:
            reader, writer = await raw(server)
            writer.write(message(data=CHUNK, payload_length=100) + b"a")
            await asyncio.sleep(0.05)
        try:
            return await asyncio.wait_for(reader.read(), 5)
        except ConnectionResetError:
            return b""
        finally:
            writer.close()

    assert asyncio.run(scenario()) == b""
