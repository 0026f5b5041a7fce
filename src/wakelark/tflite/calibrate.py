"""Finds the range of every tensor of an int8 model by what it does to the score.

Tensor by tensor, from the input on, with everything before it already in 8 bits: of the tensor's full range and some
that clip its rare outermost values, the one after which the log-odds differ least from the real network's. Log-odds
beyond what a score can show count as that limit, so that how sure the network is of silence decides nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from wakelark.audio import Float32Array
from wakelark.features.spectrum import Float64Array
from wakelark.tflite import quantise
from wakelark.tflite.layers import Conv, Depthwise, Layer, MicroLayers, Residual, Stage
from wakelark.tflite.schema import Quantisation

RANGE_SHARES = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5)
"""Shares of a tensor's full range that are tried."""


@dataclass(frozen=True, slots=True)
class _Flow:
    """What flows between two stages: values, and what the next `Residual` will add. Shape: `[1, C, n]`"""

    values: Tensor
    past: Tensor | None = None


def find_ranges(layers: MicroLayers, features: Float32Array) -> list[Quantisation]:
    """How the integers of each stage's output are meant.

    Args:
        layers: real.
        features: of continuous audio, 0 to 26.

    Shape of `features`: `[frames, bands]`; one result per stage.
    """
    integers = _integer_weights(layers)
    flow = _Flow(torch.from_numpy(quantised_features(features).T.astype(np.float32))[None])
    with torch.inference_mode():
        wanted = _clipped(_logits(layers, 0, flow))
        ranges: list[Quantisation] = []
        for number, stage in enumerate(integers.stages):
            flow = _through(stage, flow)
            candidates = [_in_8_bits(flow, candidate) for candidate in _candidates(flow.values)]
            errors = [
                float((_clipped(_logits(integers, number + 1, kept)) - wanted).square().sum()) for kept, _ in candidates
            ]
            flow, meaning = candidates[int(np.argmin(errors))]
            ranges.append(meaning)
    return ranges


def quantised_features(features: Float32Array) -> Float64Array:
    """The features as the model sees them: 0 to 26 in steps of 26/255.

    Shape: `[frames, bands] -> [frames, bands]`
    """
    meaning = quantise.MICRO_INPUT
    return (quantise.to_integers(features.astype(np.float64), meaning) - meaning.zero_point) * meaning.scale


def _integer_weights(layers: MicroLayers) -> MicroLayers:
    """The layers with the weights that their integers stand for."""

    def rounded(stage: Stage) -> Stage:
        if isinstance(stage, Conv):
            return Conv(stage.name, _rounded(stage.layer, axis=0))
        if isinstance(stage, Depthwise):
            return Depthwise(stage.name, _rounded(stage.layer, axis=0))
        return stage

    return MicroLayers([rounded(stage) for stage in layers.stages], _rounded(layers.out, axis=None))


def _rounded(layer: Layer, *, axis: int | None) -> Layer:
    integers, meaning = quantise.weights(layer.weight, axis=axis)
    scales = np.asarray(meaning.scales)[:, None, None]
    return Layer(integers * scales, layer.bias, stride=layer.stride, dilation=layer.dilation, relu=layer.relu)


def _candidates(values: Tensor) -> list[Quantisation]:
    low, high = float(values.min()), float(values.max())
    return [quantise.affine(share * low, share * high) for share in RANGE_SHARES]


def _in_8_bits(flow: _Flow, meaning: Quantisation) -> tuple[_Flow, Quantisation]:
    integers = torch.round(flow.values / meaning.scale) + meaning.zero_point
    kept = (integers.clamp(quantise.LOWEST, quantise.HIGHEST) - meaning.zero_point) * meaning.scale
    return _Flow(kept, flow.past), meaning


def _clipped(logits: Tensor) -> Tensor:
    return logits.clamp(-quantise.LOGIT_LIMIT, quantise.LOGIT_LIMIT)


def _logits(layers: MicroLayers, first: int, flow: _Flow) -> Tensor:
    """What the stages from `first` on make of what flows into them. Shape: `-> [1, 1, steps]`"""
    for stage in layers.stages[first:]:
        flow = _through(stage, flow)
    return _convolved(layers.out, flow.values)


def _through(stage: Stage, flow: _Flow) -> _Flow:
    if isinstance(stage, Residual):
        if flow.past is None:
            raise ValueError(f"{stage.name} has nothing to add: no depthwise stage lies before it")
        newest = flow.past[..., flow.past.shape[2] - flow.values.shape[2] :]
        return _Flow(functional.relu(flow.values + newest))
    if isinstance(stage, Depthwise):
        return _Flow(_convolved(stage.layer, flow.values, groups=flow.values.shape[1]), flow.values)
    return _Flow(_convolved(stage.layer, flow.values), flow.past)


def _convolved(layer: Layer, values: Tensor, *, groups: int = 1) -> Tensor:
    weight, bias = torch.from_numpy(layer.weight).float(), torch.from_numpy(layer.bias).float()
    sums = functional.conv1d(values, weight, bias, stride=layer.stride, dilation=layer.dilation, groups=groups)
    return functional.relu(sums) if layer.relu else sums
