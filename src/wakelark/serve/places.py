"""Who may be connected: a number of places, most of them for one address at most, and who gives way when they are full.

A satellite that does not listen just now says nothing for hours, and must stay connected. So silence as such ends no
connection. Only when somebody else wants in, the client that has been silent the longest gives way to it.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar


class Holder(Protocol):
    """Holds a place."""

    @property
    def origin(self) -> str:
        """Where it comes from, as `origin` gives it."""
        ...

    @property
    def heard_s(self) -> float:
        """When it said something the last time."""
        ...


_Holder = TypeVar("_Holder", bound=Holder)


class Full(Exception):
    """There is no place; the message says why."""


@dataclass
class Places(Generic[_Holder]):
    """The places of a server.

    Args:
        total: so many clients.
        per_origin: so many of them from one address.
        yield_s: whoever has said nothing for so long gives way.
    """

    total: int
    per_origin: int
    yield_s: float
    holders: list[_Holder] = field(default_factory=list)

    def make_room(self, origin: str, *, now_s: float) -> _Holder | None:
        """The holder that has to go for a newcomer from `origin`; None when there is room.

        Raises:
            Full: nobody gives way.
        """
        same = [holder for holder in self.holders if holder.origin == origin]
        if self.per_origin < self.total and len(same) >= self.per_origin:
            rivals, why = same, f"its address has {len(same)} of the {self.total} places already"
        elif len(self.holders) >= self.total:
            rivals, why = self.holders, f"all {self.total} places are taken"
        else:
            return None
        quietest = min(rivals, key=lambda holder: holder.heard_s)
        if now_s - quietest.heard_s < self.yield_s:
            raise Full(why)
        return quietest


def origin(host: str) -> str:
    """What counts as one address: of IPv6, the network, as every machine has billions of addresses in that.

    >>> origin("192.0.2.7"), origin("::ffff:192.0.2.7"), origin("2001:db8:1:2:3::4"), origin("fe80::4")
    ('192.0.2.7', '192.0.2.7', '2001:db8:1:2::/64', 'fe80::4')
    """
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv4Address):
        return host
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    if address.is_link_local or address.is_loopback:
        return host
    return str(ipaddress.IPv6Network((int(address) >> 64 << 64, 64)))
