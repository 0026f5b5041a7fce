"""The accurate model's head as an openWakeWord model: the last 16 embeddings in, one probability out, static shapes.

openWakeWord's runtimes compute the embeddings and smooth nothing. So the head does here what the card asks for: it
looks at the newest window of its own length and at those one and two steps before, and gives the mean of their
probabilities. 0.5 of that is the normal preset, as in `model.onnx`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import Tensor, nn

from wakelark.audio import Float32Array
from wakelark.errors import ModelError
from wakelark.features.embedding import EMBEDDING_SIZE
from wakelark.features.onnx_graph import GraphBuilder
from wakelark.features.spectrum import Float64Array
from wakelark.models.heads import EmbeddingHead, HeadEnsemble

EMBEDDINGS = 16
"""What openWakeWord's own models take, 1.98 s; its runtimes read the number from the file, and most people do not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenWakeWordHead:
    """All heads side by side as three layers over windows of embeddings, with everything folded in.

    `probability = mean over the newest `averaged` windows of sigmoid(out . relu(mix . relu(window)))`

    Attributes:
        window: `[H, taps, 96]`, the oldest embedding of a window first.
        window_bias: `[H]`
        mix: `[M, H]`, block-diagonal: no head hears another.
        mix_bias: `[M]`
        out: `[M]`
        out_bias: one number, with the calibration and the shift of the normal preset in it.
        averaged: windows over which the probability is averaged; each ends one embedding before the next.
    """

    window: Float32Array
    window_bias: Float32Array
    mix: Float32Array
    mix_bias: Float32Array
    out: Float32Array
    out_bias: float
    averaged: int

    @property
    def taps(self) -> int:
        """Embeddings in a window."""
        return self.window.shape[1]

    def probability(self, embeddings: Float32Array) -> Float64Array:
        """What the head says, in float64. Shape: `[B, 16, 96] -> [B]`"""
        total = np.zeros(len(embeddings))
        for back in range(self.averaged):
            stop = EMBEDDINGS - back
            heard = embeddings[:, stop - self.taps : stop].astype(np.float64)
            values = np.maximum(np.einsum("bte,hte->bh", heard, self.window) + self.window_bias, 0)
            values = np.maximum(values @ self.mix.T + self.mix_bias, 0)
            total += 1 / (1 + np.exp(-(values @ self.out + self.out_bias)))
        return total / self.averaged


def open_wake_word_head(ensemble: HeadEnsemble, *, shift: float, smoothing_steps: int) -> OpenWakeWordHead:
    """The heads of a run as one openWakeWord head.

    Args:
        ensemble: trained and calibrated.
        shift: is added to the logits.
        smoothing_steps: of the card.

    Raises:
        ModelError: windows and smoothing need more than 16 embeddings.
    """
    needed = ensemble.context_steps + smoothing_steps - 1
    if needed > EMBEDDINGS:
        raise ModelError(
            f"the heads look at {ensemble.context_steps} embeddings and are averaged over {smoothing_steps} steps: "
            f"that takes {needed}, and an openWakeWord model gets {EMBEDDINGS}; train with a smaller "
            "teacher.context_steps, or a smaller evaluation.smoothing_s"
        )
    heads = ensemble.heads
    windows = [_whitened(head) for head in heads]
    share = [1 / (float(temperature) * len(heads)) for temperature in ensemble.temperatures]
    bias = sum(float(_bias(head.out)[0]) * part for head, part in zip(heads, share, strict=True))
    return OpenWakeWordHead(
        window=np.concatenate([window for window, _ in windows]).astype(np.float32),
        window_bias=np.concatenate([bias for _, bias in windows]).astype(np.float32),
        mix=_side_by_side([_numpy(head.mix.weight)[:, :, 0] for head in heads]).astype(np.float32),
        mix_bias=np.concatenate([_bias(head.mix) for head in heads]).astype(np.float32),
        out=np.concatenate(
            [_numpy(head.out.weight)[0, :, 0] * part for head, part in zip(heads, share, strict=True)]
        ).astype(np.float32),
        out_bias=float(np.float32(bias + float(ensemble.biases.double().mean()) + shift)),
        averaged=smoothing_steps,
    )  # fmt: skip


def write_onnx_head(head: OpenWakeWordHead) -> bytes:
    """The head as an ONNX file.

    Shape: `embeddings` `[1, 16, 96]` -> `score` `[1, 1]`, float32
    """
    graph = GraphBuilder("wakelark_open_wake_word")
    heard = graph.input("embeddings", [1, EMBEDDINGS, EMBEDDING_SIZE])
    kept = head.taps + head.averaged - 1
    values = graph.node("Transpose", [graph.slice(heard, axis=1, start=EMBEDDINGS - kept)], {"perm": [0, 2, 1]})
    values = _conv(graph, values, head.window.transpose(0, 2, 1), head.window_bias)
    values = _conv(graph, graph.node("Relu", [values]), head.mix[:, :, None], head.mix_bias)
    out = head.out[None, :, None]
    values = _conv(graph, graph.node("Relu", [values]), out, np.array([head.out_bias], np.float32))
    scores = graph.node("ReduceMean", [graph.node("Sigmoid", [values])], {"axes": [2], "keepdims": 0})
    graph.output(scores, "score", [1, 1])
    return graph.build({}).SerializeToString()


def _conv(graph: GraphBuilder, values: str, weight: Float32Array, bias: Float32Array) -> str:
    inputs = [values, graph.constant(weight), graph.constant(bias)]
    return graph.node("Conv", inputs, {"kernel_shape": [weight.shape[2]]})


def _whitened(head: EmbeddingHead) -> tuple[Float64Array, Float64Array]:
    """The first layer with the scaling of the embedding folded in. Shape: `-> ([H, taps, 96], [H])`"""
    weight = _numpy(head.window.weight) / _numpy(head.deviation)[:, None]
    return weight.transpose(0, 2, 1), _bias(head.window) - np.einsum("oik,i->o", weight, _numpy(head.mean))


def _side_by_side(blocks: list[Float64Array]) -> Float64Array:
    """A block-diagonal matrix."""
    whole = np.zeros((sum(len(block) for block in blocks), sum(block.shape[1] for block in blocks)))
    row = column = 0
    for block in blocks:
        whole[row : row + len(block), column : column + block.shape[1]] = block
        row, column = row + len(block), column + block.shape[1]
    return whole


def _bias(layer: nn.Conv1d) -> Float64Array:
    if layer.bias is None:
        raise ValueError("a head's convolutions have biases")
    return _numpy(layer.bias)


def _numpy(tensor: Tensor) -> Float64Array:
    return tensor.detach().cpu().double().numpy()
