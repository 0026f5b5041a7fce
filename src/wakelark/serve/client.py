"""One connection: reads messages, answers them, and never takes the server down."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from wyoming.event import Event, async_write_event
from wyoming.ping import Ping, Pong
from wyoming.wake import Detection, NotDetected

from wakelark.errors import WakelarkError
from wakelark.serve.audio_stream import AudioForm
from wakelark.serve.listener import Heard, Listener
from wakelark.serve.models import ServedModel
from wakelark.serve.protocol import Limits, ProtocolError, read_event, whole_number
from wakelark.serve.triggers import Trigger, TriggerFolder

LOG = logging.getLogger("wakelark.serve")
_MAX_MS = 2**62
_Result = TypeVar("_Result")


class Client:
    """A connection and its state.

    A client has at most one chunk in the worker threads. While that is worked off its socket is not read, so a client
    that sends faster than the machine hears is slowed down by TCP and fills no memory.

    Args:
        reader, writer: the connection.
        name: what log lines call it.
        models: what it may choose from.
        info: the answer to `describe`.
        limits: see there.
        pool: where the models run.
        triggers: where detections are kept, or None.
    """

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        name: str,
        models: Sequence[ServedModel],
        info: Event,
        limits: Limits,
        pool: ThreadPoolExecutor,
        triggers: TriggerFolder | None,
    ) -> None:
        self._reader, self._writer = reader, writer
        self.name = name
        self._models, self._info, self._limits, self._pool, self._triggers = models, info, limits, pool, triggers
        self._listener = Listener(models, keep_recent=triggers is not None)
        self._detected = False
        self._pace_began_s = time.monotonic()
        self._paced_s = 0.0

    async def run(self) -> None:
        """Serve it until it leaves, or breaks the protocol: then one line in the log says how."""
        try:
            event = await read_event(self._reader, self._limits, wait_s=self._limits.first_s)
            while event is not None:
                await self._answer(event)
                event = await read_event(self._reader, self._limits, wait_s=self._limits.idle_s)
            LOG.debug("%s left", self.name)
        except WakelarkError as error:
            LOG.warning("%s is disconnected: %s", self.name, error)
        except OSError as error:
            LOG.info("%s is gone: %s", self.name, error.strerror or type(error).__name__)
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
        seconds = form.seconds(payload)
        timestamp_ms = _timestamp(event)
        await self._wait_for_pace(seconds)
        if payload:
            await self._tell(await self._work(lambda: self._listener.take(payload, form, timestamp_ms)))

    def _select(self, event: Event) -> None:
        names = event.data.get("names") or []
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise ProtocolError("the names of a detect are not a list of texts")
        chosen = [model for model in self._models if any(model.answers_to(name) for name in names)]
        unknown = [name for name in names if not any(model.answers_to(name) for model in self._models)]
        if unknown:
            LOG.warning("%s asks for %.80r: no such model; there are %s", self.name, unknown[0], self._names())
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
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)

    async def _wait_for_pace(self, seconds: float) -> None:
        """Hold back a client that sends audio much faster than it can be spoken, so that the others are heard."""
        now = time.monotonic()
        allowed = self._limits.burst_s + self._limits.pace * (now - self._pace_began_s)
        self._paced_s += seconds
        if self._paced_s > allowed:
            await asyncio.sleep((self._paced_s - allowed) / self._limits.pace)
        elif self._paced_s < allowed - self._limits.burst_s:  # slower than allowed: nothing is saved up
            self._pace_began_s, self._paced_s = now, 0.0

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
