"""Constants that both front ends share: the window, mel filters and the folded Fourier kernels, all in float64.

A windowed Fourier transform whose window is symmetric about its middle needs only half the multiplications: the cosine
part sees `x[c + j] + x[c - j]`, the sine part `x[c + j] - x[c - j]`. Half as many terms also means a smaller rounding
error, which the logarithm afterwards would enlarge in quiet bands.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from wakelark.audio import SAMPLE_RATE

WINDOW_SAMPLES = 400  # 25 ms
CENTRE = WINDOW_SAMPLES // 2
FFT_SIZE = 512

Float64Array = NDArray[np.float64]


def hann_window() -> Float64Array:
    """The periodic Hann window; its first value is 0, so that it is symmetric about sample 200.

    Shape: `-> [400]`
    """
    return 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW_SAMPLES) / WINDOW_SAMPLES)


def mel_weights(*, bands: int, low_hz: float, high_hz: float) -> Float64Array:
    """Triangular mel filters over the bins of a 512-point transform; each sums to 1, so a band holds its mean power.

    Shape: `-> [257, bands]`
    """
    low, high = 2595 * np.log10(1 + np.array([low_hz, high_hz]) / 700)
    edges = 700 * (10 ** (np.linspace(low, high, bands + 2) / 2595) - 1)
    hz = np.arange(FFT_SIZE // 2 + 1)[:, None] * (SAMPLE_RATE / FFT_SIZE)
    rising = (hz - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - hz) / (edges[2:] - edges[1:-1])
    weights = np.minimum(rising, falling).clip(0)
    return weights / weights.sum(0)


def used_bins(weights: Float64Array) -> slice:
    """The contiguous bins to which any filter gives weight.

    Shape: `[257, bands] -> slice`
    """
    filled = np.flatnonzero(weights.sum(1))
    return slice(int(filled[0]), int(filled[-1]) + 1)


def folded_kernels(bins: slice) -> tuple[Float64Array, Float64Array]:
    """Hann-windowed cosine and sine kernels about the window's middle, for `power_frames`' sums and differences.

    Row j belongs to the samples `200 + j` and `200 - j` of a frame. Row 0 of the cosines is halved because the middle
    sample is added to itself; row 0 of the sines is 0.

    Shape: `-> ([200, B], [200, B])`
    """
    distance = np.arange(CENTRE)[:, None]
    angle = 2 * np.pi * distance * np.arange(bins.start, bins.stop) / FFT_SIZE
    half_window = hann_window()[CENTRE:, None]
    cosine, sine = half_window * np.cos(angle), half_window * np.sin(angle)
    cosine[0] /= 2
    return cosine, sine
