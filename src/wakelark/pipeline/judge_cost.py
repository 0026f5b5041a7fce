"""What a second stage costs: CPU time per hour of audio, of the tiny model that always listens and of the judge."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from wakelark.audio import SAMPLE_RATE
from wakelark.runtime.backend import Backend, read_model
from wakelark.runtime.detector import Detector

_LISTENED_S = 20
_WAKINGS = 10
_CHUNK_S = 0.08
_MEASURED_S = 0.25


def judge_cost(tiny: Path, judge: Path, *, heard_share: float) -> dict[str, float]:
    """CPU seconds per hour of audio on this machine, one core.

    Args:
        tiny: the model that always listens.
        judge: the one that it wakes.
        heard_share: share of the audio that the judge had to listen to.

    Returns:
        `tiny_cpu_s_per_hour, judge_cpu_s_per_hour` of the two as one detector, and `judge_alone_cpu_s_per_hour`: the
        judge listening all the time, which the two stand in for.
    """
    awake = 3600 * _per_second(_woken(read_model(judge)), 2 * _WAKINGS)
    return {
        "tiny_cpu_s_per_hour": _three_digits(3600 * _per_second(_live(tiny), _LISTENED_S)),
        "judge_cpu_s_per_hour": _three_digits(heard_share * awake),
        "judge_alone_cpu_s_per_hour": _three_digits(3600 * _per_second(_live(judge), _LISTENED_S)),
    }


def _per_second(listen: Callable[[], None], seconds: int) -> float:
    """CPU seconds per second of audio, the better of two."""
    return min(_once(listen), _once(listen)) / seconds


def _once(listen: Callable[[], None]) -> float:
    """CPU seconds of listening, which is repeated until a clock that ticks every 10 ms is good for it."""
    before, times = time.process_time(), 0
    while (spent := time.process_time() - before) < _MEASURED_S:
        listen()
        times += 1
    return spent / times


def _three_digits(value: float) -> float:
    return float(f"{value:.3g}")


def _noise(seconds: int) -> np.ndarray:
    return (np.random.default_rng(0).standard_normal(seconds * SAMPLE_RATE) * 0.01).astype(np.float32)


def _live(path: Path) -> Callable[[], None]:
    """Listening to `_LISTENED_S` in chunks as a microphone gives them."""
    detector = Detector.load(path)
    chunks = np.split(_noise(_LISTENED_S), round(_LISTENED_S / _CHUNK_S))

    def listen() -> None:
        for chunk in chunks:
            detector.process(chunk)

    return listen


def _woken(backend: Backend) -> Callable[[], None]:
    """Being woken `_WAKINGS` times, for about 2 s of audio each."""
    audio = _noise(2)[: 2 * SAMPLE_RATE // backend.card.step_samples * backend.card.step_samples]

    def listen() -> None:
        for _ in range(_WAKINGS):
            backend.run(audio, backend.zero_state())

    return listen
