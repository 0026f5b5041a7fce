"""Log lines about clients that misbehave: a few a minute, then only their number, as strangers can cause any number."""

from __future__ import annotations

import logging
import time

LOG = logging.getLogger("wakelark.serve")


class Complaints:
    """Writes to the log until the minute has had its lines.

    Args:
        lines: so many are written ...
        every_s: ... in so many seconds.
    """

    def __init__(self, *, lines: int = 30, every_s: float = 60.0) -> None:
        self._lines, self._every_s = lines, every_s
        self._began_s = time.monotonic()
        self._written = 0
        self._left_out = 0

    def say(self, level: int, text: str, *values: object) -> None:
        """As `logging.log`, if there are lines left."""
        now = time.monotonic()
        if now - self._began_s >= self._every_s:
            self.finish()
            self._began_s, self._written = now, 0
        if self._written == self._lines:
            self._left_out += 1
            if self._left_out == 1:
                LOG.warning("many clients misbehave: for %.0f s they are counted only", self._every_s)
            return
        self._written += 1
        LOG.log(level, text, *values)

    def finish(self) -> None:
        """Say how many lines were left out, if any."""
        if self._left_out:
            LOG.warning("%d more lines about clients were left out", self._left_out)
        self._left_out = 0
