"""What every verb prints: one result on stdout, as text or as one JSON object, and progress on stderr."""

from __future__ import annotations

import json
import os
import re
import shlex
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

Progress = Callable[[int, int, str], None]
"""`progress(done, total, what)`: called by long work; `total` 0 means that nobody knows how much there is."""

_LINE_EVERY_S = 10.0
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def emit(data: dict[str, object], *, json_output: bool, text: RenderableType | str) -> None:
    """Print a verb's result to stdout: `data` as one line of JSON, or `text` for people.

    The JSON is plain ASCII, so that it survives any locale. Strings are printed as they are, without rich's markup,
    because they hold file names.
    """
    if json_output:
        print(json.dumps(data, allow_nan=False))
    elif isinstance(text, str):
        print(_shown(text, sys.stdout))
    else:
        _console(sys.stdout).print(text)
    sys.stdout.flush()


def note(message: str, *, quiet: bool = False) -> None:
    """One line for people on stderr: a warning or a remark beside the result."""
    if not quiet:
        print(_shown(message, sys.stderr), file=sys.stderr, flush=True)


def _shown(text: str, file: TextIO) -> str:
    """Text as a stream can show it. Control characters are escaped: a name or a model's card may hold a terminal's
    commands, or turn the direction of the line."""
    encoding = file.encoding or "utf-8"
    plain = "".join(c.encode("unicode_escape").decode() if _CONTROL.match(c) else c for c in text)
    return plain.encode(encoding, "replace").decode(encoding)


def command_line() -> str:
    """The command as it was typed, with all its options, ready for a shell: what goes on with long work."""
    return shlex.join(["wakelark", *sys.argv[1:]])


@contextmanager
def progress_bar(*, quiet: bool = False) -> Iterator[Progress]:
    """A `progress(done, total, what)` for long work, shown on stderr.

    On a terminal each `what` becomes a bar with the time left; elsewhere (a pipe, a log, `TERM=dumb`) it becomes a
    plain line when it starts, when it ends and every ten seconds between. `NO_COLOR` is respected.
    `quiet` shows nothing.

    Example:
        ```python
        with progress_bar() as progress:
            train(config, progress=progress)
        ```
    """
    if quiet:
        yield lambda done, total, what: None
    elif sys.stderr.isatty() and os.environ.get("TERM", "") not in ("", "dumb"):
        with _terminal_bars() as progress:
            yield progress
    else:
        yield _plain_lines(sys.stderr)


def _console(file: TextIO) -> Console:
    from rich.console import Console

    return Console(file=file, soft_wrap=not file.isatty(), highlight=False, emoji=False)


@contextmanager
def _terminal_bars() -> Iterator[Progress]:
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Bars(*columns, console=_console(sys.stderr), refresh_per_second=4) as bars:
        tasks = {}

        def progress(done: int, total: int, what: str) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(what, total=total or None)
            bars.update(tasks[what], completed=done, total=total or None)

        yield progress


@dataclass(slots=True)
class _Work:
    """What is known of one `what`: when and with how much done it began, and when it last got a line."""

    began_s: float
    done_before: int
    printed_s: float = float("-inf")
    finished: bool = False


def _plain_lines(file: TextIO) -> Progress:
    known: dict[str, _Work] = {}

    def progress(done: int, total: int, what: str) -> None:
        now_s = time.monotonic()
        finished = 0 < total <= done
        work = known.get(what)
        if work is None or (work.finished and not finished):  # new, or the same work again for something else
            work = known[what] = _Work(now_s, done)
        if work.finished or (not finished and now_s - work.printed_s < _LINE_EVERY_S):
            return
        work.printed_s, work.finished = now_s, finished
        amount = f"{done}/{total}" if total else str(done)
        gained = done - work.done_before
        left_s = (now_s - work.began_s) * (total - done) / gained if gained > 0 and total else 0.0
        left = f", {_duration(left_s)} left" if left_s > 0 else ""
        print(f"{what}: {amount}{left}", file=file, flush=True)

    return progress


def _duration(seconds: float) -> str:
    """Seconds as people read them.

    >>> _duration(75.2), _duration(4.0)
    ('1 min 15 s', '4 s')
    """
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
