"""Announces the server on the local network (mDNS), so that Home Assistant finds it by itself."""

from __future__ import annotations

import socket
from types import TracebackType

from zeroconf import Error
from zeroconf.asyncio import AsyncServiceInfo, AsyncZeroconf

from wakelark.errors import ConfigError, SetupError
from wakelark.serve.server import Address

_SERVICE = "_wyoming._tcp.local."
_MDNS = ("224.0.0.251", 5353)
_LONGEST_NAME = 63  # bytes, of a DNS label


def service(name: str, address: Address) -> AsyncServiceInfo:
    """What is announced: the server's name, address and port.

    Raises:
        ConfigError: others cannot reach the address, or the name cannot be announced.
        SetupError: this machine has no network.
    """
    if address.is_loopback:
        raise ConfigError(
            f"--zeroconf announces the server to other machines, which cannot reach {address.uri}; "
            "listen on the network with --uri tcp://0.0.0.0:10400"
        )
    if not name.strip() or "." in name or len(name.encode()) > _LONGEST_NAME:
        raise ConfigError(f"--zeroconf {name!r}: a name of 1 to {_LONGEST_NAME} bytes without dots, such as wakelark")
    host = _own_address() if address.host in ("0.0.0.0", "::") else address.host
    try:
        packed = socket.inet_aton(socket.gethostbyname(host))
    except OSError as error:
        raise ConfigError(f"--zeroconf needs an IPv4 address, not {host}") from error
    return AsyncServiceInfo(_SERVICE, f"{name}.{_SERVICE}", addresses=[packed], port=address.port)


class Announcement:
    """Context manager: announced while inside."""

    def __init__(self, announced: AsyncServiceInfo) -> None:
        self._service = announced

    async def __aenter__(self) -> None:
        self._zeroconf = AsyncZeroconf()
        try:
            await self._zeroconf.async_register_service(self._service, allow_name_change=True)
        except (Error, OSError) as error:
            await self._zeroconf.async_close()
            raise SetupError(f"cannot announce the server by zeroconf: {error}; leave --zeroconf out") from error

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._zeroconf.async_unregister_service(self._service)
        await self._zeroconf.async_close()


def _own_address() -> str:
    """The address that other machines see: that of the interface towards the multicast group; nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(_MDNS)
        except OSError as error:
            raise SetupError("this machine has no network to announce the server on; leave --zeroconf out") from error
        return str(probe.getsockname()[0])
