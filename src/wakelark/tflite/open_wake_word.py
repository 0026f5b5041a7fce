"""The accurate model's heads as an openWakeWord model: 16 embeddings in, the probability of the phrase out."""

from __future__ import annotations

import numpy as np

from wakelark.export.open_wake_word import OPENWAKEWORD_STEPS, steps_needed
from wakelark.features.embedding import EMBEDDING_SIZE
from wakelark.features.spectrum import Float64Array
from wakelark.models.head_layers import HeadLayers, head_layers
from wakelark.models.heads import HeadEnsemble
from wakelark.tflite.builder import GraphBuilder, ModelBuilder
from wakelark.tflite.schema import Activation, Kind, Op, conv_options, mean_options, slice_options


def open_wake_word_tflite(ensemble: HeadEnsemble, shift: float, *, averaged: int) -> bytes:
    """A TFLite file of built-in float operators, without anything to download or convert.

    Args:
        ensemble: trained and calibrated.
        shift: is added to the logits before the sigmoid.
        averaged: the mean of the probabilities of so many of the newest windows is given: these programs smooth
            nothing themselves.

    Shape of its input and output: `[1, 16, 96] -> [1, 1]`

    Raises:
        ValueError: that takes more than 16 embeddings.
    """
    needed = steps_needed(ensemble.context_steps, averaged)
    if needed > OPENWAKEWORD_STEPS:
        raise ValueError(f"{needed} embeddings are needed; openWakeWord gives {OPENWAKEWORD_STEPS}")
    model = ModelBuilder("wakelark, openWakeWord head")
    graph = model.graph("main")
    values = graph.input("embeddings", [1, OPENWAKEWORD_STEPS, EMBEDDING_SIZE], Kind.FLOAT32)
    values = _newest(graph, values, needed)
    values = _add_layers(graph, values, head_layers(ensemble, shift), averaged)
    each = graph.tensor("each", [1, averaged, 1, 1], Kind.FLOAT32)
    graph.operator(Op.LOGISTIC, [values], [each])
    score = graph.tensor("score", [1, 1], Kind.FLOAT32)
    axes = graph.constant("axes", np.array([1, 2]), Kind.INT32)
    graph.operator(Op.MEAN, [each, axes], [score], mean_options())
    graph.outputs = [score]
    return model.finish()


def _newest(graph: GraphBuilder, values: int, steps: int) -> int:
    """The last steps, as an image. Shape: `[1, 16, 96] -> [1, steps, 1, 96]`"""
    if steps < OPENWAKEWORD_STEPS:
        newest = graph.tensor("newest", [1, steps, EMBEDDING_SIZE], Kind.FLOAT32)
        places = ([0, OPENWAKEWORD_STEPS - steps, 0], [0, 0, 0], [1, 1, 1])
        begin, end, stride = (
            graph.constant(name, np.array(place), Kind.INT32)
            for name, place in zip(("begin", "end", "stride"), places, strict=True)
        )
        graph.operator(Op.STRIDED_SLICE, [values, begin, end, stride], [newest], slice_options(axis=1, rank=3))
        values = newest
    image = graph.tensor("image", [1, steps, 1, EMBEDDING_SIZE], Kind.FLOAT32)
    shape = graph.constant("image_shape", np.array([1, steps, 1, EMBEDDING_SIZE]), Kind.INT32)
    graph.operator(Op.RESHAPE, [values, shape], [image])
    return image


def _add_layers(graph: GraphBuilder, values: int, layers: HeadLayers, averaged: int) -> int:
    windows = np.concatenate([weight for weight, _ in layers.windows])
    values = _conv(graph, "window", values, windows, _joined(layers.windows), averaged, Activation.RELU)
    values = _conv(
        graph, "mix", values, _block_diagonal(layers.mixes), _joined(layers.mixes), averaged, Activation.RELU
    )
    return _conv(graph, "out", values, layers.out, layers.out_bias, averaged, Activation.NONE)


def _conv(
    graph: GraphBuilder,
    name: str,
    values: int,
    weight: Float64Array,
    bias: Float64Array,
    steps: int,
    activation: Activation,
) -> int:
    """Shape of `weight`: `[out, in, taps]`, of the result: `[1, steps, 1, out]`"""
    output = graph.tensor(name, [1, steps, 1, len(weight)], Kind.FLOAT32)
    weights = graph.constant(f"{name}_weight", weight.transpose(0, 2, 1)[:, :, None], Kind.FLOAT32)
    biases = graph.constant(f"{name}_bias", bias, Kind.FLOAT32)
    graph.operator(Op.CONV_2D, [values, weights, biases], [output], conv_options(activation=activation))
    return output


def _joined(layers: list[tuple[Float64Array, Float64Array]]) -> Float64Array:
    return np.concatenate([bias for _, bias in layers])


def _block_diagonal(layers: list[tuple[Float64Array, Float64Array]]) -> Float64Array:
    """One matrix that lets no head see another's values. Shape: `-> [out, in, 1]`"""
    rows, columns = (sum(weight.shape[axis] for weight, _ in layers) for axis in (0, 1))
    joined = np.zeros((rows, columns, 1))
    row = column = 0
    for weight, _ in layers:
        joined[row : row + weight.shape[0], column : column + weight.shape[1]] = weight
        row, column = row + weight.shape[0], column + weight.shape[1]
    return joined
