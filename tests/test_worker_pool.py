"""Work in processes: every result once, errors as they are, nothing left running."""

from __future__ import annotations

import os
import signal
import threading
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import active_children

import pytest

from wakelark.corpus.worker_pool import interrupts_held, results_of, run_in_processes
from wakelark.errors import DataError, SetupError


def nothing() -> None:
    """Start of a worker that needs nothing."""


def square(number: int) -> int:
    return number * number


def refuse(number: int) -> int:
    raise DataError(f"not {number}")


def die(number: int) -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return number


def sleep_or_raise(number: int) -> int:
    import time

    if number:
        time.sleep(60)
    raise DataError("at once")


def stop_itself(number: int) -> int:
    if number:
        os.kill(os.getpid(), signal.SIGSTOP)  # deaf to SIGTERM, as a library that never returns
    return number


def mask(_: int) -> tuple[bool, bool]:
    blocked = signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, [])
    return blocked, signal.getsignal(signal.SIGINT) is signal.SIG_IGN


def test_every_result_comes_once_with_its_number() -> None:
    results: dict[int, int] = {}
    run_in_processes(square, range(5), workers=2, start=nothing, on_result=results.__setitem__)
    assert results == {number: number * number for number in range(5)}


def test_nothing_to_do_starts_nothing() -> None:
    run_in_processes(square, [], workers=2, start=nothing, on_result=lambda number, result: None)


def test_an_error_of_a_task_arrives_as_it_is() -> None:
    with pytest.raises(DataError, match="not 3"):
        run_in_processes(refuse, [3], workers=1, start=nothing, on_result=lambda number, result: None)


def test_a_killed_worker_is_named() -> None:
    with pytest.raises(SetupError, match="memory"):
        run_in_processes(die, [1, 2], workers=2, start=nothing, on_result=lambda number, result: None)


def test_the_first_error_ends_all_workers_at_once() -> None:
    before = set(active_children())
    with pytest.raises(DataError, match="at once"):
        run_in_processes(sleep_or_raise, [1, 0], workers=2, start=nothing, on_result=lambda number, result: None)
    assert set(active_children()) <= before


def test_a_worker_that_hangs_is_ended() -> None:
    before = set(active_children())
    results = results_of(stop_itself, [0, 1], workers=1, start=nothing, longest_s=2.0)
    assert next(results) == (0, 0)
    with pytest.raises(BrokenProcessPool, match=r"for 2\.0 s"):
        next(results)
    assert set(active_children()) <= before


def test_workers_never_see_ctrl_c() -> None:
    seen: list[tuple[bool, bool]] = []
    run_in_processes(mask, [0], workers=1, start=nothing, on_result=lambda number, result: seen.append(result))
    assert seen == [(True, True)]


def hold_and(steps: list[str]) -> None:
    with interrupts_held():
        # To this very thread: other threads, which earlier tests may have left, hold nothing back.
        signal.pthread_kill(threading.get_ident(), signal.SIGINT)
        steps.append("finished")
    steps.append("never")


def test_a_held_interrupt_comes_afterwards() -> None:
    steps: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        hold_and(steps)
    assert steps == ["finished"]
