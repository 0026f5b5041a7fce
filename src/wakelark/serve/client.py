"""One connection: reads messages, answers them, and never takes the server down."""

from __future__ import annotations

import asyncio
import functools
import logging
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from wyoming.event import Event, async_write_event
from wyoming.ping import Ping, Pong
from wyoming.wake import Detection, NotDetected

from wakelark.errors import WakelarkError
from wakelark.serve.audio_stream import AudioForm
from wakelark.serve.complaints import Complaints
from wakelark.serve.fairness import FairPool, Pace
from wakelark.serve.listener import Heard, Listener
from wakelark.serve.models import ServedModel
from wakelark.serve.protocol import Limits, ProtocolError, read_event, whole_number
from wakelark.serve.triggers import Trigger, TriggerFolder

LOG = logging.getLogger("wakelark.serve")
_MAX_MS = 2**62
_PIECE_S = 0.25
"""Long chunks are worked off in pieces, so that nobody waits for another client's minute."""
_Result = TypeVar("_Result")


class Client:
    """A connection and its state.

    A client has at most one chunk in the worker threads. While that is worked off its socket is not read, so a client
    that sends faster than the machine hears is slowed down by TCP and fills no memory.

    Args:
        reader, writer: the connection.
        name: what log lines call it.
        origin: its address, or a part of that.
        models: what it may choose from.
        info: the answer to `describe`.
        limits: see there.
        pool: where the models run.
        complaints: where the log lines about what it does wrong go.
        triggers: where detections are kept, or None.

    Attributes:
        heard_s: when it said something the last time, by the monotonic clock.
    """

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        name: str,
        origin: str,
        models: Sequence[ServedModel],
        info: Event,
        limits: Limits,
        pool: FairPool,
        complaints: Complaints,
        triggers: TriggerFolder | None,
    ) -> None:
        self._reader, self._writer = reader, writer
        self.name, self.origin = name, origin
        self._models, self._info, self._limits, self._pool, self._triggers = models, info, limits, pool, triggers
        self._listener = Listener(models, keep_recent=triggers is not None)
        self._complaints = complaints
        self._detected = False
        self.heard_s = time.monotonic()
        self._pace = Pace(pace=limits.pace, burst_s=limits.burst_s, now_s=self.heard_s)

    async def run(self) -> None:
        """Serve it until it leaves, or breaks the protocol: then one line in the log says how."""
        try:
            event = await read_event(self._reader, self._limits, wait_s=self._limits.first_s)
            while event is not None:
                self.heard_s = time.monotonic()
                await self._wait_for_pace(costs_s=self._limits.costs_s)
                await self._answer(event)
                event = await read_event(self._reader, self._limits, wait_s=None)
            LOG.debug("%s left", self.name)
        except WakelarkError as error:
            self._complaints.say(logging.WARNING, "%s is disconnected: %s", self.name, error)
        except OSError as error:
            self._complaints.say(logging.INFO, "%s is gone: %s", self.name, error.strerror or type(error).__name__)
        await self._save(self._listener.start(None))

    async def _answer(self, event: Event) -> None:
        match event.type:
            case "describe":
                await self._write(self._info)
            case "detect":
                self._select(event)
            case "audio-start":
                AudioForm.of(event)
                self._detected = False
                await self._save(self._listener.start(_timestamp(event)))
            case "audio-chunk":
                await self._hear(event)
            case "audio-stop":
                await self._tell(await self._work(self._listener.stop))
                if not self._detected:
                    await self._write(NotDetected().event())
            case "ping":
                text = event.data.get("text")
                if text is not None and not isinstance(text, str):
                    raise ProtocolError("the text of a ping is not a text")
                await self._write(Pong(text=Ping(text=text).text).event())
            case _:
                LOG.debug("%s sent %.40r, which a wake service does not know", self.name, event.type)

    async def _hear(self, event: Event) -> None:
        form = AudioForm.of(event)
        payload = event.payload or b""
        form.seconds(payload)  # whole samples only
        timestamp_ms = _timestamp(event)
        size = round(form.rate * _PIECE_S) * form.width * form.channels
        for start in range(0, len(payload), size):
            piece = payload[start : start + size]
            at_ms = None if start else timestamp_ms  # the others follow without a gap
            await self._wait_for_pace(audio_s=form.seconds(piece))
            await self._tell(await self._work(functools.partial(self._listener.take, piece, form, at_ms)))

    def _select(self, event: Event) -> None:
        names = event.data.get("names") or []
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise ProtocolError("the names of a detect are not a list of texts")
        chosen = [model for model in self._models if any(model.answers_to(name) for name in names)]
        unknown = [name for name in names if not any(model.answers_to(name) for model in self._models)]
        if unknown:
            text = "%s asks for %.80r: no such model; there are %s"
            self._complaints.say(logging.WARNING, text, self.name, unknown[0], self._names())
        # Nothing asked for: all. Only unknown models asked for: none, rather than one that nobody chose.
        self._listener.select(chosen if names else self._models)
        LOG.debug("%s listens for %s", self.name, self._listener.selected)

    def _names(self) -> str:
        return ", ".join(model.name for model in self._models)

    async def _tell(self, heard: Heard) -> None:
        for name, milliseconds in heard.hits:
            self._detected = True
            LOG.info("%s: %s at %d ms", self.name, name, milliseconds)
            await self._write(Detection(name=name, timestamp=milliseconds).event())
        await self._save(heard.triggers)

    async def _save(self, triggers: list[Trigger]) -> None:
        folder = self._triggers
        if folder is None:
            return
        for trigger in triggers:
            await self._work(lambda trigger=trigger: folder.save(trigger))

    async def _work(self, work: Callable[[], _Result]) -> _Result:
        return await self._pool.run(work, due_s=self._pace.due_s)

    async def _wait_for_pace(self, *, audio_s: float = 0.0, costs_s: float = 0.0) -> None:
        """Hold back a client that sends much faster than one can speak, so that the others are heard.

        Without a wait, too, the others get their turn: messages that are in the buffer are read without one.
        """
        await asyncio.sleep(self._pace.take(audio_s, costs_s=costs_s, now_s=time.monotonic()))

    async def _write(self, event: Event) -> None:
        try:
            async with asyncio.timeout(self._limits.write_s):
                await async_write_event(event, self._writer)
        except TimeoutError:
            self._writer.transport.abort()  # closing would wait for what the client does not read
            raise ProtocolError(f"did not read its answers for {self._limits.write_s:g} s") from None


def _timestamp(event: Event) -> int | None:
    if event.data.get("timestamp") is None:
        return None
    return whole_number(event.data, "timestamp", -_MAX_MS, _MAX_MS)
