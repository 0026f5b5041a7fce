"""The accurate model's heads as an openWakeWord model: 16 embeddings in, the probability of the phrase out."""

from __future__ import annotations

import numpy as np

from wakelark.features.embedding import EMBEDDING_SIZE
from wakelark.features.spectrum import Float64Array
from wakelark.models.head_layers import HeadLayers, head_layers
from wakelark.models.heads import HeadEnsemble
from wakelark.tflite.builder import GraphBuilder, ModelBuilder
from wakelark.tflite.schema import Activation, Kind, Op, dense_options, slice_options

OPENWAKEWORD_STEPS = 16
"""Embeddings that every openWakeWord program hands to a model; the newest is the last."""


def open_wake_word_tflite(ensemble: HeadEnsemble, shift: float) -> bytes:
    """A TFLite file of built-in float operators, without anything to download or convert.

    Args:
        ensemble: trained and calibrated.
        shift: is added to the logits before the sigmoid.

    Shape of its input and output: `[1, 16, 96] -> [1, 1]`

    Raises:
        ValueError: the heads look at more than 16 embeddings.
    """
    if ensemble.context_steps > OPENWAKEWORD_STEPS:
        raise ValueError(f"heads of {ensemble.context_steps} steps; openWakeWord gives {OPENWAKEWORD_STEPS}")
    model = ModelBuilder("wakelark, openWakeWord head")
    graph = model.graph("main")
    values = graph.input("embeddings", [1, OPENWAKEWORD_STEPS, EMBEDDING_SIZE], Kind.FLOAT32)
    values = _newest(graph, values, ensemble.context_steps)
    values = _add_layers(graph, values, head_layers(ensemble, shift))
    score = graph.tensor("score", [1, 1], Kind.FLOAT32)
    graph.operator(Op.LOGISTIC, [values], [score])
    graph.outputs = [score]
    return model.finish()


def _newest(graph: GraphBuilder, values: int, steps: int) -> int:
    """The last steps, as one row. Shape: `[1, 16, 96] -> [1, steps * 96]`"""
    if steps < OPENWAKEWORD_STEPS:
        newest = graph.tensor("newest", [1, steps, EMBEDDING_SIZE], Kind.FLOAT32)
        places = ([0, OPENWAKEWORD_STEPS - steps, 0], [0, 0, 0], [1, 1, 1])
        begin, end, stride = (
            graph.constant(name, np.array(place), Kind.INT32)
            for name, place in zip(("begin", "end", "stride"), places, strict=True)
        )
        graph.operator(Op.STRIDED_SLICE, [values, begin, end, stride], [newest], slice_options(axis=1, rank=3))
        values = newest
    row = graph.tensor("row", [1, steps * EMBEDDING_SIZE], Kind.FLOAT32)
    shape = graph.constant("row_shape", np.array([1, steps * EMBEDDING_SIZE]), Kind.INT32)
    graph.operator(Op.RESHAPE, [values, shape], [row])
    return row


def _add_layers(graph: GraphBuilder, values: int, layers: HeadLayers) -> int:
    windows = [weight.transpose(0, 2, 1).reshape(len(weight), -1) for weight, _ in layers.windows]
    values = _dense(graph, "window", values, np.concatenate(windows), _joined(layers.windows), Activation.RELU)
    values = _dense(graph, "mix", values, _block_diagonal(layers.mixes), _joined(layers.mixes), Activation.RELU)
    return _dense(graph, "out", values, layers.out[..., 0], layers.out_bias, Activation.NONE)


def _dense(
    graph: GraphBuilder, name: str, values: int, weight: Float64Array, bias: Float64Array, activation: Activation
) -> int:
    output = graph.tensor(name, [1, len(weight)], Kind.FLOAT32)
    weights = graph.constant(f"{name}_weight", weight, Kind.FLOAT32)
    biases = graph.constant(f"{name}_bias", bias, Kind.FLOAT32)
    graph.operator(Op.FULLY_CONNECTED, [values, weights, biases], [output], dense_options(activation=activation))
    return output


def _joined(layers: list[tuple[Float64Array, Float64Array]]) -> Float64Array:
    return np.concatenate([bias for _, bias in layers])


def _block_diagonal(layers: list[tuple[Float64Array, Float64Array]]) -> Float64Array:
    """One matrix that lets no head see another's values."""
    rows, columns = (sum(weight.shape[axis] for weight, _ in layers) for axis in (0, 1))
    joined = np.zeros((rows, columns))
    row = column = 0
    for weight, _ in layers:
        joined[row : row + weight.shape[0], column : column + weight.shape[1]] = weight[..., 0]
        row, column = row + weight.shape[0], column + weight.shape[1]
    return joined
