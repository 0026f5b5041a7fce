"""Clips that only sound like the phrase: how many of them wake the detector, per thousand."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from wakelark.evaluation.groups import ScoredClip, miss_bootstrap
from wakelark.evaluation.intervals import wilson_interval


def near_miss_counts(clips: Sequence[ScoredClip], *, threshold: float) -> dict[str, object]:
    """`clips, fired, per_1000, per_1000_ci` (Wilson); the rate is None without clips."""
    fired = sum(clip.score >= threshold for clip in clips)
    low, high = wilson_interval(fired, len(clips))
    return {
        "clips": len(clips),
        "fired": fired,
        "per_1000": 1000 * fired / len(clips) if clips else None,
        "per_1000_ci": [1000 * low, 1000 * high],
    }


def near_miss_figures(
    clips: Sequence[ScoredClip], *, threshold: float, rng: np.random.Generator
) -> dict[str, object] | None:
    """`near_miss_counts`, the bootstrap interval, and what was said; None without clips.

    `by_text` has one row per text (or file, where no text is known) with `text` and `near_miss_counts`, the most
    dangerous first.
    """
    if not clips:
        return None
    bootstrap = miss_bootstrap(clips, threshold=threshold, rng=rng)
    texts: dict[str, list[ScoredClip]] = {}
    for clip in clips:
        texts.setdefault(clip.text or clip.file, []).append(clip)
    rows = [(text, near_miss_counts(said, threshold=threshold), said) for text, said in texts.items()]
    rows.sort(key=lambda row: (-sum(clip.score >= threshold for clip in row[2]) / len(row[2]), row[0]))
    return near_miss_counts(clips, threshold=threshold) | {
        # The bootstrap is that of the clips that stayed silent.
        "per_1000_bootstrap_ci": None if bootstrap is None else [1000 * (1 - bound) for bound in bootstrap[0][::-1]],
        "bootstrap_unit": None if bootstrap is None else bootstrap[1],
        "by_text": [{"text": text} | counts for text, counts, _ in rows],
    }
