"""An ensemble of heads as three plain layers, which is what files are made of."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from wakelark.features.spectrum import Float64Array
from wakelark.models.heads import EmbeddingHead, HeadEnsemble


@dataclass(frozen=True, slots=True)
class HeadLayers:
    """All heads side by side: `logit = out @ relu(mix @ relu(window * embeddings)) + bias`.

    Attributes:
        windows: weight `[hidden, 96, context_steps]` and bias `[hidden]` of each head's first layer, with the scaling
            of the embedding folded in.
        mixes: weight `[hidden // 2, hidden, 1]` and bias of each head's second layer.
        out: weight `[1, heads * (hidden // 2), 1]` of the mean of the calibrated logits.
        out_bias: `[1]`, with calibration and shift.
    """

    windows: list[tuple[Float64Array, Float64Array]]
    mixes: list[tuple[Float64Array, Float64Array]]
    out: Float64Array
    out_bias: Float64Array


def head_layers(ensemble: HeadEnsemble, shift: float) -> HeadLayers:
    """Calibration, whitening and shift folded into the heads' weights.

    Args:
        ensemble: trained and calibrated.
        shift: is added to the logits.
    """
    heads = ensemble.heads
    shares = [1 / (float(temperature) * len(heads)) for temperature in ensemble.temperatures]
    biases = [_vector(head.out.bias) * share for head, share in zip(heads, shares, strict=True)]
    return HeadLayers(
        windows=[_whitened(head) for head in heads],
        mixes=[(_numpy(head.mix.weight), _vector(head.mix.bias)) for head in heads],
        out=np.concatenate([_numpy(head.out.weight) * share for head, share in zip(heads, shares, strict=True)], 1),
        out_bias=np.sum(biases, 0) + float(ensemble.biases.double().mean()) + shift,
    )


def _whitened(head: EmbeddingHead) -> tuple[Float64Array, Float64Array]:
    weight = _numpy(head.window.weight) / _numpy(head.deviation)[:, None]
    return weight, _vector(head.window.bias) - np.einsum("oik,i->o", weight, _numpy(head.mean))


def _vector(bias: Tensor | None) -> Float64Array:
    if bias is None:
        raise ValueError("a head's convolutions have biases")
    return _numpy(bias)


def _numpy(tensor: Tensor) -> Float64Array:
    return tensor.detach().cpu().double().numpy()
