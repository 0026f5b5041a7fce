"""Nobody takes the server from the others: not by audio, not by messages, not by connections, not by the log."""

from __future__ import annotations

import asyncio
import logging
import threading
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from wyoming.audio import AudioChunk
from wyoming.event import Event

from wakelark.serve.complaints import Complaints
from wakelark.serve.fairness import FairPool, Pace
from wakelark.serve.models import FiresAt, load_models
from wakelark.serve.places import Full, Places
from wakelark.serve.protocol import Limits
from wakelark.serve.server import Address, WakeServer

from .tiny_model import write_tiny_model
from .wyoming_server import answers, client_of, loud_after_silence, raw, running, say, two_models


def test_work_that_is_due_first_goes_first() -> None:
    done: list[str] = []
    begun, go = threading.Event(), threading.Event()

    def block() -> None:
        begun.set()
        go.wait(5)

    async def scenario() -> None:
        pool = FairPool(1)
        blocker = asyncio.ensure_future(pool.run(block, due_s=0.0))
        await asyncio.to_thread(begun.wait, 5)
        work = {"flood": 20.0, "real time": 10.1, "first of all": 9.0, "flood that waited": 10.0}
        tasks = [
            asyncio.ensure_future(pool.run(lambda name=name: done.append(name), due_s=due))
            for name, due in work.items()
        ]
        await asyncio.sleep(0)
        go.set()
        await asyncio.gather(blocker, *tasks)
        pool.shutdown()

    asyncio.run(scenario())
    assert done == ["first of all", "flood that waited", "real time", "flood"]


