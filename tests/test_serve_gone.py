"""Clients that vanish: reset, power lost, deaf. Their connections end, and nothing of them stays."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import struct
import sys
from pathlib import Path

import pytest

from wakelark.serve.protocol import Limits
from wakelark.serve.server import WakeServer

from .test_serve_hostile import CHUNK, message
from .wyoming_server import answers, client_of, loud_after_silence, raw, running, say, two_models

TCP_REPAIR = 19  # of Linux, <netinet/tcp.h>


async def until(condition: str, caplog: pytest.LogCaptureFixture) -> None:
    """Wait for a line in the log."""
    async with asyncio.timeout(8):
        while condition not in caplog.text:
            await asyncio.sleep(0.01)


async def is_well(server: WakeServer) -> None:
    """Somebody else is served."""
    async with client_of(server) as good:
        await say(good, loud_after_silence())
        assert [event.type for event in await answers(good)] == ["detection"]


def tasks_of_connections() -> list[str]:
    """What the server still does for somebody."""
    names = [repr(task.get_coro()) for task in asyncio.all_tasks()]
    return [name for name in names if "Client.run" in name or "_connected" in name]


@pytest.mark.parametrize(
    "sent",
    [b"", b'{"type": "desc', message(data=CHUNK, payload_length=100) + b"a" * 50, message(data=CHUNK, payload=b"ab")],
    ids=["before a message", "in a header", "in a payload", "after a message"],
)
def test_a_reset_connection(tmp_path: Path, caplog: pytest.LogCaptureFixture, sent: bytes) -> None:
    """RST instead of FIN, as a crashed program or a router sends it."""
    caplog.set_level(logging.DEBUG, "wakelark.serve")

    async def scenario() -> None:
        async with running(two_models(tmp_path)) as server:
            _, writer = await raw(server)
            writer.write(sent)
            await writer.drain()
            connection = writer.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            await asyncio.sleep(0.05)
            writer.transport.abort()
            await until("client 1 (127.0.0.1) is gone: Connection reset by peer", caplog)
            assert tasks_of_connections() == []
            await is_well(server)

    asyncio.run(scenario())
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.skipif(sys.platform != "linux", reason="the questions to a silent machine have these names on Linux")
def test_a_machine_that_lost_its_power(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Its connection is taken away without a word, as by a power cut; the system's questions find that out."""
    caplog.set_level(logging.INFO, "wakelark.serve")

    async def scenario() -> None:
        async with running(two_models(tmp_path), limits=Limits(gone_s=2.0)) as server:
            with socket.create_connection(("127.0.0.1", server.address.port)) as lost:
                lost.sendall(message("ping"))
                assert await asyncio.to_thread(lost.recv, 100)
                try:
                    lost.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, 1)
                except OSError as error:
                    pytest.skip(f"a connection can only be taken away by the administrator: {error.strerror}")
            await until("client 1 (127.0.0.1) is gone", caplog)
            await is_well(server)

    asyncio.run(scenario())


@pytest.mark.skipif(sys.platform != "linux", reason="the questions to a silent machine have these names on Linux")
def test_a_silent_machine_is_asked_after_a_minute(tmp_path: Path) -> None:
    """By the options of the server's own end, which this process can find among its files."""

    async def scenario() -> list[int]:
        async with running(two_models(tmp_path)) as server:
            reader, writer = await raw(server)
            writer.write(message("ping"))
            await reader.readline()
            names = (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT, socket.TCP_USER_TIMEOUT)
            with server_end(writer.get_extra_info("sockname")) as end:
                values = [end.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)]
                values += [end.getsockopt(socket.IPPROTO_TCP, name) for name in names]
            writer.close()
            return values

    assert asyncio.run(scenario()) == [1, 60, 15, 4, 120_000]


def server_end(client: object) -> socket.socket:
    """The server's socket of the connection from the address `client`: among the files of this process."""
    for number in os.listdir("/proc/self/fd"):
        try:
            end = socket.socket(fileno=os.dup(int(number)))
        except OSError:  # no socket, or the list of files itself
            continue
        try:
            if end.getpeername() == client:
                return end
        except OSError:  # it listens
            pass
        end.close()
    raise AssertionError(f"nobody is connected to {client}")


@pytest.mark.skipif(sys.platform != "linux", reason="finds the server's socket in /proc")
def test_what_a_deaf_client_does_not_read_keeps_no_connection_open(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It breaks the protocol, and its last answer, which it does not read, is still in the server's hands."""

    async def scenario() -> None:
        async with running(two_models(tmp_path), limits=Limits(write_s=0.5, clients=1)) as server:
            with socket.socket() as deaf:
                deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
                deaf.connect(("127.0.0.1", server.address.port))
                deaf.sendall(message("ping"))
                assert await asyncio.to_thread(deaf.recv, 100)
                with server_end(deaf.getsockname()) as end:
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2048)
                deaf.sendall(message("ping", data={"text": "x" * 40_000}))
                deaf.sendall(b"garbage\n")
                await until("client 1 (127.0.0.1) is disconnected: the header is not JSON", caplog)
                async with asyncio.timeout(5):
                    while tasks_of_connections():
                        await asyncio.sleep(0.05)
                await is_well(server)  # the only place is free again

    asyncio.run(scenario())
