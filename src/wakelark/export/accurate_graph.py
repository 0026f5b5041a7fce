"""The speech embedding and the heads as one streaming graph."""

from __future__ import annotations

import numpy as np

from wakelark.export.front_ends import add_embedding_mel
from wakelark.export.graph import StreamGraph
from wakelark.features.embedding import EMBEDDING_SIZE, add_conv, add_pool
from wakelark.features.embedding_mel import MEL_BANDS
from wakelark.features.embedding_weights import ConvLayer, PoolLayer, read_layers
from wakelark.features.spectrum import Float64Array
from wakelark.models.head_layers import head_layers
from wakelark.models.heads import HeadEnsemble


def build_accurate_graph(ensemble: HeadEnsemble, shift: float) -> tuple[StreamGraph, str]:
    """The graph, not yet finished, and the name of its scores.

    Args:
        ensemble: trained.
        shift: is added to the logits.

    Shape of the scores: `[1, n / 1280]`

    Raises:
        SetupError: the package with the embedding's weights is missing.
    """
    graph = StreamGraph("wakelark_accurate")
    values = graph.node("Unsqueeze", [add_embedding_mel(graph), graph.ints([0, 1])])
    bands, channels = MEL_BANDS, 1
    for layer in read_layers():
        if isinstance(layer, PoolLayer):
            values = add_pool(graph, values, layer)
            bands //= layer.frequency
            continue
        values = _remember_rows(graph, values, taps=layer.weight.shape[2], channels=channels, bands=bands)
        values = add_conv(graph, values, layer)
        channels = layer.weight.shape[0]
    values = _remember_rows(graph, values, taps=ensemble.context_steps, channels=EMBEDDING_SIZE, bands=1)
    return graph, graph.reshape(graph.node("Sigmoid", [_add_heads(graph, values, ensemble, shift)]), [1, -1])


def _remember_rows(graph: StreamGraph, values: str, *, taps: int, channels: int, bands: int) -> str:
    return graph.remember(values, axis=2, keep=taps - 1, shape=[1, channels, taps - 1, bands])


def _add_heads(graph: StreamGraph, embeddings: str, ensemble: HeadEnsemble, shift: float) -> str:
    """All heads side by side: one convolution, one grouped one, and one that weighs and adds up."""
    layers = head_layers(ensemble, shift)
    values = _conv(graph, embeddings, [w for w, _ in layers.windows], [b for _, b in layers.windows], groups=1)
    values = graph.node("Relu", [values])
    mixes = layers.mixes
    values = _conv(graph, values, [w for w, _ in mixes], [b for _, b in mixes], groups=len(mixes))
    values = graph.node("Relu", [values])
    return _conv(graph, values, [layers.out], [layers.out_bias], groups=1)


def _conv(
    graph: StreamGraph, values: str, weights: list[Float64Array], biases: list[Float64Array], *, groups: int
) -> str:
    layer = ConvLayer(
        np.concatenate(weights)[..., None].astype(np.float32),
        np.concatenate(biases).astype(np.float32),
        activated=False,
    )
    inputs = [values, graph.constant(layer.weight), graph.constant(layer.bias)]
    return graph.node("Conv", inputs, {"kernel_shape": list(layer.weight.shape[2:]), "group": groups})
