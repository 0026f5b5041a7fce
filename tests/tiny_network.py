"""A network whose logits are written into its features, for tests of everything that listens to networks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from wakelark.audio import SAMPLE_RATE
from wakelark.pipeline.networks import Features, Network
from wakelark.training.stream_features import StreamFeatures

STEP_S = 0.5


class WrittenNetwork(Network):
    """Says one log-mel band of every frame, the first unless told; one step is half a second."""

    def __init__(self, *, gain: float = 1.0, band: int = 0) -> None:
        self.step_s = STEP_S
        self.first_s = STEP_S
        self.gain = gain
        self.band = band

    @override
    def logits(self, features: Features) -> NDArray[np.float32]:
        return features.logmel[:, self.band].astype(np.float32) * np.float32(self.gain)


def written(logits: Sequence[float], *, name: str = "stream") -> StreamFeatures:
    """Features of a recording at whose steps a `WrittenNetwork` says these logits."""
    frames = np.zeros((len(logits), 40), np.float16)
    frames[:, 0] = logits
    return StreamFeatures(name, round(len(logits) * STEP_S * SAMPLE_RATE), frames, np.zeros((0, 96), np.float16))
