"""Where a training stands, and how that becomes a snapshot and comes back from one."""

from __future__ import annotations

import copy
from dataclasses import asdict, dataclass, field

import torch
from torch import Tensor

from wakelark.errors import ModelError
from wakelark.training.checkpoint import Snapshot
from wakelark.training.ema import WeightAverage
from wakelark.training.loss_terms import TERMS
from wakelark.training.metrics_log import Metrics
from wakelark.training.trainer import Trainer


@dataclass(slots=True, kw_only=True)
class RunState:
    """The numbers of a run besides its tensors.

    Attributes:
        step: steps done, skipped ones included.
        updates: optimiser updates done.
        history: the metrics of the finished epochs.
        sums: of the running epoch: name -> [total, how many].
        best_figure, best_step: the lowest selection figure so far, and the step it was reached at; None before the
            first.
        lr_factor: halved by every roll-back.
        rollbacks: how many there were.
        skipped_steps, skipped_in_a_row: steps whose loss or gradient was not finite.
    """

    step: int = 0
    updates: int = 0
    history: list[Metrics] = field(default_factory=list)
    sums: dict[str, list[float]] = field(default_factory=dict)
    best_figure: float | None = None
    best_step: int | None = None
    lr_factor: float = 1.0
    rollbacks: int = 0
    skipped_steps: int = 0
    skipped_in_a_row: int = 0

    def add(self, name: str, value: float) -> None:
        """Add a value to the running epoch's sums."""
        total = self.sums.setdefault(name, [0.0, 0])
        total[0] += value
        total[1] += 1

    def mean(self, name: str) -> float | None:
        """The running epoch's mean, None when there was no value."""
        total, count = self.sums.get(name, (0.0, 0))
        return total / count if count else None

    def total(self, name: str) -> float:
        """The running epoch's sum, 0 when there was no value."""
        return self.sums.get(name, (0.0,))[0]

    def share(self, name: str, whole: str) -> float | None:
        """One of the running epoch's sums divided by another, None when that is 0."""
        return self.total(name) / self.total(whole) if self.total(whole) else None

    def line(self, epoch: int, figure: float | None, *, learning_rate: float) -> Metrics:
        """The metrics of the running epoch, which ends here."""
        examples, seconds = self.total("examples"), self.total("seconds")
        return {
            "epoch": epoch + 1,
            "step": self.step,
            **{name: self.mean(name) for name in ("loss", *TERMS)},
            **{f"share_{name}": self.share(f"part_{name}", "loss") for name in TERMS},
            "grad_norm": self.mean("grad_norm"),
            "output_spread": self.mean("output_spread"),
            "learning_rate": learning_rate,
            "distilled_share": self.share("distilled", "examples") or 0.0,
            "teacher_right_share": self.mean("teacher_right_share"),
            "selection": figure,
            "best": self.best_figure,
            "skipped_steps": self.skipped_steps,
            "rollbacks": self.rollbacks,
            "seconds": round(seconds, 3),
            "clips_per_s": round(examples / seconds, 1) if seconds else 0.0,
        }


class StateKeeper:
    """Takes and restores snapshots of everything that changes during a training.

    Args:
        trainer: its model, companions, optimizer and counters.
        average: the moving average of the model's weights.

    Attributes:
        state: the numbers.
        best_weights: the averaged weights at the best selection so far.
    """

    def __init__(self, trainer: Trainer, average: WeightAverage) -> None:
        self._trainer = trainer
        self._average = average
        self.state = RunState()
        self.best_weights: dict[str, Tensor] = average.state()

    def take(self) -> Snapshot:
        """A copy of the present state."""
        optimizer = {
            f"{index}/{name}": value.detach().clone()
            for index, values in self._trainer.optimizer.state_dict()["state"].items()
            for name, value in _tensors(values)
        }
        model = {name: tensor.detach().clone() for name, tensor in self._trainer.model.state_dict().items()}
        companions = {name: tensor.detach().clone() for name, tensor in self._trainer.companions.state_dict().items()}
        tensors = {
            "model": model,
            "companions": companions,
            "ema": self._average.state(),
            "best": {name: tensor.clone() for name, tensor in self.best_weights.items()},
            "optimizer": optimizer,
            "random": {"torch": torch.get_rng_state()},
        }
        progress = {"state": asdict(self.state), "counters": self._trainer.counters.to_dict()}
        return Snapshot(step=self.state.step, tensors=tensors, progress=progress)

    def restore(self, snapshot: Snapshot) -> None:
        """Go back, or on, to a snapshot; it stays usable.

        Raises:
            ModelError: the tensors do not fit the model.
        """
        tensors = snapshot.tensors
        try:
            self._trainer.model.load_state_dict(tensors["model"])
            self._trainer.companions.load_state_dict(tensors["companions"])
            self._average.restore(tensors["ema"])
        except (RuntimeError, KeyError) as error:
            raise ModelError(
                f"the checkpoint of step {snapshot.step} does not fit the model: {error}; train into another folder"
            ) from error
        self.best_weights = {name: tensor.clone() for name, tensor in tensors["best"].items()}
        values: dict[int, dict[str, Tensor]] = {}
        for key, tensor in tensors["optimizer"].items():
            index, name = key.split("/")
            values.setdefault(int(index), {})[name] = tensor.clone()
        groups = self._trainer.optimizer.state_dict()["param_groups"]
        self._trainer.optimizer.load_state_dict({"state": values, "param_groups": groups})
        torch.set_rng_state(tensors["random"]["torch"])
        progress = copy.deepcopy(snapshot.progress)
        self.state = RunState(**progress["state"])
        self._trainer.counters.restore(progress["counters"])


def _tensors(values: dict[str, object]) -> list[tuple[str, Tensor]]:
    """An optimizer's state of one parameter; only tensors can be saved."""
    found = []
    for name, value in values.items():
        if not isinstance(value, Tensor):
            raise ModelError(f"the optimizer keeps {name} as {type(value).__name__}; only tensors can be checkpointed")
        found.append((name, value))
    return found
