"""Several trainings at once, one per process: two cores are used fully, and the progress of all is one bar."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from multiprocessing.sharedctypes import SynchronizedArray
from typing import Generic, Protocol, TypeVar

from wakelark.corpus.worker_pool import run_in_processes
from wakelark.training.front_ends import start_feature_worker
from wakelark.training.stream_features import Progress

Result = TypeVar("Result")
Result_co = TypeVar("Result_co", covariant=True)
_POLL_S = 0.5


class Training(Protocol[Result_co]):
    """A picklable training: `run(on_step)` trains and returns, `on_step(steps done, steps in all)` is called by it."""

    @property
    def steps(self) -> int: ...

    def run(self, on_step: Callable[[int, int], None]) -> Result_co: ...


def run_trainings(
    trainings: Sequence[Training[Result]], *, workers: int, progress: Progress, what: str
) -> list[Result]:
    """Run all trainings, each on one thread of its own process; the results are in the order given.

    With one worker or one training everything happens in this process. The results do not depend on `workers`.

    Raises:
        SetupError: a process was ended from outside.
    """
    total = sum(training.steps for training in trainings)
    results: dict[int, Result] = {}
    if workers <= 1 or len(trainings) <= 1:
        before = 0
        for number, training in enumerate(trainings):
            offset = before
            results[number] = training.run(lambda done, _, offset=offset: progress(offset + done, total, what))
            before += training.steps
    else:
        done = get_context("spawn").Array("q", len(trainings))
        with _Watch(done, progress, total, what):
            run_in_processes(
                _run, [_Task(number, training) for number, training in enumerate(trainings)], workers=workers,
                start=partial(_start, done), on_result=results.__setitem__,
            )  # fmt: skip
    return [results[number] for number in range(len(trainings))]


@dataclass(frozen=True, slots=True)
class _Task(Generic[Result]):
    number: int
    training: Training[Result]


class _Watch:
    """Reports the sum of all counters while the processes work."""

    def __init__(self, done: SynchronizedArray[int], progress: Progress, total: int, what: str) -> None:
        self._done, self._progress, self._total, self._what = done, progress, total, what
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._progress(sum(self._done[:]), self._total, self._what)

    def _watch(self) -> None:
        while not self._stop.wait(_POLL_S):
            self._progress(sum(self._done[:]), self._total, self._what)


_counters: list[SynchronizedArray[int]] = []
"""In a worker: the counters of all trainings, shared with the parent."""


def _start(done: SynchronizedArray[int]) -> None:
    start_feature_worker()
    _counters.append(done)


def _run(task: _Task[Result]) -> Result:
    def on_step(done: int, _: int) -> None:
        _counters[0][task.number] = done

    return task.training.run(on_step)
