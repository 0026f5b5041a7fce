"""The settings of a training loop; the learning rate and the random seed of a step.

The latter two are pure functions of the step's number, so that resuming needs no state.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

_MASK = 2**64 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopSettings:
    """How long, how fast, how often; `training.*` of the configuration.

    Attributes:
        steps: in all.
        steps_per_epoch: an epoch ends with metrics, selection and a checkpoint.
        select_every: selection runs at every this-many-th epoch, and after the last step.
        learning_rate, warmup_share: of the schedule.
        clip_norm: gradients are clipped to this norm.
        ema_decay: of the averaged weights.
        seed: of the random numbers of the steps.
    """

    steps: int
    steps_per_epoch: int
    select_every: int
    learning_rate: float
    warmup_share: float
    clip_norm: float
    ema_decay: float
    seed: int


def learning_rate(step: int, *, steps: int, warmup_share: float, peak: float) -> float:
    """Linear warm-up to `peak` over the first `warmup_share` of the steps, then half a cosine down to 0 after the last.

    >>> [round(learning_rate(step, steps=10, warmup_share=0.2, peak=1.0), 3) for step in (0, 1, 2, 6, 10)]
    [0.5, 1.0, 1.0, 0.5, 0.0]
    """
    warmup = int(warmup_share * steps)
    if step < warmup:
        return peak * (step + 1) / warmup
    progress = (step - warmup) / max(1, steps - warmup)
    return peak * 0.5 * (1.0 + math.cos(math.pi * min(1.0, progress)))


def step_seed(seed: int, step: int) -> int:
    """A seed for the random numbers of one step (dropout), unrelated between neighbouring steps and seeds.

    >>> step_seed(0, 1) != step_seed(1, 0)
    True
    """
    # splitmix64 over both numbers
    value = (seed * 0x9E3779B97F4A7C15 + step * 0xBF58476D1CE4E5B9 + 0x94D049BB133111EB) & _MASK
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & _MASK
    return (value ^ (value >> 31)) >> 1  # torch takes 63 bits
