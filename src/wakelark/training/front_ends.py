"""Both front ends, made once per process."""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray

from wakelark.audio import Int16Array, to_float
from wakelark.features.embedding import SpeechEmbedding
from wakelark.features.logmel_torch import LogMel


def start_feature_worker() -> None:
    """What a process that computes features does first: each has one core."""
    torch.set_num_threads(1)


def log_mel(audio: Int16Array) -> NDArray[np.float16]:
    """Log-mel frames, time first. Shape: `[N] -> [(N - 400) // 160 + 1, 40]`"""
    with torch.inference_mode():
        return _log_mel()(torch.from_numpy(to_float(np.asarray(audio)))[None])[0].T.numpy().astype(np.float16)


def embeddings(audio: Int16Array) -> NDArray[np.float16]:
    """Speech embeddings. Shape: `[N] -> [(N - 12512) // 1280 + 1, 96]`"""
    return _embedding().embed_stream(np.asarray(audio)).astype(np.float16)


@cache
def _log_mel() -> LogMel:
    return LogMel()


@cache
def _embedding() -> SpeechEmbedding:
    return SpeechEmbedding()
