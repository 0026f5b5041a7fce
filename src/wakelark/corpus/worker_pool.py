"""Work spread over processes: each result as it is finished; Ctrl-C leaves no traceback, no wait and no process."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Sequence, Set
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
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
    if not tasks:
        return
    others = set(active_children())
    # Spawned, not forked: the parent may hold threads of torch and onnxruntime, which do not survive a fork.
    pool = ProcessPoolExecutor(
        min(workers, len(tasks)), mp_context=get_context("spawn"), initializer=_start, initargs=(start,)
    )
    try:
        with interrupts_held():
            numbers = {pool.submit(function, task): number for number, task in enumerate(tasks)}
        for future in as_completed(numbers):
            on_result(numbers.pop(future), future.result())
    except BrokenProcessPool as error:
        # A process that was being started when another one died is none the pool ends, yet one it waits for for ever.
        end_children(others)
        raise SetupError(
            "a worker process was ended from outside, most likely for lack of memory; close other programs, or use "
            "fewer processes (--set training.workers=1; evaluate: --workers 1), and go on"
        ) from error
    except BaseException:
        end_children(others)
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def end_children(others: Set[BaseProcess]) -> None:
    """End all processes of multiprocessing but `others`."""
    for process in set(active_children()) - others:
        process.terminate()


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
