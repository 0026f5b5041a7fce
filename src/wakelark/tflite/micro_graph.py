"""Layers of an int8 streaming model: what they remember lies in resource variables, as ESPHome's firmware runs them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from math import prod

import numpy as np

from wakelark.features.spectrum import Float64Array
from wakelark.tflite import quantise
from wakelark.tflite.builder import GraphBuilder, ModelBuilder
from wakelark.tflite.facts import MAX_VARIABLES, MicroFacts
from wakelark.tflite.layers import Layer
from wakelark.tflite.schema import (
    Activation,
    Kind,
    Op,
    Options,
    Quantisation,
    add_options,
    call_once_options,
    concatenation_options,
    conv_options,
    dense_options,
    depthwise_options,
    slice_options,
    variable_options,
)


class MicroGraph:
    """A streaming model under construction; each method adds a layer and gives the number of its output.

    Args:
        frames: feature frames per step.
        bands: values per frame.

    Attributes:
        start: the features, `[1, frames, 1, bands]`.
    """

    def __init__(self, *, frames: int, bands: int) -> None:
        self._model = ModelBuilder("wakelark, streaming model for micro_wake_word")
        self._main: GraphBuilder = self._model.graph("main")
        self._first = self._model.graph("first_states")
        self._variables: list[tuple[int, ...]] = []
        self._parameters = 0
        self._multiplications = 0
        features = self._main.input("features", [1, frames, bands], Kind.INT8, quantise.MICRO_INPUT)
        self._main.operator(Op.CALL_ONCE, [], [], call_once_options(graph=1))
        self.start = self._tensor("frames", [1, frames, 1, bands], quantise.MICRO_INPUT)
        shape = self._integers("frames_shape", [1, frames, 1, bands])
        self._main.operator(Op.RESHAPE, [features, shape], [self.start])

    def remember(self, name: str, values: int, *, steps: int) -> int:
        """The last `steps` of the past before `values`; the past begins as zeros.

        Shape: `[1, n, 1, C] -> [1, steps + n, 1, C]`
        """
        if steps == 0:
            return values
        _, new, _, channels = self._main.shape(values)
        meaning = self._main.quantisation(values)
        handle = self._variable(name, [1, steps, 1, channels], meaning)
        past = self._tensor(f"{name}_past", [1, steps, 1, channels], meaning)
        joined = self._tensor(f"{name}_joined", [1, steps + new, 1, channels], meaning)
        kept = self._tensor(f"{name}_kept", [1, steps, 1, channels], meaning)
        self._main.operator(Op.READ_VARIABLE, [handle], [past])
        self._main.operator(Op.CONCATENATION, [past, values], [joined], concatenation_options(axis=1))
        places = [self._integers("place", place) for place in ([0, new, 0, 0], [0, 0, 0, 0], [1, 1, 1, 1])]
        self._main.operator(Op.STRIDED_SLICE, [joined, *places], [kept], slice_options(axis=1, rank=4))
        self._main.operator(Op.ASSIGN_VARIABLE, [handle, kept], [])
        return joined

    def conv(self, name: str, values: int, layer: Layer, meaning: Quantisation) -> int:
        """A convolution over time, a scale per output channel.

        Args:
            name: of its tensors.
            values: `[1, n, 1, in]`.
            layer: real weights.
            meaning: of the output.
        """
        options = conv_options(stride=layer.stride, dilation=layer.dilation, activation=_activation(layer))
        image = layer.weight.transpose(0, 2, 1)[:, :, None, :]
        return self._weighted(Op.CONV_2D, name, values, layer, (image, 0), meaning, options)

    def depthwise(self, name: str, values: int, layer: Layer, meaning: Quantisation) -> int:
        """A convolution of each channel by itself; as `conv`."""
        if layer.stride != 1 or layer.dilation != 1:
            raise ValueError(f"{name}: a depthwise layer has no stride or dilation here")
        image = layer.weight.transpose(1, 2, 0)[:, :, None, :]
        options = depthwise_options(activation=_activation(layer))
        return self._weighted(Op.DEPTHWISE_CONV_2D, name, values, layer, (image, 3), meaning, options)

    def add(self, name: str, left: int, right: int, meaning: Quantisation) -> int:
        """The sum of two tensors of one shape, with what is below 0 made 0."""
        output = self._tensor(name, self._main.shape(left), meaning)
        self._main.operator(Op.ADD, [left, right], [output], add_options(activation=Activation.RELU))
        return output

    def score(self, values: int, layer: Layer) -> None:
        """The output: one weighted sum, as the probability that the firmware reads.

        Args:
            values: `[1, 1, 1, in]`.
            layer: weights of one output and one tap.
        """
        weight, scale = quantise.weights(layer.weight[..., 0], axis=None)
        bias, bias_scale = quantise.biases(layer.bias, self._main.quantisation(values), scale)
        weights = self._main.constant("out_weight", weight, Kind.INT8, scale)
        biases = self._main.constant("out_bias", bias, Kind.INT32, bias_scale)
        logit = self._tensor("logit", [1, 1], quantise.LOGIT)
        self._main.operator(Op.FULLY_CONNECTED, [values, weights, biases], [logit], dense_options())
        probability = self._tensor("probability", [1, 1], quantise.SCORE)
        self._main.operator(Op.LOGISTIC, [logit], [probability])
        output = self._main.tensor("score", [1, 1], Kind.UINT8, quantise.UNSIGNED_SCORE)
        self._main.operator(Op.QUANTIZE, [probability], [output])
        self._main.outputs = [output]
        self._count(layer)

    def finish(self, *, receptive_field_frames: int) -> tuple[bytes, MicroFacts]:
        """The file, and what it is made of.

        Raises:
            ValueError: it needs more variables than the firmware has room for.
        """
        if len(self._variables) > MAX_VARIABLES:
            raise ValueError(f"{len(self._variables)} resource variables; the firmware has room for {MAX_VARIABLES}")
        data = self._model.finish()
        return data, MicroFacts(
            size_bytes=len(data),
            operators={op.name: count for op, count in Counter(self._main.operators).items()},
            variables=len(self._variables),
            state_bytes=sum(prod(shape) for shape in self._variables),
            parameters=self._parameters,
            multiplications=self._multiplications,
            frames_per_step=self._main.shape(self.start)[1],
            receptive_field_frames=receptive_field_frames,
        )

    def _weighted(
        self,
        op: Op,
        name: str,
        values: int,
        layer: Layer,
        image: tuple[Float64Array, int],
        meaning: Quantisation,
        options: Options,
    ) -> int:
        weight, scale = quantise.weights(image[0], axis=image[1])
        bias, bias_scale = quantise.biases(layer.bias, self._main.quantisation(values), scale)
        weights = self._main.constant(f"{name}_weight", weight, Kind.INT8, scale)
        biases = self._main.constant(f"{name}_bias", bias, Kind.INT32, bias_scale)
        before = self._main.shape(values)[1] - (layer.weight.shape[2] - 1) * layer.dilation
        output = self._tensor(name, [1, (before - 1) // layer.stride + 1, 1, len(layer.bias)], meaning)
        self._main.operator(op, [values, weights, biases], [output], options)
        self._count(layer)
        return output

    def _variable(self, name: str, shape: Sequence[int], meaning: Quantisation) -> int:
        """A variable that the second graph fills with zeros, before the first step."""
        self._variables.append(tuple(shape))
        handles: list[int] = []
        for graph in (self._first, self._main):
            handles.append(graph.tensor(f"{name}_state", [], Kind.RESOURCE))
            graph.operator(Op.VAR_HANDLE, [], handles[-1:], variable_options(name=f"{name}/state"))
        zeros = self._first.constant(f"{name}_zeros", np.full(shape, meaning.zero_point), Kind.INT8, meaning)
        self._first.operator(Op.ASSIGN_VARIABLE, [handles[0], zeros], [])
        return handles[1]

    def _tensor(self, name: str, shape: Sequence[int], meaning: Quantisation) -> int:
        return self._main.tensor(name, shape, Kind.INT8, meaning)

    def _integers(self, name: str, values: Sequence[int]) -> int:
        return self._main.constant(name, np.array(values), Kind.INT32)

    def _count(self, layer: Layer) -> None:
        self._parameters += layer.weight.size + layer.bias.size
        self._multiplications += layer.weight.size


def _activation(layer: Layer) -> Activation:
    return Activation.RELU if layer.relu else Activation.NONE
