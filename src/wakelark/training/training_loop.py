"""The training loop: steps, epochs, selection, checkpoints; what the loss is, only the trainer knows.

A run is a pure function of its settings, its data and its start weights: random numbers of a step (dropout) come from
torch's global generator, seeded anew at every step from (seed, step). A run that was interrupted and resumed at any
step therefore ends with the same bits on the same CPU, torch version and number of threads.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

import torch
from torch import Tensor, nn

from wakelark.errors import DataError, Interrupted, ModelError
from wakelark.training.batch import Batch
from wakelark.training.checkpoint import CheckpointFolder, Snapshot
from wakelark.training.counters import DISTILLATION_OFF
from wakelark.training.ema import WeightAverage
from wakelark.training.interrupt import InterruptGuard
from wakelark.training.metrics_log import Metrics, MetricsLog
from wakelark.training.run_state import StateKeeper
from wakelark.training.schedule import LoopSettings, learning_rate, step_seed
from wakelark.training.trainer import Trainer

logger = logging.getLogger(__name__)

SKIPS_BEFORE_ROLLBACK = 3
MAX_ROLLBACKS = 2
COLLAPSED_SPREAD = 1e-3
"""Log-odds: a model whose outputs for the clips of a batch differ by less (standard deviation) says the same to all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingResult:
    """What came out; the trainer's model holds the best averaged weights, in evaluation mode.

    Attributes:
        best_figure, best_step: the lowest selection figure and when it was reached.
        history: the metrics of all epochs.
        distilled_share: of all examples; `why_not_distilled` says why when it is below 1.
    """

    best_figure: float
    best_step: int
    history: Sequence[Metrics]
    distilled_share: float
    why_not_distilled: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingPlan:
    """What a training is, beside its trainer.

    Attributes:
        settings: see `LoopSettings`.
        batches: epoch -> at least `steps_per_epoch` batches; must depend on nothing but the epoch (and its seed).
        select: the model with averaged weights, in evaluation mode -> a figure, the lower the better: the development
            miss rate.
        checkpoints: where they go; None keeps none.
        identity: what the run is a function of; checkpoints of another identity are refused.
        metrics: gets a line per epoch.
        on_step: is told (steps done, steps in all).
        on_epoch: is told the line of metrics.
        resume_command: named when the run is interrupted.
    """

    settings: LoopSettings
    batches: Callable[[int], Iterator[Batch]]
    select: Callable[[nn.Module], float]
    checkpoints: CheckpointFolder | None
    identity: Mapping[str, object]
    metrics: MetricsLog | None
    on_step: Callable[[int, int], None]
    on_epoch: Callable[[Metrics], None]
    resume_command: str


def run_training(trainer: Trainer, plan: TrainingPlan) -> TrainingResult:
    """Train the trainer's model, going on from the newest checkpoint if there is one.

    Raises:
        Interrupted: by Ctrl-C or SIGTERM, after a checkpoint.
        ModelError: the training diverged, or the checkpoint belongs to another run.
        DataError: `batches` gave too few.
        SetupError: a checkpoint or the metrics could not be written.
    """
    return _Loop(trainer, plan).run()


