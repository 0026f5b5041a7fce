"""Real numbers as 8-bit integers, by the rules of TensorFlow Lite's int8 kernels.

Activations: int8, one scale and zero point per tensor, 0 exact. Weights: int8, symmetric, never -128. Biases: int32,
whose scale is the product of the input's and the weight's.
"""

from __future__ import annotations

import numpy as np

from wakelark.features.spectrum import Float64Array
from wakelark.tflite.schema import Quantisation

LOWEST, HIGHEST = -128, 127
WEIGHT_LIMIT = 127
_INT32_LIMIT = 2**31 - 1
MICRO_INPUT = Quantisation([26 / 255], zero_point=-128)
"""ESPHome's firmware hands its features in so, whatever the file says: 0 to 26 as -128 to 127."""
SCORE = Quantisation([1 / 256], zero_point=-128)
"""What LOGISTIC must write."""
UNSIGNED_SCORE = Quantisation([1 / 256], zero_point=0)
"""The same as uint8, which the firmware compares with its cutoff."""
LOGIT_LIMIT = 6.0
LOGIT = Quantisation([2 * LOGIT_LIMIT / 255], zero_point=0)
"""Log-odds beyond 6 are no other score in steps of 1/256 (the highest score, 255/256, has 5.5): a wider range would
only make the steps around 0.5 coarser."""


def affine(low: float, high: float) -> Quantisation:
    """A scale and a zero point for values between `low` and `high`; 0 lies in the range and is an integer.

    Args:
        low, high: real values.

    >>> affine(0.0, 25.5)
    Quantisation(scales=[0.1], zero_point=-128, axis=0)
    """
    low, high = min(0.0, low), max(0.0, high)
    if high == low:
        return Quantisation([1.0], zero_point=0)
    scale = (high - low) / (HIGHEST - LOWEST)
    return Quantisation([scale], zero_point=int(np.clip(round(LOWEST - low / scale), LOWEST, HIGHEST)))


def weights(values: Float64Array, *, axis: int | None) -> tuple[Float64Array, Quantisation]:
    """Weights as integers in -127 to 127.

    Args:
        values: real weights.
        axis: that has a scale per index; None for one scale.

    Shape: as `values`
    """
    others = tuple(other for other in range(values.ndim) if other != axis) if axis is not None else None
    largest = np.abs(values).max(axis=others, keepdims=True)
    # A channel of nothing but zeros: any scale does.
    scales = np.where(largest > 0, largest / WEIGHT_LIMIT, 1.0)
    return np.round(values / scales), Quantisation(scales.ravel().tolist(), axis=axis or 0)


def biases(values: Float64Array, source: Quantisation, weight: Quantisation) -> tuple[Float64Array, Quantisation]:
    """Biases as 32-bit integers.

    Args:
        values: real biases.
        source: of the layer's input.
        weight: of its weights.

    Shape: `[out] -> [out]`
    """
    scales = source.scale * np.asarray(weight.scales)
    return np.clip(np.round(values / scales), -_INT32_LIMIT, _INT32_LIMIT), Quantisation(
        np.broadcast_to(scales, values.shape).tolist() if len(scales) > 1 else scales.tolist()
    )


def to_integers(values: Float64Array, quantisation: Quantisation) -> Float64Array:
    """Real numbers as the int8 that stand for them.

    Shape: as `values`
    """
    return np.clip(np.round(values / quantisation.scale) + quantisation.zero_point, LOWEST, HIGHEST)
