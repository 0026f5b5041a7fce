"""The accurate model's heads as an openWakeWord model in ONNX: 16 embeddings in, one probability out, static shapes.

Other programs compute the embeddings and smooth nothing. So the model does here what the card of `model.onnx` asks for:
it looks at the newest window of its own length and at those one, two, ... embeddings before, and gives the mean of
their probabilities. 0.5 of that is the normal preset, as in `model.onnx`.
"""

from __future__ import annotations

import numpy as np

from wakelark.features.embedding import EMBEDDING_SIZE
from wakelark.features.onnx_graph import GraphBuilder
from wakelark.features.spectrum import Float64Array
from wakelark.models.head_layers import head_layers
from wakelark.models.heads import HeadEnsemble

OPENWAKEWORD_STEPS = 16
"""Embeddings that every openWakeWord program hands to a model, 1.98 s; the newest is the last."""


def steps_needed(context_steps: int, averaged: int) -> int:
    """How many embeddings a model needs whose windows of `context_steps` are averaged over `averaged` steps.

    >>> steps_needed(10, 2)
    11
    """
    return context_steps + averaged - 1


def open_wake_word_onnx(ensemble: HeadEnsemble, shift: float, *, averaged: int) -> bytes:
    """An ONNX file.

    Args:
        ensemble: trained and calibrated.
        shift: is added to the logits before the sigmoid.
        averaged: so many of the newest windows count.

    Shape of its input and output: `[1, 16, 96] -> [1, 1]`

    Raises:
        ValueError: that takes more than 16 embeddings.
    """
    needed = steps_needed(ensemble.context_steps, averaged)
    if needed > OPENWAKEWORD_STEPS:
        raise ValueError(f"{needed} embeddings are needed; openWakeWord gives {OPENWAKEWORD_STEPS}")
    graph = GraphBuilder("wakelark_open_wake_word")
    heard = graph.input("embeddings", [1, OPENWAKEWORD_STEPS, EMBEDDING_SIZE])
    newest = graph.slice(heard, axis=1, start=OPENWAKEWORD_STEPS - needed)
    values = graph.node("Transpose", [newest], {"perm": [0, 2, 1]})
    layers = head_layers(ensemble, shift)
    values = graph.node("Relu", [_conv(graph, values, layers.windows, groups=1)])
    values = graph.node("Relu", [_conv(graph, values, layers.mixes, groups=len(layers.mixes))])
    values = _conv(graph, values, [(layers.out, layers.out_bias)], groups=1)
    scores = graph.node("ReduceMean", [graph.node("Sigmoid", [values])], {"axes": [2], "keepdims": 0})
    graph.output(scores, "score", [1, 1])
    return graph.build({}).SerializeToString()


def _conv(graph: GraphBuilder, values: str, layers: list[tuple[Float64Array, Float64Array]], *, groups: int) -> str:
    weight = np.concatenate([weight for weight, _ in layers]).astype(np.float32)
    bias = np.concatenate([bias for _, bias in layers]).astype(np.float32)
    inputs = [values, graph.constant(weight), graph.constant(bias)]
    return graph.node("Conv", inputs, {"kernel_shape": [weight.shape[2]], "group": groups})
