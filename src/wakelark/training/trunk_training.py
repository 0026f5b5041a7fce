"""Distilling the trunk: from noisy log-mel to the whitened speech embedding of the clean audio, at the same right edge.

The trunk hears 77 frames per step of 40 ms; an embedding comes every 80 ms from 76 frames. So step 2 e is to give
embedding e: both end within 3 ms of each other (`trunk_steps`).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from typing_extensions import override

from wakelark.errors import Interrupted, ModelError
from wakelark.features.embedding import EMBEDDING_HOP_SAMPLES
from wakelark.losses.embedding import Whitening, embedding_regression
from wakelark.models.trunk import STEP_SAMPLES, Trunk
from wakelark.training.checkpoint import CheckpointFolder, Snapshot
from wakelark.training.interrupt import InterruptGuard
from wakelark.training.metrics_log import Metrics, MetricsLog
from wakelark.training.schedule import learning_rate, step_seed
from wakelark.training.trunk_data import NOISE, Pieces
from wakelark.training.trunk_noise import InputNoise

if TYPE_CHECKING:
    from wakelark.config import TrunkConfig

CHECKPOINT_STEPS = 500
WARMUP_SHARE = 0.05
CLIP_NORM = 2.0
WEIGHT_DECAY = 1e-2
EVERY = EMBEDDING_HOP_SAMPLES // STEP_SAMPLES
_WEIGHTS = {"speech": 1.0, "music": 0.35, NOISE: 0.3}
"""How often a piece of each kind is drawn: music is more uniform, noise teaches what silence looks like."""
_NOISE_SHARE = 0.5  # of the disturbances; the others are speech and music


class Distilled(nn.Module):
    """A trunk with the projection that gives the embedding's components; only the trunk is kept."""

    def __init__(self, trunk: Trunk, components: int) -> None:
        super().__init__()
        self.trunk = trunk
        self.projection = nn.Conv1d(trunk.channels, components, 1)

    @override
    def forward(self, features: Tensor) -> Tensor:
        """Shape: `[B, 40, T] -> [B, E, K]`, one row per embedding"""
        return self.projection(self.trunk(features)[:, :, ::EVERY]).transpose(1, 2)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrunkRun:
    """What a trunk's training is a function of, and where it keeps its work.

    Attributes:
        config: steps, batch size, noise.
        seed: of weights, order and noise.
        pieces: the audio.
        whitening: of the embeddings.
        validate: the network in evaluation mode -> figures, for the log.
        checkpoints, identity, metrics: as for `run_training`.
        on_step: is told (steps done, steps in all).
        resume_command: named when the training is interrupted.
    """

    config: TrunkConfig
    seed: int
    pieces: Pieces
    whitening: Whitening
    validate: Callable[[Distilled], Metrics]
    checkpoints: CheckpointFolder
    identity: Mapping[str, object]
    metrics: MetricsLog
    on_step: Callable[[int, int], None]
    resume_command: str


@dataclass(slots=True)
class _State:
    """Where the training stands; the sums are of the lines' unfinished stretch."""

    step: int = 0
    history: list[Metrics] = field(default_factory=list)
    loss_sum: float = 0.0
    seconds: float = 0.0

    def end_line(self, rate: float, figures: Metrics) -> Metrics:
        """The line of metrics of the stretch that ends here."""
        steps = (self.step - 1) % CHECKPOINT_STEPS + 1
        line: Metrics = {"step": self.step, "loss": self.loss_sum / steps, "learning_rate": rate}
        line |= {"seconds": round(self.seconds, 1), **figures}
        self.history.append(line)
        self.loss_sum = self.seconds = 0.0
        return line


