"""Both front ends as streaming graph parts: framing, folded Fourier kernels, mel filters, logarithm.

The log-mel one is ours and computes in float64; the embedding's is in float32, like the embedding.
"""

from __future__ import annotations

import math

import numpy as np
from onnx import TensorProto

from wakelark.audio import HOP_SAMPLES
from wakelark.export.graph import AUDIO_KEPT_SAMPLES, StreamGraph
from wakelark.features.embedding_mel import INT16_AMPLITUDE, MEL_OFFSET_SAMPLES, MEL_POWER_FLOOR, read_mel_weights
from wakelark.features.logmel import BANDS, HIGH_HZ, LOG_OFFSET, LOG_SCALE, LOW_HZ, POWER_FLOOR
from wakelark.features.spectrum import CENTRE, FFT_SIZE, folded_kernels, mel_weights, used_bins

LAG_FRAMES = AUDIO_KEPT_SAMPLES // HOP_SAMPLES
"""Frame t of a stream covers the samples from `160 (t - LAG_FRAMES)`: the past before the first sample is silence."""


def add_logmel(graph: StreamGraph) -> str:
    """Log-mel frames of the graph's audio, as `wakelark.features.logmel` to 1e-6, channels first.

    Computed in float64: in float32, bands that are 80 dB below their neighbours are off by up to 1e-4. The kernels are
    the left factors, because onnxruntime packs the right factor anew in every call. `Gemm` turns the other one, because
    onnxruntime 1.20 fuses a float64 `Transpose` and `MatMul` into a node for which it has no kernel.

    Shape: `[1, 160 T] -> [40, T]`
    """
    weights = mel_weights(bands=BANDS, low_hz=LOW_HZ, high_hz=HIGH_HZ)
    bins = used_bins(weights)
    sums, differences = _fold(graph, _cast(graph, _remember_audio(graph), TensorProto.DOUBLE), offset=0)
    cosine, sine = _wave_kernels(graph, bins)
    even = graph.node("Gemm", [cosine, sums], {"transB": 1})
    odd = graph.node("Gemm", [sine, differences], {"transB": 1})
    # Rounding these to float32 costs 1e-8 in the logarithm: they are positive, so nothing cancels.
    mel = _cast(graph, graph.constant(weights[bins].T.astype(np.float32)), TensorProto.DOUBLE)
    power = graph.node("MatMul", [mel, _power(graph, even, odd)])
    log = graph.node("Log", [graph.node("Add", [power, _double(graph, POWER_FLOOR)])])
    scaled = graph.node("Mul", [log, _double(graph, 1 / LOG_SCALE)])
    return _cast(graph, graph.node("Add", [scaled, _double(graph, LOG_OFFSET / LOG_SCALE)]), TensorProto.FLOAT)


def add_embedding_mel(graph: StreamGraph) -> str:
    """Mel frames for the speech embedding, as `wakelark.features.embedding_mel`.

    Shape: `[1, 160 T] -> [T, 32]`

    Raises:
        SetupError: the package with the filters is missing.
    """
    weights = read_mel_weights().astype(np.float64)
    bins = used_bins(weights)
    sums, differences = _fold(graph, _remember_audio(graph), offset=MEL_OFFSET_SAMPLES)
    cosine, sine = (graph.constant((kernel * INT16_AMPLITUDE).astype(np.float32)) for kernel in folded_kernels(bins))
    even, odd = graph.node("MatMul", [sums, cosine]), graph.node("MatMul", [differences, sine])
    mel = graph.constant(weights[bins].astype(np.float32))
    power = graph.node("MatMul", [_power(graph, even, odd), mel])
    log = graph.node("Log", [graph.node("Max", [power, graph.floats(MEL_POWER_FLOOR)])])
    return graph.node("Add", [graph.node("Mul", [log, graph.floats(1 / math.log(10))]), graph.floats(2.0)])


def _remember_audio(graph: StreamGraph) -> str:
    return graph.remember(graph.audio, axis=1, keep=AUDIO_KEPT_SAMPLES, shape=[1, AUDIO_KEPT_SAMPLES])


def _fold(graph: StreamGraph, audio: str, *, offset: int) -> tuple[str, str]:
    """Sums and differences about the middle of windows of 400 samples that start `offset` samples after each hop.

    Shape: `[1, 160 T + 320] -> ([T, 200], [T, 200])`
    """
    hops = graph.reshape(audio, [-1, HOP_SAMPLES])
    parts = [graph.slice(hops, axis=0, start=start, stop=stop) for start, stop in ((0, -2), (1, -1), (2, None))]
    spans = graph.concat(parts, axis=1)  # [T, 480]
    centre = offset + CENTRE
    after = graph.slice(spans, axis=1, start=centre, stop=centre + CENTRE)
    before = graph.slice(spans, axis=1, start=centre, stop=centre - CENTRE, step=-1)
    return graph.node("Add", [after, before]), graph.node("Sub", [after, before])


def _wave_kernels(graph: StreamGraph, bins: slice) -> tuple[str, str]:
    """The `folded_kernels`, transposed, in float64.

    Stored, they would be 774 kB. So the file holds one turn of the cosine and the graph looks up the rest: onnxruntime
    does that once, when it loads the file, because nothing here depends on the audio.

    Shape: `-> ([B, 200], [B, 200])`
    """
    cosine = graph.constant(np.cos(2 * np.pi * np.arange(FFT_SIZE) / FFT_SIZE))
    window = graph.constant(folded_kernels(slice(0, 1))[0][:, 0])  # at 0 Hz the cosine kernel is the window alone
    frequency, distance = graph.constant(np.arange(bins.start, bins.stop)[:, None]), graph.constant(np.arange(CENTRE))
    turns = graph.node("Mul", [frequency, distance])  # in steps of 1/512 turn
    late = graph.node("Add", [turns, graph.ints([FFT_SIZE * 3 // 4])])  # a sine is a cosine a quarter turn late
    waves = [
        graph.node("Gather", [cosine, graph.node("Mod", [steps, graph.ints([FFT_SIZE])])]) for steps in (turns, late)
    ]
    even, odd = (graph.node("Mul", [wave, window]) for wave in waves)
    return even, odd


def _power(graph: StreamGraph, even: str, odd: str) -> str:
    return graph.node("Add", [graph.node("Mul", [even, even]), graph.node("Mul", [odd, odd])])


def _cast(graph: StreamGraph, values: str, to: int) -> str:
    return graph.node("Cast", [values], {"to": to})


def _double(graph: StreamGraph, value: float) -> str:
    return graph.constant(np.array(value, np.float64))
