"""Fair shares for the clients of a server: whose audio is worked on next, and how much of it may come at once."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

_Result = TypeVar("_Result")


class FairPool:
    """Threads that run models; of those that wait, the work that is due first goes first.

    A client at real time has work that is due now. One that sends ten seconds at once has work that is due within ten
    seconds: it goes first only when nobody else waits, or when its time has come. So nobody waits for ever.

    Args:
        workers: threads; so many pieces of work are done at a time.
    """

    def __init__(self, workers: int) -> None:
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="wakelark")
        self._free = workers
        self._waiting: list[tuple[float, int, asyncio.Future[None]]] = []
        self._count = 0

    async def run(self, work: Callable[[], _Result], *, due_s: float) -> _Result:
        """Do it in a thread, in its turn.

        Args:
            work: what to do.
            due_s: when it should be done, by a clock that all clients share.
        """
        await self._turn(due_s)
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        finally:
            self._next()

    def shutdown(self) -> None:
        """Wait for the work in the threads. Nobody may wait for a turn."""
        self._threads.shutdown()

    async def _turn(self, due_s: float) -> None:
        if self._free:
            self._free -= 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._count += 1
        heapq.heappush(self._waiting, (due_s, self._count, turn))
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():  # it was given a turn at the same moment: somebody else has to get that
                self._next()
            raise

    def _next(self) -> None:
        while self._waiting:
            _, _, turn = heapq.heappop(self._waiting)
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1


_REAL_TIME = 1.05
"""Real time with some grace: no sound card's clock is exactly right, and a stream may last for months."""


class Pace:
    """What one client has sent, against what it may.

    Two buckets that leak: one at the pace that is allowed, which says how long to hold the client back; one at real
    time, which says when its audio would have been spoken.

    Args:
        pace: seconds of audio allowed per second.
        burst_s: so much audio may come at once; what comes beyond is due no later than that.
        now_s: the time, as for the other methods.
    """

    def __init__(self, *, pace: float, burst_s: float, now_s: float) -> None:
        self._pace, self._burst_s = pace, burst_s
        self._at_s = now_s
        self._level_s = 0.0
        self._ahead_s = 0.0

    def take(self, audio_s: float, *, now_s: float, costs_s: float = 0.0) -> float:
        """Count so much audio, and what a message costs apart from it; give the seconds to wait before more is read."""
        passed = now_s - self._at_s
        self._at_s = now_s
        self._level_s = max(0.0, self._level_s - self._pace * passed) + audio_s + costs_s
        self._ahead_s = min(self._burst_s, max(0.0, self._ahead_s - _REAL_TIME * passed) + audio_s)
        return max(0.0, (self._level_s - self._burst_s) / self._pace)

    @property
    def due_s(self) -> float:
        """When what was counted last is due."""
        return self._at_s + self._ahead_s
