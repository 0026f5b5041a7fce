"""Between checkpoints, Ctrl-C, SIGTERM and a closed terminal become an `Interrupted` that says how to go on."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from wakelark.errors import Interrupted


@contextmanager
def interruptible(resume_command: str) -> Iterator[None]:
    """Turn signals into an `Interrupted` whose message ends with the command that goes on, ready for a shell.

    Inside a training the `InterruptGuard` of the loop comes first: it finishes the step and saves. A signal that is
    ignored (by nohup, or by a shell for its background jobs) stays ignored. For the main thread only.

    Raises:
        Interrupted: with the number of the signal.
    """
    number = signal.SIGINT

    def stop(received: int, _: FrameType | None) -> None:
        nonlocal number
        number = signal.Signals(received)
        raise KeyboardInterrupt

    before = {
        kind: signal.signal(kind, stop)
        for kind in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(kind) is not signal.SIG_IGN
    }  # fmt: skip
    try:
        yield
    except KeyboardInterrupt as error:
        raise Interrupted(f"stopped; what is finished is kept. Go on with: {resume_command}", number) from error
    except Interrupted as error:
        if resume_command in str(error):
            raise
        raise Interrupted(f"{error}. Go on with: {resume_command}", error.exit_code - 128) from error
    finally:
        for kind, handler in before.items():
            signal.signal(kind, handler)