def train_trunk(network: Distilled, run: TrunkRun) -> list[Metrics]:
    """Train, going on from the newest checkpoint; the network ends in evaluation mode.

    Returns:
        The history: a line every 500 steps.

    Raises:
        Interrupted: by Ctrl-C or SIGTERM, after a checkpoint.
        ModelError: the loss is not finite.
    """
    config = run.config
    optimizer = torch.optim.AdamW(network.parameters(), lr=config.learning_rate, weight_decay=WEIGHT_DECAY, fused=True)
    state = _resume(network, optimizer, run)
    run.metrics.replace(state.history)
    with InterruptGuard() as guard:
        network.train()
        while state.step < config.steps:
            started = time.perf_counter()
            rate = learning_rate(state.step, steps=config.steps, warmup_share=WARMUP_SHARE, peak=config.learning_rate)
            for group in optimizer.param_groups:
                group["lr"] = rate
            state.loss_sum += _step(network, optimizer, run, state.step)
            state.step += 1
            state.seconds += time.perf_counter() - started
            run.on_step(state.step, config.steps)
            if state.step % CHECKPOINT_STEPS == 0 or state.step == config.steps:
                run.metrics.append(state.end_line(rate, _validated(network, run)))
                run.checkpoints.save(_snapshot(network, optimizer, state), run.identity)
            if guard.signal_number is not None and state.step < config.steps:
                run.checkpoints.save(_snapshot(network, optimizer, state), run.identity)
                message = f"stopped after step {state.step} of {config.steps}; go on with: {run.resume_command}"
                raise Interrupted(message, guard.signal_number)
    network.eval()
    return state.history


def batch_of(run: TrunkRun, step: int) -> tuple[Tensor, Tensor]:
    """Input and target of one step: a pure function of the seed and the step.

    Shape: `-> [B, 40, 837], [B, 96, K]`
    """
    rng = np.random.default_rng([run.seed, step, 0x7A4B])
    size = run.config.batch_size
    chosen = rng.choice(len(run.pieces.kinds), size=size, p=weights(run.pieces))
    noises = np.flatnonzero(run.pieces.kinds == NOISE)
    stationary = rng.random(size) < _NOISE_SHARE
    others = np.where(stationary, rng.choice(noises, size=size), rng.integers(len(run.pieces.kinds), size=size))
    noise = InputNoise(
        probability=run.config.noise_probability, snr_db_min=run.config.snr_db_min,
        snr_db_max=run.config.snr_db_max, gain_db=run.config.gain_db,
    )  # fmt: skip
    features = torch.from_numpy(run.pieces.logmel(chosen))
    disturbed = noise.apply(features, torch.from_numpy(run.pieces.logmel(others)), rng)
    return disturbed, run.whitening(torch.from_numpy(run.pieces.embeddings(chosen)))


def weights(pieces: Pieces) -> NDArray[np.float64]:
    """Probability of every piece. Shape: `-> [P]`, sum 1"""
    values = np.array([_WEIGHTS[str(kind)] for kind in pieces.kinds])
    return values / values.sum()


def _step(network: Distilled, optimizer: torch.optim.Optimizer, run: TrunkRun, step: int) -> float:
    torch.manual_seed(step_seed(run.seed, step))
    features, target = batch_of(run, step)
    loss = embedding_regression(network(features), target, run.whitening.weights).mean()
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    nn.utils.clip_grad_norm_(network.parameters(), CLIP_NORM)
    value = float(loss.detach())
    if not math.isfinite(value):
        raise ModelError(f"the trunk's loss is not finite at step {step}; lower trunk.learning_rate and start again")
    optimizer.step()
    return value


def _validated(network: Distilled, run: TrunkRun) -> Metrics:
    network.eval()
    with torch.no_grad():
        figures = run.validate(network)
    network.train()
    return figures


def _snapshot(network: Distilled, optimizer: torch.optim.Optimizer, state: _State) -> Snapshot:
    moments = {
        f"{index}/{name}": value.detach().clone()
        for index, values in optimizer.state_dict()["state"].items() for name, value in values.items()
    }  # fmt: skip
    model = {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}
    return Snapshot(step=state.step, tensors={"model": model, "optimizer": moments}, progress=asdict(state))


def _resume(network: Distilled, optimizer: torch.optim.Optimizer, run: TrunkRun) -> _State:
    snapshot = run.checkpoints.newest(run.identity)
    if snapshot is None:
        return _State()
    network.load_state_dict(snapshot.tensors["model"])
    values: dict[int, dict[str, Tensor]] = {}
    for key, tensor in snapshot.tensors["optimizer"].items():
        index, name = key.split("/")
        values.setdefault(int(index), {})[name] = tensor.clone()
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": values, "param_groups": groups})
    return _State(**snapshot.progress)
