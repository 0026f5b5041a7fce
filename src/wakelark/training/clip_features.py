"""Both front ends over a list of clips of any length, spread over processes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wakelark.audio import Int16Array
from wakelark.corpus.worker_pool import run_in_processes
from wakelark.training.front_ends import embeddings, log_mel, start_feature_worker
from wakelark.training.stream_features import Progress

_CHUNK = 16


@dataclass(frozen=True, slots=True)
class ClipFeatures:
    """Features of one clip.

    Attributes:
        logmel: float16 `[T, 40]`.
        embeddings: float16 `[E, 96]`.
    """

    logmel: NDArray[np.float16]
    embeddings: NDArray[np.float16]


def compute_clip_features(
    clips: Sequence[Int16Array], *, workers: int, progress: Progress, what: str
) -> list[ClipFeatures]:
    """Features of each clip, in order.

    Args:
        clips: int16 arrays of at least 0.79 s each (one embedding).
        workers: processes; 1 works in this one.
        progress: called with (clips done, clips, what).

    Raises:
        SetupError: a process was ended from outside.
    """
    portions = [clips[start : start + _CHUNK] for start in range(0, len(clips), _CHUNK)]
    found: dict[int, list[ClipFeatures]] = {}

    def keep(number: int, features: list[ClipFeatures]) -> None:
        found[number] = features
        progress(sum(map(len, found.values())), len(clips), what)

    if workers <= 1 or len(portions) == 1:
        for number, portion in enumerate(portions):
            keep(number, _compute(portion))
    else:
        run_in_processes(_compute, portions, workers=workers, start=start_feature_worker, on_result=keep)
    return [features for number in range(len(portions)) for features in found[number]]


def _compute(clips: Sequence[Int16Array]) -> list[ClipFeatures]:
    return [ClipFeatures(logmel=log_mel(clip), embeddings=embeddings(clip)) for clip in clips]
