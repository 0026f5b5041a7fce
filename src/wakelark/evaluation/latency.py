"""How long after the phrase's last sound a detector knows it: measured at any threshold, from the scores of a clip."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from wakelark.evaluation.events import Float64Array
from wakelark.evaluation.stream import Trial

EARLIEST_S = 1.0
"""A detector may know the phrase before its end; what it knows earlier than this is something else."""


@dataclass(frozen=True, slots=True)
class Trace:
    """The smoothed scores of one clip, from its start to the end of its hit window.

    Attributes:
        first_s: end of the first score's step, from the start of the clip.
        step_s: time between two scores.
        scores: one per step.
    """

    first_s: float
    step_s: float
    scores: tuple[float, ...]


def trace_of(smoothed: Float64Array, trial: Trial, *, step_s: float, first_s: float) -> Trace:
    """The part of a trial's smoothed scores that belongs to its clip.

    Shape: `smoothed` `[T]`, score number k known at `first_s + k * step_s`
    """
    first = max(0, int(np.ceil((trial.clip_from_s - first_s) / step_s - 1e-9)))
    last = max(first, int(np.floor((trial.hit_until_s - first_s) / step_s + 1e-9)) + 1)
    return Trace(first_s + first * step_s - trial.clip_from_s, step_s, tuple(smoothed[first:last].tolist()))


def latency_s(trace: Trace, *, word_end_s: float, threshold: float) -> float | None:
    """Seconds from the end of the phrase until the smoothed score reached the threshold; negative when it was earlier.

    The first step counts that ends less than `EARLIEST_S` before the end of the phrase. None when none reaches it.

    Args:
        trace: of the clip.
        word_end_s: where in the clip the phrase ends.
        threshold: of the detector.

    >>> latency_s(Trace(0.25, 0.25, (0.9, 0.1, 0.2, 0.1, 0.6, 0.9)), word_end_s=1.5, threshold=0.5)
    -0.25
    """
    for step, score in enumerate(trace.scores):
        time_s = trace.first_s + step * trace.step_s
        if score >= threshold and time_s >= word_end_s - EARLIEST_S:
            return time_s - word_end_s
    return None


def latency_figures(latencies_s: Sequence[float], *, estimated: int) -> dict[str, object]:
    """`clips, median_s, p90_s, word_ends`; the seconds are None without clips.

    Args:
        latencies_s: of the clips that were heard.
        estimated: how many of them have a phrase whose end is only where the energy of the speech ends.
    """
    known = len(latencies_s) - estimated
    parts = [(known, "known from the synthesis"), (estimated, "taken as the end of the speech's energy")]
    values = np.asarray(latencies_s, np.float64)
    return {
        "clips": len(values),
        "median_s": float(np.median(values)) if len(values) else None,
        "p90_s": float(np.quantile(values, 0.9)) if len(values) else None,
        "word_ends": ", ".join(f"{count} {how}" for count, how in parts if count) or "none known",
    }
