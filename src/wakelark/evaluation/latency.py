"""How long after the phrase's last sound a detector knows it: measured at any threshold, from the scores of a clip."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from wakelark.evaluation.groups import ScoredClip
from wakelark.evaluation.trace import Trace

EARLIEST_S = 1.0
"""A detector may know the phrase before its end; what it knows earlier than this is something else."""


@dataclass(frozen=True, slots=True)
class WordEnd:
    """Where in a clip the phrase ends.

    Attributes:
        end_s: from the start of the clip.
        is_known: from the synthesis; else it is where the energy of the speech ends.
    """

    end_s: float
    is_known: bool


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


def latency_of_clips(
    clips: Sequence[ScoredClip], word_ends: Mapping[str, WordEnd], *, threshold: float
) -> dict[str, object]:
    """`latency_figures` of the clips that are heard, have a trace, and whose end of the phrase is in `word_ends`."""
    latencies: list[float] = []
    estimated = 0
    for clip in clips:
        end = word_ends.get(clip.file)
        if end is None or clip.trace is None or clip.score < threshold:
            continue
        found = latency_s(clip.trace, word_end_s=end.end_s, threshold=threshold)
        if found is not None:
            latencies.append(found)
            estimated += not end.is_known
    return latency_figures(latencies, estimated=estimated)


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
