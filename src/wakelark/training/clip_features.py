"""Both front ends over a list of clips of any length, spread over processes."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context

import numpy as np
from numpy.typing import NDArray

from wakelark.audio import Int16Array, to_float
from wakelark.training.stream_features import Progress, start_feature_worker

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
        workers: processes.
        progress: called with (clips done, clips, what).
    """
    portions = [clips[start : start + _CHUNK] for start in range(0, len(clips), _CHUNK)]
    features: list[ClipFeatures] = []
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=start_feature_worker) as pool:
        for portion in pool.map(_compute, portions):
            features += portion
            progress(len(features), len(clips), what)
    return features


def _compute(clips: Sequence[Int16Array]) -> list[ClipFeatures]:
    import torch

    from wakelark.features.embedding import SpeechEmbedding
    from wakelark.features.logmel_torch import LogMel

    embedding, logmel = SpeechEmbedding(), LogMel()
    found = []
    with torch.no_grad():
        for clip in clips:
            audio = to_float(clip)
            found.append(
                ClipFeatures(
                    logmel=logmel(torch.from_numpy(audio)[None])[0].T.numpy().astype(np.float16),
                    embeddings=embedding.embed_stream(audio).astype(np.float16),
                )
            )
    return found