def test_a_turn_of_somebody_who_leaves_is_not_lost() -> None:
    async def scenario() -> int:
        pool = FairPool(1)
        go = threading.Event()
        waiting: list[asyncio.Task[int]] = []

        async def first() -> None:
            await pool.run(lambda: go.wait(5), due_s=0.0)
            waiting[1].cancel()  # it has just been given the turn and could not take it yet

        blocker = asyncio.ensure_future(first())
        await asyncio.sleep(0)
        waiting += [asyncio.ensure_future(pool.run(lambda: 1, due_s=1.0)) for _ in range(3)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        go.set()
        await blocker
        result = await asyncio.wait_for(waiting[2], 5) + await asyncio.wait_for(pool.run(lambda: 1, due_s=2.0), 5)
        pool.shutdown()
        return result

    assert asyncio.run(scenario()) == 2


def test_pace_counts_what_is_ahead_of_real_time() -> None:
    pace = Pace(pace=4.0, burst_s=10.0, now_s=100.0)
    assert pace.take(10.0, now_s=100.0) == 0
    assert pace.due_s == 110.0
    assert pace.take(2.0, now_s=100.0) == pytest.approx(0.5)
    assert pace.due_s == 110.0, "nobody has to wait for longer than a burst"
    assert pace.take(0.0, now_s=101.0) == 0
    assert pace.due_s == pytest.approx(110.0, abs=0.1)


def test_a_client_at_real_time_is_always_due_now() -> None:
    """For a day, with a clock that is a little too fast, and whatever its messages cost."""
    pace = Pace(pace=4.0, burst_s=10.0, now_s=0.0)
    for number in range(100_000):
        now_s = 0.8 * number
        assert pace.take(0.0, costs_s=0.002, now_s=now_s) == 0
        assert pace.take(0.801, now_s=now_s) == 0
        assert pace.due_s == pytest.approx(now_s + 0.801)


def test_a_minute_sent_at_once_does_not_make_another_client_wait(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """By order: the flood is still being heard when the other client, who came later, has its answer."""
    caplog.set_level(logging.INFO, "wakelark.serve")
    file = write_tiny_model(tmp_path / "loud_noise.onnx")
    models = load_models([file], judges=[], fires_at=FiresAt(refractory_s=0.1))
    beat = np.zeros(8000, np.int8)
    beat[:4000] = 100 * np.sign(np.sin(np.arange(4000)))
    flood = AudioChunk(rate=8000, width=1, channels=1, audio=np.tile(beat, 120).tobytes())

    def count(name: str) -> int:
        return sum(name in record.getMessage() for record in caplog.records)

    async def scenario() -> tuple[int, int]:
        address = Address.parse("tcp://127.0.0.1:0")
        limits = Limits(burst_s=1000.0)
        async with (
            WakeServer(models, address, version="1", limits=limits, workers=1) as server,
            client_of(server) as bad,
            client_of(server) as good,
        ):
            await bad.write_event(Event("describe"))
            await bad.read_event()
            await bad.write_event(flood.event())
            while not count("client 1 "):
                await asyncio.sleep(0)
            await say(good, loud_after_silence())
            assert [event.type for event in await answers(good)] == ["detection"]
            before = count("client 1 ")
            await answers(bad)
            return before, count("client 1 ")

    before, after = asyncio.run(scenario())
    assert after == 120
    assert before < 80


def test_messages_that_wait_in_a_buffer_are_not_all_read_at_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A client may fill the server's buffer with thousands of tiny messages: between two of them others are heard."""
    caplog.set_level(logging.DEBUG, "wakelark.serve")

    def count(name: str) -> int:
        return sum(f"sent '{name}'" in record.getMessage() for record in caplog.records)

    async def scenario() -> int:
        async with running(two_models(tmp_path)) as server, client_of(server) as good:
            await answers(good)
            _, bad = await raw(server)
            bad.write(b'{"type":"f"}\n' * 10_000)
            await bad.drain()
            while not count("f"):
                await asyncio.sleep(0)
            await good.write_event(Event("g"))
            while not count("g"):
                await asyncio.sleep(0)
            bad.transport.abort()
            return count("f")

    assert asyncio.run(scenario()) < 1000


def test_many_messages_are_held_back_like_much_audio(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """50 messages count as half a second of audio here; the burst is over after ten."""
    limits = Limits(costs_s=0.01, burst_s=0.1, pace=1.0)

    async def scenario() -> float:
        loop = asyncio.get_running_loop()
        async with running(two_models(tmp_path), limits=limits) as server, client_of(server) as client:
            began = loop.time()
            for _ in range(50):
                await client.write_event(Event("ping"))
            for _ in range(50):
                await client.read_event()
            return loop.time() - began

    assert asyncio.run(scenario()) >= 0.35


@dataclass
class Somebody:
    origin: str
    heard_s: float


def test_who_gives_way() -> None:
    places = Places[Somebody](total=3, per_origin=2, yield_s=60.0)
    kitchen, hall = Somebody("a", 100.0), Somebody("a", 10.0)
    assert places.make_room("a", now_s=200.0) is None
    places.holders += [kitchen, hall]
    assert places.make_room("b", now_s=200.0) is None
    assert places.make_room("a", now_s=200.0) is hall, "the quietest of its own address"
    with pytest.raises(Full, match="its address has 2 of the 3 places"):
        places.make_room("a", now_s=60.0)
    places.holders.append(Somebody("b", 5.0))
    assert places.make_room("c", now_s=200.0) is places.holders[2], "the quietest of all"
    assert places.make_room("a", now_s=200.0) is hall, "an address at its limit takes nobody else's place"


def test_a_silent_client_stays_until_somebody_needs_its_place(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> tuple[list[Event], bytes]:
        limits = Limits(clients=2, yield_s=0.3, first_s=1.0)
        async with running(two_models(tmp_path), limits=limits) as server:
            quiet_reader, quiet = await raw(server)
            quiet.write(b'{"type":"describe"}\n')
            async with client_of(server) as talking:
                await answers(talking)
                await asyncio.sleep(1.2)
                await answers(talking)  # both are there, long after first_s and yield_s
                assert not quiet_reader.at_eof()
                async with client_of(server) as newcomer:
                    await say(newcomer, bytes(3200))
                    heard = await answers(newcomer)
                    await answers(talking)
                    try:
                        left = await asyncio.wait_for(quiet_reader.read(), 5)
                    except ConnectionResetError:
                        left = b""
                    quiet.close()
                    return heard, left

    heard, _ = asyncio.run(scenario())
    assert [event.type for event in heard] == ["not-detected"]
    assert "client 1 (127.0.0.1) gives way to a new client" in caplog.text
    assert "client 2" not in caplog.text


def test_one_address_cannot_take_all_places(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Listening on all addresses, of which only loopback ones are used here."""

    async def scenario() -> None:
        address = Address.parse("tcp://0.0.0.0:0")
        limits = Limits(clients=3, per_address=2)
        async with WakeServer(two_models(tmp_path), address, version="1", limits=limits, workers=1) as server:
            port = server.address.port
            greedy = [await asyncio.open_connection("127.0.0.1", port, local_addr=("127.0.0.2", 0)) for _ in range(3)]
            assert await asyncio.wait_for(greedy[2][0].read(), 5) == b""
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b'{"type":"ping"}\n')
            assert b"pong" in await asyncio.wait_for(reader.readline(), 5)
            for _, other in [*greedy, (reader, writer)]:
                other.transport.abort()

    asyncio.run(scenario())
    assert "client 3 (127.0.0.2) is turned away: its address has 2 of the 3 places already" in caplog.text


def test_the_log_counts_what_comes_too_often(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        async with running(two_models(tmp_path)) as server:
            for _ in range(60):
                reader, writer = await raw(server)
                writer.write(b"GET / HTTP/1.1\r\n\r\n")
                assert await asyncio.wait_for(reader.read(), 5) == b""
                writer.close()

    asyncio.run(scenario())
    told = [record.getMessage() for record in caplog.records]
    assert sum("is disconnected" in line for line in told) == 30
    assert told[-1] == "30 more lines about clients were left out"
    assert len(told) == 32


def test_the_next_minute_has_lines_again(caplog: pytest.LogCaptureFixture) -> None:
    complaints = Complaints(lines=1, every_s=0.0)
    for number in range(3):
        complaints.say(logging.WARNING, "line %d", number)
    assert [record.getMessage() for record in caplog.records] == ["line 0", "line 1", "line 2"]
