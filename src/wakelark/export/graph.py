"""Streaming graphs: raw audio and one flat state in, scores and the new state out (docs/model_file.md)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod

import onnx

from wakelark.audio import HOP_SAMPLES
from wakelark.features.onnx_graph import GraphBuilder

AUDIO_KEPT_SAMPLES = 2 * HOP_SAMPLES
"""Samples of the past that a call needs: frames reach 400 samples, or 456, from the start of a hop."""


class StreamGraph(GraphBuilder):
    """A graph whose layers remember the end of their input between calls.

    Attributes:
        audio: name of the input, `[1, n]`.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.audio = self.input("audio", [1, "n"])
        self._past: list[str] = []
        self._sizes: list[int] = []
        self._kept: list[str] = []

    @property
    def state_size(self) -> int:
        """Length of the flat state of all `remember` calls so far."""
        return sum(self._sizes)

    def remember(self, values: str, *, axis: int, keep: int, shape: Sequence[int]) -> str:
        """Put the last `keep` steps of the past before `values` along `axis`.

        Args:
            values: the new steps.
            axis: the time axis.
            keep: steps to remember; 0 gives `values` back.
            shape: shape of the remembered part, whose `axis` is `keep`.
        """
        if keep == 0:
            return values
        past = f"past_{len(self._past)}"
        self._past.append(past)
        self._sizes.append(prod(shape))
        joined = self.concat([self.reshape(past, shape), values], axis=axis)
        self._kept.append(self.reshape(self.slice(joined, axis=axis, start=-keep), [1, prod(shape)]))
        return joined

    def finish(self, scores: str, metadata: Mapping[str, str]) -> onnx.ModelProto:
        """Declare state and outputs and build.

        Shape of `scores`: `[1, steps]`
        """
        state = self.input("state", [1, self.state_size])
        self.split_first(state, self._sizes, self._past)
        self.output(scores, "scores", [1, "steps"])
        self.output(self.concat(self._kept, axis=1), "new_state", [1, self.state_size])
        return self.build(metadata)
