"""Wyoming messages from strangers: one JSON line, then JSON data, then a payload, every length bounded.

The event classes are those of the `wyoming` package. Its read loop is not used: it has no limit on the announced
lengths and no timeout, so one connection can make a server buffer gigabytes, and data of the wrong type ends in an
unhandled exception.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass

from wyoming.event import Event

from wakelark.errors import WakelarkError


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one client may ask of the server.

    Attributes:
        line_bytes: longest header line; far beyond what any client sends.
        data_bytes: longest JSON block after it.
        payload_bytes: longest audio of one message: 5 s at 48 kHz stereo.
        first_s: a new client must send something within this time.
        message_s: a message that has begun must be complete within this time.
        write_s: a client that does not read its answers for this long is disconnected.
        clients: connections at a time.
        per_address: so many of them from one address, unless only this machine can connect.
        yield_s: when all places are taken, a client that has said nothing for this long gives way to a new one.
        gone_s: a machine that the network has not reached for about so long is taken for gone.
        pace: audio may come this many times faster than real time ...
        burst_s: ... after so many seconds of it, which may come at once.
        costs_s: every message counts as this much audio besides what it brings: with this pace, 2,000 a second.
    """

    line_bytes: int = 64 * 1024
    data_bytes: int = 256 * 1024
    payload_bytes: int = 1024 * 1024
    first_s: float = 30.0
    message_s: float = 30.0
    write_s: float = 10.0
    clients: int = 64
    per_address: int = 48
    yield_s: float = 60.0
    gone_s: float = 120.0
    pace: float = 4.0
    burst_s: float = 30.0
    costs_s: float = 0.002


class ProtocolError(WakelarkError):
    """A client broke the protocol: its connection is closed, the server goes on."""


async def read_event(reader: asyncio.StreamReader, limits: Limits, *, wait_s: float | None) -> Event | None:
    """The next message, or None when the client has closed the connection between two messages.

    Args:
        reader: made with `limit=limits.line_bytes`.
        limits: see there.
        wait_s: longest wait for the message's first byte; for ever with None.

    Raises:
        ProtocolError: the message is too long, too slow, cut off, or not what the protocol allows.
        OSError: the connection is lost.
    """
    try:
        async with asyncio.timeout(wait_s):
            first = await reader.read(1)
    except TimeoutError as error:
        _raise_of_network(error)
        raise ProtocolError(f"sent nothing for {wait_s:g} s") from None
    if not first:
        return None
    try:
        async with asyncio.timeout(limits.message_s):
            return await _rest(first, reader, limits)
    except TimeoutError as error:
        _raise_of_network(error)
        raise ProtocolError(f"a message was not complete after {limits.message_s:g} s") from None
    except asyncio.IncompleteReadError:
        raise ProtocolError("disconnected in the middle of a message") from None
    except asyncio.LimitOverrunError:
        raise ProtocolError(f"a header is longer than {limits.line_bytes} bytes") from None


def _raise_of_network(error: TimeoutError) -> None:
    # Python gives the same class to the socket's "connection timed out", which has a number, and to our own limits.
    if error.errno is not None:
        raise error


async def _rest(first: bytes, reader: asyncio.StreamReader, limits: Limits) -> Event:
    line = first if first == b"\n" else first + await reader.readuntil(b"\n")
    header = _object(line, "the header")
    kind = header.get("type")
    if not isinstance(kind, str):
        raise ProtocolError(f"the type of a message is {_shown(kind)}, not a text")
    data = header.get("data") or {}
    if not isinstance(data, dict):
        raise ProtocolError(f"the data of {_shown(kind)} are {_shown(data)}, not an object")
    data_bytes = _length(header, "data_length", limits.data_bytes)
    payload_bytes = _length(header, "payload_length", limits.payload_bytes)
    if data_bytes:
        data = {**data, **_object(await reader.readexactly(data_bytes), f"the data of {_shown(kind)}")}
    payload = await reader.readexactly(payload_bytes) if payload_bytes else None
    return Event(kind, data, payload)


def whole_number(data: Mapping[str, object], key: str, low: int, high: int) -> int:
    """A number of a message's data.

    Raises:
        ProtocolError: it is missing, not a whole number, or outside `low` to `high`.
    """
    value = data.get(key)
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise ProtocolError(f"{key} is {_shown(value)}, not a whole number from {low} to {high}")
    return value


def _length(header: dict[str, object], key: str, most: int) -> int:
    return 0 if header.get(key) is None else whole_number(header, key, 0, most)


def _object(text: bytes, what: str) -> dict[str, object]:
    try:
        value = json.loads(text.decode("utf-8"))
        if b"\\u" in text:
            # Half a pair of surrogates is no text: it could be neither sent back nor written to a file.
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except (ValueError, RecursionError):
        raise ProtocolError(f"{what} is not JSON: {_shown(text)}") from None
    if not isinstance(value, dict):
        raise ProtocolError(f"{what} is {_shown(value)}, not a JSON object")
    return value


def _shown(value: object) -> str:
    """A stranger's value in a log line: short, and without control characters.

    >>> print(_shown("é!"), len(_shown("x" * 1000)))
    '\\xe9!' 60
    """
    try:
        text = ascii(value)
    except (RecursionError, ValueError):  # deep nesting; whole numbers of more than 4,300 digits
        text = f"a {type(value).__name__}"
    return text if len(text) <= 60 else text[:57] + "..."
