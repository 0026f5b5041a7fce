"""The speech embedding's own front end: 32 mel bands every 10 ms, as the package's `melspectrogram.onnx` computes them.

One thing differs on purpose. The package's graph ends by raising every value to the loudest of the call minus 80 dB,
so that its result depends on how the audio is cut into calls. Here a fixed floor stands in its place: power 1.0 (0 dB),
just above what rounding to 16 bits adds (-4 dB). Where neither floor acts the numbers are equal.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from typing_extensions import override

from wakelark.audio import Float32Array
from wakelark.features.embedding_weights import resource
from wakelark.features.spectrum import WINDOW_SAMPLES
from wakelark.features.spectrum_torch import BandPower

MEL_BANDS = 32
MEL_SPAN_SAMPLES = 512
"""Samples that a frame is counted to cover; only 400 of them, from `MEL_OFFSET_SAMPLES`, have weight."""
MEL_OFFSET_SAMPLES = 56
INT16_AMPLITUDE = 32768.0
MEL_POWER_FLOOR = 1.0


def read_mel_weights() -> Float32Array:
    """The package's mel filters.

    Shape: `-> [257, 32]`

    Raises:
        SetupError: the package is missing.
    """
    import onnx
    from onnx import numpy_helper

    graph = onnx.load(str(resource("melspectrogram.onnx"))).graph
    return next(numpy_helper.to_array(tensor) for tensor in graph.initializer if tensor.name == "1.melW")


class EmbeddingMel(nn.Module):
    """Mel frames for `SpeechEmbedding`; frame t covers the samples `160 t` to `160 t + 512`.

    Shape: `[B, N] -> [B, (N - 512) // 160 + 1, 32]`, audio in [-1, 1]

    Raises:
        SetupError: the package with the filters is missing.
    """

    def __init__(self) -> None:
        super().__init__()
        weights = read_mel_weights().astype("float64")
        self.power = BandPower(weights, amplitude=INT16_AMPLITUDE, dtype=torch.float32)

    @override
    def forward(self, audio: Tensor) -> Tensor:
        if audio.shape[-1] < MEL_SPAN_SAMPLES:
            return audio.new_zeros(audio.shape[0], 0, MEL_BANDS)
        unheard = MEL_SPAN_SAMPLES - MEL_OFFSET_SAMPLES - WINDOW_SAMPLES
        power = self.power(audio[..., MEL_OFFSET_SAMPLES : audio.shape[-1] - unheard])
        return torch.log10(power.clamp_min(MEL_POWER_FLOOR)) + 2.0
