"""Work spread over processes: each result as it is finished; Ctrl-C leaves no traceback, no wait and no process."""

from __future__ import annotations

import signal
from collections.abc import Callable, Generator, Iterator, Sequence, Set
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing, contextmanager
from functools import partial
from itertools import islice
from multiprocessing import active_children, get_context
from multiprocessing.process import BaseProcess
from typing import TypeVar

from wakelark.corpus.worker_process import prepare_worker
from wakelark.errors import SetupError

Task = TypeVar("Task")
Result = TypeVar("Result")


def run_in_processes(
    function: Callable[[Task], Result],
    tasks: Sequence[Task],
    *,
    workers: int,
    start: Callable[[], None],
    on_result: Callable[[int, Result], None],
) -> None:
    """Compute `function(task)` of every task in up to `workers` fresh processes.

    What a task writes must be written all or nothing: at Ctrl-C and at an error the processes are ended at once.

    Args:
        function: importable by the workers.
        tasks: what to do.
        workers: processes.
        start: what each process does first.
        on_result: is told (number of the task, result) in the order of completion, in this process.

    Raises:
        SetupError: a process was ended from outside, most likely for lack of memory.
    """
    others = set(active_children())
    with closing(results_of(function, tasks, workers=workers, start=partial(_start, start))) as results:
        try:
            for number, result in results:
                on_result(number, result)
        except BrokenProcessPool as error:
            raise SetupError(
                "a worker process was ended from outside, most likely for lack of memory; close other programs, or use "
                "fewer processes (--set training.workers=1; evaluate: --workers 1), and go on"
            ) from error
        except BaseException:
            _end_children(others)
            raise


def results_of(
    function: Callable[[Task], Result],
    tasks: Sequence[Task],
    *,
    workers: int,
    start: Callable[[], None],
    longest_s: float | None = None,
) -> Generator[tuple[int, Result]]:
    """Yield (number of the task, result) in the order of completion; when closed early, tasks at work are finished.

    Args:
        function: importable by the workers.
        tasks: what to do.
        workers: fresh processes, at most.
        start: what each process does first.
        longest_s: when no task is finished for so long, the processes hang and are ended; None waits for ever.

    Raises:
        BrokenProcessPool: a process died or hung; the others have been ended.
    """
    others = set(active_children())
    # A pool for each process, which gets its next task when it has none: a pool that starts one process, or is given
    # a task, while another of its processes dies shows a traceback or waits for ever (CPython 3.11).
    # Spawned, not forked: the parent may hold threads of torch and onnxruntime, which do not survive a fork.
    pools = [
        ProcessPoolExecutor(1, mp_context=get_context("spawn"), initializer=start)
        for _ in range(min(workers, len(tasks)))
    ]
    waiting = iter(enumerate(tasks))
    at_work: dict[Future[Result], tuple[int, ProcessPoolExecutor]] = {}

    def hand_next(pool: ProcessPoolExecutor) -> None:
        for number, task in islice(waiting, 1):
            at_work[pool.submit(function, task)] = number, pool

    try:
        with interrupts_held():
            for pool in pools:
                hand_next(pool)
        while at_work:
            finished = wait(at_work, timeout=longest_s, return_when=FIRST_COMPLETED).done
            if not finished:
                _kill_children(others)
                raise BrokenProcessPool(f"no task was finished for {longest_s} s")
            for future in finished:
                number, pool = at_work.pop(future)
                result = future.result()
                hand_next(pool)
                yield number, result
    except BrokenProcessPool:
        _end_children(others)
        raise
    finally:
        for pool in pools:
            pool.shutdown(wait=True, cancel_futures=True)


def _end_children(others: Set[BaseProcess]) -> None:
    """End all processes of multiprocessing but `others`."""
    for process in set(active_children()) - others:
        process.terminate()


def _kill_children(others: Set[BaseProcess]) -> None:
    """As `_end_children`, of processes that hang and would not hear that they are to end."""
    for process in set(active_children()) - others:
        process.kill()


@contextmanager
def interrupts_held() -> Iterator[None]:
    """Hold back Ctrl-C while processes are started, and for ever in those processes, which inherit it.

    A worker that is still importing has no handler yet and would end with a traceback on the user's terminal.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _start(start: Callable[[], None]) -> None:
    prepare_worker()
    start()
