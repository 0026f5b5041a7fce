"""Both front ends as streaming graph parts: framing, folded Fourier kernels, mel filters, logarithm."""

from __future__ import annotations

import math

import numpy as np

from wakelark.audio import HOP_SAMPLES
from wakelark.export.graph import AUDIO_KEPT_SAMPLES, StreamGraph
from wakelark.features.embedding_mel import INT16_AMPLITUDE, MEL_OFFSET_SAMPLES, MEL_POWER_FLOOR, read_mel_weights
from wakelark.features.logmel import BANDS, HIGH_HZ, LOG_OFFSET, LOG_SCALE, LOW_HZ, POWER_FLOOR
from wakelark.features.spectrum import CENTRE, Float64Array, folded_kernels, mel_weights, used_bins

LAG_FRAMES = AUDIO_KEPT_SAMPLES // HOP_SAMPLES
"""Frame t of a stream covers the samples from `160 (t - LAG_FRAMES)`: the past before the first sample is silence."""


def add_logmel(graph: StreamGraph) -> str:
    """Log-mel frames of the graph's audio, as `wakelark.features.logmel`.

    Shape: `[1, 160 T] -> [T, 40]`
    """
    weights = mel_weights(bands=BANDS, low_hz=LOW_HZ, high_hz=HIGH_HZ)
    power = _band_power(graph, weights, amplitude=1.0, offset=0)
    log = graph.node("Log", [graph.node("Add", [power, graph.floats(POWER_FLOOR)])])
    scaled = graph.node("Mul", [log, graph.floats(1 / LOG_SCALE)])
    return graph.node("Add", [scaled, graph.floats(LOG_OFFSET / LOG_SCALE)])


def add_embedding_mel(graph: StreamGraph) -> str:
    """Mel frames for the speech embedding, as `wakelark.features.embedding_mel`.

    Shape: `[1, 160 T] -> [T, 32]`

    Raises:
        SetupError: the package with the filters is missing.
    """
    weights = read_mel_weights().astype(np.float64)
    power = _band_power(graph, weights, amplitude=INT16_AMPLITUDE, offset=MEL_OFFSET_SAMPLES)
    log = graph.node("Log", [graph.node("Max", [power, graph.floats(MEL_POWER_FLOOR)])])
    return graph.node("Add", [graph.node("Mul", [log, graph.floats(1 / math.log(10))]), graph.floats(2.0)])


def _band_power(graph: StreamGraph, weights: Float64Array, *, amplitude: float, offset: int) -> str:
    """Powers in mel bands of windows of 400 samples that start `offset` samples after each hop."""
    audio = graph.remember(graph.audio, axis=1, keep=AUDIO_KEPT_SAMPLES, shape=[1, AUDIO_KEPT_SAMPLES])
    rows = [
        graph.reshape(graph.slice(audio, axis=1, start=start, stop=stop), [-1, HOP_SAMPLES])
        for start, stop in ((0, -2 * HOP_SAMPLES), (HOP_SAMPLES, -HOP_SAMPLES), (2 * HOP_SAMPLES, None))
    ]
    spans = graph.concat(rows, axis=1)  # [T, 480]
    centre = offset + CENTRE
    after = graph.slice(spans, axis=1, start=centre, stop=centre + CENTRE)
    before = graph.slice(spans, axis=1, start=centre, stop=centre - CENTRE, step=-1)
    bins = used_bins(weights)
    cosine, sine = (graph.constant((kernel * amplitude).astype(np.float32)) for kernel in folded_kernels(bins))
    even = graph.node("MatMul", [graph.node("Add", [after, before]), cosine])
    odd = graph.node("MatMul", [graph.node("Sub", [after, before]), sine])
    power = graph.node("Add", [graph.node("Mul", [even, even]), graph.node("Mul", [odd, odd])])
    return graph.node("MatMul", [power, graph.constant(weights[bins].astype(np.float32))])
