"""The exponential moving average of the weights: what is selected, tested and exported."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class WeightAverage:
    """Moving average of a model's parameters and buffers.

    Early on the average follows quickly (`(1 + n) / (10 + n)` after n updates) until `decay` is reached; integer
    buffers are copied.
    """

    def __init__(self, model: nn.Module, *, decay: float) -> None:
        self._decay = decay
        self._average = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}

    @torch.no_grad()
    def update(self, model: nn.Module, updates: int) -> None:
        """Take in the model's weights after `updates` earlier updates."""
        decay = min(self._decay, (1 + updates) / (10 + updates))
        for name, tensor in model.state_dict().items():
            average = self._average[name]
            if average.is_floating_point():
                average.lerp_(tensor, 1.0 - decay)
            else:
                average.copy_(tensor)

    def state(self) -> dict[str, Tensor]:
        """A copy of the averaged weights, as a state dict of the model."""
        return {name: tensor.clone() for name, tensor in self._average.items()}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Set the average to a copy of `state`."""
        for name, tensor in self._average.items():
            tensor.copy_(state[name])

    @contextmanager
    def applied_to(self, model: nn.Module) -> Iterator[nn.Module]:
        """The model with the averaged weights, in evaluation mode, for the time of the block."""
        own = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
        training = model.training
        model.load_state_dict(self._average)
        model.eval()
        try:
            yield model
        finally:
            model.load_state_dict(own)
            model.train(training)
