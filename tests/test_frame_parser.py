"""Whatever bytes come, in whatever pieces: a message, the end, or the parser's own error; and never much memory."""

from __future__ import annotations

import asyncio
import errno
import io
import itertools
import json
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from wyoming.event import Event, write_event

from wakelark.serve.protocol import Limits, ProtocolError, read_event

from .test_serve_hostile import BROKEN, CHUNK, message
from .wyoming_server import raw, running, two_models

SMALL = Limits(line_bytes=512, data_bytes=256, payload_bytes=1024)

NUMBERS = st.integers(-3, 2000) | st.integers() | st.floats() | st.booleans()
TEXTS = st.text(st.characters(exclude_categories=[]), max_size=20)
JSON = st.recursive(
    st.none() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=8,
)
LENGTHS = st.integers(0, 40) | JSON
HEADERS = st.fixed_dictionaries(
    {"type": st.sampled_from(["ping", "audio-chunk"]) | JSON},
    optional={"data": JSON | st.dictionaries(TEXTS, JSON), "data_length": LENGTHS, "payload_length": LENGTHS},
)
LINES = HEADERS.map(lambda header: json.dumps(header).encode() + b"\n")
BODIES = st.binary(max_size=60) | JSON.map(lambda value: json.dumps(value, ensure_ascii=True).encode())
STREAMS = st.lists(LINES | BODIES, max_size=6).map(b"".join)
CUTS = st.lists(st.integers(0, 400), max_size=6)


def outcomes(data: bytes, cuts: list[int], limits: Limits) -> list[Event | str | None]:
    """What the parser makes of `data` that comes in pieces: events, then None or the error."""

    async def parse() -> list[Event | str | None]:
        reader = asyncio.StreamReader(limit=limits.line_bytes)
        places = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]

        async def send() -> None:
            for start, end in itertools.pairwise(places):
                if end > start:
                    reader.feed_data(data[start:end])
                await asyncio.sleep(0)
            reader.feed_eof()

        sending = asyncio.ensure_future(send())
        found: list[Event | str | None] = []
        while True:
            try:
                event = await read_event(reader, limits, wait_s=5)
            except ProtocolError as error:
                found.append(str(error))
            else:
                found.append(event)
                if event is not None:
                    continue
            await sending
            return found

    return asyncio.run(parse())


@settings(max_examples=200)
@given(STREAMS, CUTS)
@example(b"\xef\xbb\xbf{}\n", [])
@example(b'{"type": "a", "data": {"x": "\\udfff"}}\n', [])
@example(b'{"type": "a", "data_length": 8}\n"\xed\xa0\x80"{}', [7])
@example(b'{"type": "a", "data": {"x": NaN, "y": 1e999}}\n', [])
def test_any_bytes_give_events_or_the_parsers_own_error(data: bytes, cuts: list[int]) -> None:
    found = outcomes(data, cuts, SMALL)
    *events, last = found
    assert last is None or (isinstance(last, str) and last.isprintable() and len(last) < 200)
    for event in events:
        assert isinstance(event, Event)
        assert isinstance(event.type, str)
        assert isinstance(event.data, dict)
        assert event.payload is None or 0 < len(event.payload) <= SMALL.payload_bytes
        # What a client said can be written down, and sent back.
        json.dumps([event.type, event.data], ensure_ascii=False).encode("utf-8")
    assert found == outcomes(data, [], SMALL) or "nan" in str(found), "the pieces make no difference"


@settings(max_examples=100)
@given(
    st.lists(
        st.tuples(
            st.text(max_size=20), st.dictionaries(st.text(max_size=5), st.text(max_size=10)), st.binary(max_size=99)
        ),
        max_size=5,
    ),
    CUTS,
)
def test_what_the_reference_library_writes_is_read_back(
    said: list[tuple[str, dict[str, str], bytes]], cuts: list[int]
) -> None:
    file = io.BytesIO()
    for kind, data, payload in said:
        write_event(Event(kind, data, payload), file)
    *events, last = outcomes(file.getvalue(), cuts, Limits())
    assert last is None
    assert events == [Event(kind, data, payload or None) for kind, data, payload in said]


@settings(max_examples=100)
@given(st.sampled_from(sorted(BROKEN)).map(BROKEN.__getitem__), st.integers(0, 300), st.integers(0, 255), CUTS)
def test_broken_messages_with_a_byte_changed(data: bytes, place: int, value: int, cuts: list[int]) -> None:
    changed = bytearray(data)
    changed[place % len(data)] = value
    *events, last = outcomes(bytes(changed), cuts, Limits())
    assert all(isinstance(event, Event) for event in events)
    assert last is None or isinstance(last, str)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (message("x", data_length=257) + b"{" * 300, "data_length is 257, not a whole number from 0 to 256"),
        (message("x", payload_length=1025) + b"a" * 2000, "payload_length is 1025, not a whole number from 0 to 1024"),
        (b'{"type": "' + b"x" * 600 + b'"}\n', "a header is longer than 512 bytes"),
    ],
    ids=["data", "payload", "header"],
)
def test_a_length_beyond_the_limit_is_refused_before_anything_is_read(data: bytes, reason: str) -> None:
    assert outcomes(data, [], SMALL) == [reason]


@pytest.mark.parametrize("sent", [b"", b'{"type": "pi'], ids=["between messages", "in a message"])
def test_a_machine_that_the_network_does_not_reach_is_no_slow_client(sent: bytes) -> None:
    """The system's "connection timed out" is of the same Python class as our own time limits."""

    async def parse() -> None:
        reader = asyncio.StreamReader()
        reader.feed_data(sent)
        asyncio.get_running_loop().call_later(
            0.02, reader.set_exception, OSError(errno.ETIMEDOUT, "Connection timed out")
        )
        await read_event(reader, Limits(), wait_s=None)

    with pytest.raises(OSError, match="Connection timed out"):
        asyncio.run(parse())


@pytest.mark.parametrize(
    "flood",
    [
        message("ping", payload_length=10**12) + b"a" * 1000,
        message("x", payload_length=2**20) + b"a" * 2**20,
        message("audio-chunk", data={**CHUNK, "rate": 192_000}, payload=b"a" * 2**20),
        b"x" * 1000,
    ],
    ids=["a terabyte", "as much as is allowed", "paced audio", "an endless line"],
)
def test_a_flood_stays_small_in_memory(tmp_path: Path, flood: bytes) -> None:
    """100 MB are offered to a server that works slowly; it takes what its limits allow, and TCP holds back the rest."""

    async def scenario() -> int:
        models = two_models(tmp_path)
        async with running(models, limits=Limits(burst_s=1.0, pace=1.0)) as server:
            tracemalloc.start()
            _, writer = await raw(server)
            writer.transport.set_write_buffer_limits(high=2**16)
            left = 100_000_000
            try:
                async with asyncio.timeout(1.0):
                    while left > 0:
                        writer.write(flood)
                        left -= len(flood)
                        await writer.drain()
            except (TimeoutError, ConnectionError):
                pass
            writer.transport.abort()
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            return peak

    # This includes the test's own buffer of a message or two.
    assert asyncio.run(scenario()) < 12_000_000
