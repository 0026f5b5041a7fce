"""The server: a TCP or Unix socket, or its own standard input, with a bounded number of clients."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import socket
import stat
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from wyoming.event import async_get_stdout

from wakelark.errors import BusyError, ConfigError, SetupError
from wakelark.serve.client import Client
from wakelark.serve.complaints import Complaints
from wakelark.serve.fairness import FairPool
from wakelark.serve.info import info
from wakelark.serve.models import ServedModel
from wakelark.serve.places import Full, Places, origin
from wakelark.serve.protocol import Limits
from wakelark.serve.triggers import TriggerFolder

LOG = logging.getLogger("wakelark.serve")


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen: `tcp` with host and port (0: any free one), `unix` with a path, or `stdio`."""

    scheme: str
    host: str = ""
    port: int = 0
    path: str = ""

    @classmethod
    def parse(cls, uri: str) -> Address:
        """Read a URI.

        Raises:
            ConfigError: it is none of the three forms.
        """
        forms = "tcp://127.0.0.1:10400, unix:///run/wakelark.sock or stdio://"
        try:
            parts = urlsplit(uri)
            port = parts.port
        except ValueError as error:
            raise ConfigError(f"the URI {uri!r} is wrong ({error}); it looks like {forms}") from error
        if parts.scheme == "tcp" and parts.hostname and port is not None:
            return cls("tcp", host=parts.hostname, port=port)
        if parts.scheme == "unix" and (path := parts.netloc + parts.path):
            return cls("unix", path=path)
        if parts.scheme == "stdio":
            return cls("stdio")
        raise ConfigError(f"the URI {uri!r} is wrong; it looks like {forms}")

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        return self.scheme != "tcp" or self.host in ("localhost", "::1") or self.host.startswith("127.")

    @property
    def uri(self) -> str:
        """As clients write it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"tcp://{host}:{self.port}" if self.scheme == "tcp" else f"{self.scheme}://{self.path}"


class WakeServer:
    """Serves models to Wyoming clients. `async with` starts and stops it.

    Args:
        models: what clients can choose from.
        address: where to listen.
        version: of wakelark, for `info`.
        limits: what a client may ask for.
        triggers: where detections are kept, or None.
        workers: threads that run models; one per core for None.

    Attributes:
        address: where it listens, with the port that was taken.

    Raises:
        BusyError: on entering: another program listens there.
        SetupError: on entering: one cannot listen there.
    """

    def __init__(
        self,
        models: Sequence[ServedModel],
        address: Address,
        *,
        version: str,
        limits: Limits | None = None,
        triggers: TriggerFolder | None = None,
        workers: int | None = None,
    ) -> None:
        self.address = address
        self._models = models
        self._version = version
        self._info = info(models, version=version).event()
        self._limits = limits or Limits()
        self._triggers = triggers
        self._workers = workers or os.cpu_count() or 1
        self._clients: dict[Client, asyncio.Task[None]] = {}
        self._count = 0
        self._complaints = Complaints()
        # Whoever listens on this machine only has one address for all clients.
        per_address = self._limits.clients if address.is_loopback else self._limits.per_address
        self._places = Places[Client](self._limits.clients, per_address, self._limits.yield_s)

    async def __aenter__(self) -> WakeServer:
        self._pool = FairPool(self._workers)
        try:
            self._server = await self._listen()
        except OSError as error:
            raise _explained(self.address, error) from error
        if self.address.scheme == "tcp":
            port: int = self._server.sockets[0].getsockname()[1]
            self.address = Address("tcp", host=self.address.host, port=port)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        tasks = list(self._clients.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._pool.shutdown()
        self._complaints.finish()
        if self.address.scheme == "unix":
            Path(self.address.path).unlink(missing_ok=True)

    def replace(self, models: Sequence[ServedModel]) -> None:
        """Serve these models from now on. All clients are disconnected: they come back, and get the new ones."""
        self._models, self._info = models, info(models, version=self._version).event()
        for task in self._clients.values():
            task.cancel()

    async def _listen(self) -> asyncio.Server:
        limit = self._limits.line_bytes
        if self.address.scheme == "unix":
            _clear_stale_socket(Path(self.address.path))
            return await asyncio.start_unix_server(self._connected, self.address.path, limit=limit)
        return await asyncio.start_server(self._connected, self.address.host, self.address.port, limit=limit)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._count += 1
        peer = writer.get_extra_info("peername")
        host = peer[0] if isinstance(peer, tuple) else ""
        name = f"client {self._count} ({host})" if host else f"client {self._count}"
        if host:
            _notice_when_gone(writer.get_extra_info("socket"), self._limits.gone_s)
        try:
            self._make_room(origin(host))
        except Full as full:
            self._complaints.say(logging.WARNING, "%s is turned away: %s", name, full)
            writer.close()
            return
        client = self._client(reader, writer, name, origin(host))
        task = asyncio.ensure_future(client.run())
        self._clients[client] = task
        self._places.holders.append(client)
        try:
            await asyncio.wait([task])
            if not task.cancelled() and (error := task.exception()) is not None:
                LOG.error("%s is disconnected by a bug in wakelark: %r", name, error, exc_info=error)
            await self._close(writer, at_once=task.cancelled())
        finally:
            writer.transport.abort()
            self._clients.pop(client, None)
            if client in self._places.holders:
                self._places.holders.remove(client)

    def _make_room(self, of: str) -> None:
        now_s = time.monotonic()
        quiet = self._places.make_room(of, now_s=now_s)
        if quiet is None:
            return
        text = "%s gives way to a new client: it has said nothing for %.0f s"
        self._complaints.say(logging.WARNING, text, quiet.name, now_s - quiet.heard_s)
        self._places.holders.remove(quiet)
        self._clients[quiet].cancel()

    async def _close(self, writer: asyncio.StreamWriter, *, at_once: bool) -> None:
        """A connection keeps its place until it is closed: nobody can pile up half-closed ones by not reading."""
        if at_once:
            return
        try:
            async with asyncio.timeout(self._limits.write_s):
                writer.close()
                await writer.wait_closed()
        except OSError as error:  # the time is over, or the client is gone already
            LOG.debug("a connection is cut: %r", error)

    def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, name: str, of: str) -> Client:
        return Client(
            reader,
            writer,
            name=name,
            origin=of,
            models=self._models,
            info=self._info,
            limits=self._limits,
            pool=self._pool,
            complaints=self._complaints,
            triggers=self._triggers,
        )

    async def serve_stdio(self) -> None:
        """Serve the one client at standard input and output, until it closes its side.

        Raises:
            SetupError: standard input or output is no pipe.
        """
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=self._limits.line_bytes)
        try:
            await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
            writer = await async_get_stdout()
        except ValueError as error:
            raise SetupError(f"stdio:// needs pipes at standard input and output ({error}); or give --uri") from error
        self._pool = FairPool(self._workers)
        try:
            await self._client(reader, writer, "the client", "").run()
        finally:
            self._pool.shutdown()


def _notice_when_gone(connection: socket.socket, seconds: float) -> None:
    """Let the system ask a silent machine whether it is still there: one that lost its power cannot say goodbye.

    Half of the time is silence, the other half four questions; what was sent to it must arrive in that time, too.
    """
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if sys.platform == "linux":  # elsewhere these have other names; the system's own two hours have to do
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, max(1, round(seconds / 2)))
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, max(1, round(seconds / 8)))
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 4)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(1000 * seconds))


def _clear_stale_socket(path: Path) -> None:
    """Remove the socket file of a server that was killed.

    Raises:
        BusyError: a server answers at it.
        ConfigError: it is another kind of file.
    """
    if not path.exists():
        return
    if not stat.S_ISSOCK(path.stat().st_mode):
        raise ConfigError(f"{path} is there and is no socket; choose another path for --uri unix://")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(2.0)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
    raise BusyError(f"another program already listens on {path}; stop it, or choose another --uri")


def _explained(address: Address, error: OSError) -> BusyError | SetupError:
    # asyncio wraps the error of a bind and keeps its number; names that do not resolve have numbers of their own.
    if error.errno == errno.EADDRINUSE:
        return BusyError(
            f"another program already listens on {address.uri}: perhaps a wake service that runs already; stop it, or "
            f"choose another port: --uri tcp://{address.host}:{address.port + 1}"
        )
    remedy = "use an address of this machine, a port from 1024 up, or a folder that you may write to"
    return SetupError(f"cannot listen on {address.uri}: {error.strerror or error}; {remedy}")