class _Loop:
    def __init__(self, trainer: Trainer, plan: TrainingPlan) -> None:
        self._trainer = trainer
        self._model = trainer.model
        self._plan = plan
        self._settings = plan.settings
        self._average = WeightAverage(trainer.model, decay=plan.settings.ema_decay)
        self._keeper = StateKeeper(trainer, self._average)
        trained = (*trainer.model.parameters(), *trainer.companions.parameters())
        self._parameters = [parameter for parameter in trained if parameter.requires_grad]
        self._buffers = list(trainer.model.buffers())
        self._last: Snapshot = self._keeper.take()

    def run(self) -> TrainingResult:
        self._resume()
        with InterruptGuard() as guard:
            while self._keeper.state.step < self._settings.steps:
                self._run_epoch(guard)
                if guard.signal_number is not None:
                    self._save()
                    raise Interrupted(
                        f"stopped after step {self._keeper.state.step} of {self._settings.steps}; "
                        + (
                            f"go on with: {self._plan.resume_command}"
                            if self._plan.checkpoints
                            else "nothing was saved"
                        ),
                        guard.signal_number,
                    )
        return self._finish()

    def _resume(self) -> None:
        snapshot = self._plan.checkpoints.newest(self._plan.identity) if self._plan.checkpoints else None
        if snapshot is not None:
            self._keeper.restore(snapshot)
            self._last = snapshot
        if self._plan.metrics is not None:
            self._plan.metrics.replace(self._keeper.state.history)

    def _run_epoch(self, guard: InterruptGuard) -> None:
        """The (rest of the) running epoch; ends early at an interrupt or a roll-back."""
        per_epoch, steps = self._settings.steps_per_epoch, self._settings.steps
        epoch, done = divmod(self._keeper.state.step, per_epoch)
        todo = min(per_epoch, steps - epoch * per_epoch) - done
        source = self._plan.batches(epoch)
        self._model.train()
        try:
            given = 0
            for batch in islice(source, done, done + todo):
                started = time.perf_counter()
                rolled_back = self._step(batch)
                if rolled_back:
                    return
                given += 1
                self._keeper.state.add("seconds", time.perf_counter() - started)
                self._plan.on_step(self._keeper.state.step, steps)
                if guard.signal_number is not None and given < todo:
                    return
        finally:
            if isinstance(source, Generator):
                source.close()
        if given < todo:
            raise DataError(f"epoch {epoch} has {done + given} batches, but {done + todo} steps are to be made")
        self._end_epoch(epoch)

    def _step(self, batch: Batch) -> bool:
        """One step; True when it ended in a roll-back."""
        settings, state, optimizer = self._settings, self._keeper.state, self._trainer.optimizer
        torch.manual_seed(step_seed(settings.seed, state.step))
        rate = state.lr_factor * learning_rate(
            state.step, steps=settings.steps, warmup_share=settings.warmup_share, peak=settings.learning_rate
        )
        for group in optimizer.param_groups:
            group["lr"] = rate * group.get("rate_factor", 1.0)
        self._trainer.progress = state.step / max(1, settings.steps - 1)
        buffers = [buffer.clone() for buffer in self._buffers]
        distilled = self._trainer.counters.distilled_examples
        loss, parts = self._loss(batch)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self._parameters, settings.clip_norm)
        values = dict(zip(("loss", "grad_norm", *parts), torch.stack([loss.detach(), norm, *parts.values()]).tolist(),
                          strict=True))  # one transfer for all  # fmt: skip
        state.step += 1
        if not (math.isfinite(values["loss"]) and math.isfinite(values["grad_norm"])):
            return self._skip(batch, buffers)
        state.skipped_in_a_row = 0
        optimizer.step()
        self._average.update(self._model, state.updates)
        state.updates += 1
        for name, value in values.items():
            state.add(name, value)
        state.add("examples", len(batch.targets))
        state.add("distilled", self._trainer.counters.distilled_examples - distilled)
        return False

    def _loss(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """The whole loss and its terms, and each term's part in it. The only place that calls `compute_loss`."""
        trainer = self._trainer
        forward = trainer.forward(batch)
        loss = trainer.compute_loss(
            outputs=forward.outputs,
            targets=batch.targets,
            inputs=batch.raw_audio,
            processed_inputs=batch.features,
            is_hard_negative=batch.is_hard_negative,
        )
        loss = loss + trainer.auxiliary_loss(forward, batch)
        terms = trainer.terms
        parts = {f"part_{name}": weight * terms.values[name] for name, weight in terms.weights.items()}
        spread = forward.outputs.detach().float().std(dim=0, correction=0).mean()
        return loss, {**terms.values, **parts, "output_spread": spread}

    def _skip(self, batch: Batch, buffers: list[Tensor]) -> bool:
        """Leave out a step whose loss or gradient is not finite; roll back after some in a row."""
        state = self._keeper.state
        for buffer, before in zip(self._buffers, buffers, strict=True):
            buffer.copy_(before)  # running statistics have seen the batch
        state.skipped_steps += 1
        state.skipped_in_a_row += 1
        names = ", ".join(str(example) for example in list(batch.examples)[:8])
        logger.warning("step %d skipped: its loss or gradient is not finite (examples %s ...)", state.step, names)
        if state.skipped_in_a_row < SKIPS_BEFORE_ROLLBACK:
            return False
        if state.rollbacks >= MAX_ROLLBACKS:
            raise ModelError(
                f"the training diverged: the loss was not finite for {SKIPS_BEFORE_ROLLBACK} steps in a row at step "
                f"{state.step}, also after {MAX_ROLLBACKS} roll-backs with a lower learning rate. Lower "
                f"training.learning_rate, or look at the last batch's examples: {names} ..."
            )
        rollbacks, skipped, factor = state.rollbacks + 1, state.skipped_steps, state.lr_factor / 2
        self._keeper.restore(self._last)
        state = self._keeper.state
        state.rollbacks, state.skipped_steps, state.lr_factor = rollbacks, skipped, factor
        logger.warning("rolled back to step %d, learning rate x %g", state.step, factor)
        if self._plan.metrics is not None:
            self._plan.metrics.replace(state.history)
        return True

    def _end_epoch(self, epoch: int) -> None:
        state, settings = self._keeper.state, self._settings
        last = state.step >= settings.steps
        figure = self._figure() if last or (epoch + 1) % settings.select_every == 0 else None
        line = state.line(epoch, figure, learning_rate=self._trainer.optimizer.param_groups[0]["lr"])
        state.history.append(line)
        self._warn_of_collapse(epoch)
        state.sums = {}
        if self._plan.metrics is not None:
            self._plan.metrics.append(line)
        self._save()
        self._plan.on_epoch(line)

    def _warn_of_collapse(self, epoch: int) -> None:
        """Say at the end of the second epoch, while little is lost, that all clips get the same answer."""
        spread = self._keeper.state.mean("output_spread")
        if epoch == 1 and spread is not None and spread < COLLAPSED_SPREAD:
            logger.warning(
                "the model ignores its input: after 2 epochs its outputs differ by %.1g log-odds within a batch. Check "
                "that positives and negatives are not the same sounds, and lower training.learning_rate (%g)",
                spread,
                self._settings.learning_rate,
            )

    def _figure(self) -> float:
        """The selection figure of the averaged weights, which are kept when no earlier ones were better."""
        with self._average.applied_to(self._model) as model, torch.no_grad():
            figure = float(self._plan.select(model))
        state = self._keeper.state
        # Of equals the later one: it has seen more and is averaged over a calmer stretch.
        if math.isfinite(figure) and (state.best_figure is None or figure <= state.best_figure):
            state.best_figure, state.best_step = figure, state.step
            self._keeper.best_weights = self._average.state()
        return figure

    def _save(self) -> None:
        self._last = self._keeper.take()
        if self._plan.checkpoints is not None:
            self._plan.checkpoints.save(self._last, self._plan.identity)

    def _finish(self) -> TrainingResult:
        state, counters = self._keeper.state, self._trainer.counters
        if state.best_figure is None or state.best_step is None:
            raise ModelError(
                "no selection figure was finite, so there is no best model: check the development recordings and "
                "positives it is computed from"
            )
        self._model.load_state_dict(self._keeper.best_weights)
        self._model.eval()
        why = counters.why_not_distilled()
        if why and why != DISTILLATION_OFF:
            logger.warning("%s", why)
        if counters.flagged_positives:
            logger.warning(
                "flagged_positives is %d: positives with the hard-negative flag, which was ignored; "
                "see docs/knowledge_distillation_guide.md, Issue #8",
                counters.flagged_positives,
            )
        return TrainingResult(
            best_figure=state.best_figure,
            best_step=state.best_step,
            history=state.history,
            distilled_share=counters.distilled_share,
            why_not_distilled=why,
        )
