"""The loop: it learns, selects, resumes to the same bits, survives bad batches and signals."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from wakelark.config import Config
from wakelark.errors import ConfigError, DataError, Interrupted, ModelError
from wakelark.training.batch import Batch
from wakelark.training.build import build_trainer, loop_settings, run_identity
from wakelark.training.checkpoint import CheckpointFolder
from wakelark.training.distillation_trainer import DistillationTrainer
from wakelark.training.ema import WeightAverage
from wakelark.training.metrics_log import Metrics, MetricsLog
from wakelark.training.schedule import learning_rate, step_seed
from wakelark.training.trainer import Trainer
from wakelark.training.training_loop import TrainingPlan, TrainingResult, run_training

TIMINGS = ("seconds", "clips_per_s")


class Student(nn.Module):
    """Features [B, 4, 6] to step logits [B, 6], with what makes resuming hard: dropout and running statistics."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Conv1d(4, 8, 1)
        self.norm = nn.BatchNorm1d(8)
        self.dropout = nn.Dropout(0.3)
        self.head = nn.Conv1d(8, 1, 1)

    def forward(self, features: Tensor) -> Tensor:
        return self.head(self.dropout(self.norm(self.mix(features)).relu()))[:, 0]


class Teacher(nn.Module):
    def forward(self, audio: Tensor) -> Tensor:
        return 20 * audio.mean(dim=1)


def config(**training: object) -> Config:
    made = Config(seed=7)
    values = {"steps": 30, "steps_per_epoch": 10, "batch_size": 16, **training}
    for name, value in values.items():
        setattr(made.training, name, value)
    return made


def make_batch(epoch: int, index: int) -> Batch:
    generator = torch.Generator().manual_seed(1000 * epoch + index)
    targets = (torch.rand(16, generator=generator) < 0.4).float()
    features = torch.randn(16, 4, 6, generator=generator)
    features[:, 0, 3] += 4 * targets
    audio = (targets[:, None] - 0.5).repeat(1, 8)
    flags = (torch.rand(16, generator=generator) < 0.2) & (targets == 0)
    examples = [f"clip-{epoch}-{index}-{row}" for row in range(16)]
    return Batch(targets=targets, features=features, raw_audio=audio, is_hard_negative=flags, examples=examples)


def batches(epoch: int) -> Iterator[Batch]:
    for index in range(10):
        yield make_batch(epoch, index)


def select(model: nn.Module) -> float:
    assert not model.training
    batch = make_batch(999, 0)
    with torch.no_grad():
        return float(((model(batch.features).amax(dim=1) > 0) != batch.targets.bool()).float().mean())


def build(settings: Config) -> Trainer:
    torch.manual_seed(settings.seed)
    return build_trainer(settings, model=Student(), teacher=Teacher())


def run(
    settings: Config,
    folder: Path | None = None,
    *,
    trainer: Trainer | None = None,
    source: Callable[[int], Iterator[Batch]] = batches,
    chooser: Callable[[nn.Module], float] = select,
    on_step: Callable[[int, int], None] = lambda step, steps: None,
    reports: list[str] | None = None,
) -> tuple[Trainer, TrainingResult]:
    trainer = build(settings) if trainer is None else trainer
    said: list[str] = [] if reports is None else reports
    plan = TrainingPlan(
        settings=loop_settings(settings, select_every=1),
        batches=source,
        select=chooser,
        checkpoints=CheckpointFolder(folder / "student", keep=2, report=said.append) if folder else None,
        identity=run_identity(settings, model=trainer.model, teacher=None, data_key="d"),
        metrics=MetricsLog(folder / "metrics.jsonl", stage="student") if folder else None,
        on_step=on_step,
        on_epoch=lambda line: None,
        resume_command="wakelark train alexa --resume",
    )
    return trainer, run_training(trainer, plan)


def bits(trainer: Trainer) -> bytes:
    return b"".join(tensor.numpy().tobytes() for tensor in trainer.model.state_dict().values())


def without_timings(history: object) -> list[Metrics]:
    assert isinstance(history, list)
    return [{name: value for name, value in line.items() if name not in TIMINGS} for line in history]


def test_it_learns_and_keeps_the_best(tmp_path: Path) -> None:
    trainer, result = run(config(steps=100, learning_rate=0.05), tmp_path)
    assert result.best_figure <= 0.1
    assert select(trainer.model) == result.best_figure
    assert result.distilled_share == 1.0
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == list(range(10, 101, 10))
    last = lines[-1]
    by_hand = 0.4 * last["supervised"] + 0.6 * last["distillation"] + 0.2 * 0.4 * last["steps"]
    assert last["loss"] == pytest.approx(by_hand, rel=1e-5)
    assert last["share_distillation"] == pytest.approx(0.6 * last["distillation"] / last["loss"], rel=1e-5)
    shares = [last[f"share_{name}"] for name in ("supervised", "steps", "distillation")]
    assert sum(shares) == pytest.approx(1.0)
    assert (last["logit"], last["share_logit"], last["embedding"]) == (None, 0.0, None)
    assert lines[0]["loss"] > last["loss"]


def test_best_weights_are_not_overwritten_by_worse_ones() -> None:
    figures = iter([0.5, 0.2, 0.9])
    seen: list[bytes] = []

    def chooser(model: nn.Module) -> float:
        seen.append(b"".join(tensor.numpy().tobytes() for tensor in model.state_dict().values()))
        return next(figures)

    trainer, result = run(config(), chooser=chooser)
    assert (result.best_figure, result.best_step) == (0.2, 20)
    assert bits(trainer) == seen[1]


class Killed(Exception):
    pass


def stop_at(step: int, action: Callable[[], None]) -> Callable[[int, int], None]:
    def on_step(done: int, steps: int) -> None:
        if done == step:
            action()

    return on_step


def _kill() -> None:
    raise Killed


@pytest.mark.parametrize("step", [3, 10, 17])
def test_killed_and_resumed_ends_with_the_same_bits(tmp_path: Path, step: int) -> None:
    whole, expected = run(config())
    with pytest.raises(Killed):
        run(config(), tmp_path, on_step=stop_at(step, _kill))
    torch.manual_seed(12345)
    resumed, result = run(config(), tmp_path)
    assert bits(resumed) == bits(whole)
    assert without_timings(result.history) == without_timings(expected.history)
    assert resumed.counters == whole.counters
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [1, 2, 3]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_saves_in_the_middle_of_an_epoch_and_resumes_to_the_same_bits(
    tmp_path: Path, number: int, code: int
) -> None:
    whole, expected = run(config())
    before = signal.getsignal(number)
    with pytest.raises(Interrupted, match="wakelark train alexa --resume") as caught:
        run(config(), tmp_path, on_step=stop_at(14, lambda: os.kill(os.getpid(), number)))
    assert caught.value.exit_code == code
    assert signal.getsignal(number) == before
    assert (tmp_path / "student" / "step-00000014").is_dir()
    resumed, result = run(config(), tmp_path)
    assert bits(resumed) == bits(whole)
    assert without_timings(result.history) == without_timings(expected.history)


def test_the_second_signal_leaves_at_once(tmp_path: Path) -> None:
    def twice() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(Interrupted, match="at once"):
        run(config(), tmp_path, on_step=stop_at(14, twice))
    assert [path.name for path in (tmp_path / "student").iterdir()] == ["step-00000010"]


def test_an_ignored_signal_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        _, result = run(config(), on_step=stop_at(14, lambda: os.kill(os.getpid(), signal.SIGHUP)))
    finally:
        signal.signal(signal.SIGHUP, before)
    assert len(result.history) == 3


def test_a_finished_run_is_not_trained_again(tmp_path: Path) -> None:
    first, expected = run(config(), tmp_path)

    def nothing(epoch: int) -> Iterator[Batch]:
        raise AssertionError("no batch is needed")

    again, result = run(config(), tmp_path, source=nothing)
    assert bits(again) == bits(first)
    assert result.best_figure == expected.best_figure


def test_another_configuration_is_refused_with_the_difference(tmp_path: Path) -> None:
    run(config(), tmp_path)
    with pytest.raises(ModelError, match=r"training\.learning_rate: 0\.002 in the checkpoint, 0\.001 now"):
        run(config(learning_rate=1e-3), tmp_path)


def test_workers_do_not_change_the_identity(tmp_path: Path) -> None:
    run(config(workers=1), tmp_path)
    run(config(workers=4, tensorboard=True), tmp_path)


def spoil(bad: set[tuple[int, int]], times: int = 10**6) -> Callable[[int], Iterator[Batch]]:
    """Batches of which some hold NaN, the first `times` times they are asked for."""
    given: dict[tuple[int, int], int] = {}

    def source(epoch: int) -> Iterator[Batch]:
        for index, batch in enumerate(batches(epoch)):
            key = (epoch, index)
            given[key] = given.get(key, 0) + 1
            if key in bad and given[key] <= times:
                batch = dataclasses.replace(batch, features=batch.features * math.nan)
            yield batch

    return source


def test_a_batch_that_is_not_finite_is_left_out() -> None:
    trainer, result = run(config(), source=spoil({(0, 2), (0, 4), (2, 9)}))
    assert all(tensor.isfinite().all() for tensor in trainer.model.state_dict().values())
    assert result.history[-1]["skipped_steps"] == 3
    assert result.history[-1]["rollbacks"] == 0


def test_three_in_a_row_roll_back_and_lower_the_learning_rate(tmp_path: Path) -> None:
    _, result = run(config(), tmp_path, source=spoil({(1, 4), (1, 5), (1, 6)}, times=1))
    assert result.history[-1]["rollbacks"] == 1
    assert result.history[-1]["skipped_steps"] == 3
    usual = learning_rate(29, steps=30, warmup_share=0.1, peak=Config().training.learning_rate)
    assert result.history[-1]["learning_rate"] == pytest.approx(usual / 2)
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [10, 20, 30]


def test_divergence_that_stays_is_an_error_with_the_examples() -> None:
    with pytest.raises(ModelError, match=r"(?s)2 roll-backs.*clip-0-3-0"):
        run(config(), source=spoil({(0, 1), (0, 2), (0, 3)}))


def test_exploding_gradients_are_clipped() -> None:
    """Plain descent with rate 1: a step moves all weights together by the length of the clipped gradient."""

    def source(epoch: int) -> Iterator[Batch]:
        for batch in batches(epoch):
            yield dataclasses.replace(batch, features=batch.features * 1e6)

    settings = config(steps=1, steps_per_epoch=1, learning_rate=1.0)
    settings.distillation.enabled = False
    model = nn.Sequential(nn.Conv1d(4, 1, 1), nn.Flatten(1))
    before = torch.cat([weights.detach().flatten().clone() for weights in model.parameters()])
    trainer = Trainer(model=model, optimizer=torch.optim.SGD(model.parameters()), loss=settings.loss)
    averaged, result = run(settings, trainer=trainer, source=source)
    moved = torch.cat([weights.detach().flatten() for weights in averaged.model.parameters()]) - before
    line = result.history[0]
    assert float(line["grad_norm"] or 0) > 1e4
    assert 0 < float(moved.norm()) <= loop_settings(settings, select_every=1).clip_norm * 1.001


class Deaf(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.level = nn.Parameter(torch.zeros(()))

    def forward(self, features: Tensor) -> Tensor:
        return self.level + 0 * features[:, 0]


def test_a_model_that_ignores_its_input_is_told_after_two_epochs(caplog: pytest.LogCaptureFixture) -> None:
    trainer = build_trainer(config(), model=Deaf(), teacher=Teacher())
    _, result = run(config(), trainer=trainer)
    assert caplog.text.count("the model ignores its input: after 2 epochs") == 1
    assert float(result.history[0]["output_spread"] or 0) < 1e-6
    caplog.clear()
    run(config())
    assert "ignores" not in caplog.text


def test_too_few_batches_are_an_error() -> None:
    with pytest.raises(DataError, match="epoch 0 has 4 batches, but 10"):
        run(config(), source=lambda epoch: (make_batch(epoch, index) for index in range(4)))


def test_a_selection_without_a_finite_figure_is_an_error() -> None:
    with pytest.raises(ModelError, match="no selection figure"):
        run(config(), chooser=lambda model: math.nan)


def test_batches_without_audio_or_flags_train_and_are_reported(caplog: pytest.LogCaptureFixture) -> None:
    def source(epoch: int) -> Iterator[Batch]:
        for index in range(10):
            batch = make_batch(epoch, index)
            yield dataclasses.replace(batch, raw_audio=batch.raw_audio if index else None, is_hard_negative=None)

    _, result = run(config(), source=source)
    assert result.distilled_share == pytest.approx(0.9)
    assert result.why_not_distilled.endswith("3 of 30 batches came without raw audio")
    assert result.history[0]["distilled_share"] == pytest.approx(0.9)
    assert "without raw audio" in caplog.text


def test_the_configuration_reaches_the_trainer() -> None:
    settings = config()
    settings.loss.hard_negative_weight = 2.5
    settings.distillation.alpha = 0.25
    settings.distillation.temperature = 2.0
    trainer = build(settings)
    assert isinstance(trainer, DistillationTrainer)
    assert trainer.loss.hard_negative_weight == 2.5
    assert (trainer.distillation.alpha, trainer.distillation.temperature) == (0.25, 2.0)
    settings.distillation.enabled = False
    assert type(build_trainer(settings, model=Student(), teacher=None)) is Trainer
    settings.distillation.enabled = True
    with pytest.raises(ConfigError, match="no teacher"):
        build_trainer(settings, model=Student(), teacher=None)


def test_average_follows_the_weights_by_hand() -> None:
    model = nn.Linear(1, 1, bias=False)
    nn.init.constant_(model.weight, 0.0)
    average = WeightAverage(model, decay=0.5)
    nn.init.constant_(model.weight, 1.0)
    average.update(model, 0)  # decay min(0.5, 1/10)
    assert float(average.state()["weight"]) == pytest.approx(0.9)
    average.update(model, 1000)  # decay 0.5
    assert float(average.state()["weight"]) == pytest.approx(0.95)
    with average.applied_to(model) as averaged:
        assert float(averaged.state_dict()["weight"]) == pytest.approx(0.95)
        assert not model.training
    assert float(model.weight.detach()) == 1.0
    assert model.training


def test_schedule_and_seeds() -> None:
    rates = [learning_rate(step, steps=100, warmup_share=0.1, peak=2.0) for step in range(101)]
    assert rates[0] == pytest.approx(0.2)
    assert max(rates) == 2.0
    assert rates[55] == pytest.approx(1.0)
    assert rates[100] == pytest.approx(0.0)
    assert learning_rate(0, steps=10, warmup_share=0.0, peak=1.0) == 1.0
    seeds = {step_seed(seed, step) for seed in range(20) for step in range(200)}
    assert len(seeds) == 4000
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_metrics_of_other_stages_and_half_lines(tmp_path: Path) -> None:
    path = tmp_path / "run" / "metrics.jsonl"
    MetricsLog(path, stage="teacher").append({"loss": 1.0})
    log = MetricsLog(path, stage="student")
    log.append({"epoch": 1, "loss": math.nan})
    with open(path, "a") as file:
        file.write('{"stage": "student", "ep')
    log.replace([{"epoch": 1}, {"epoch": 2}])
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    teacher = {"stage": "teacher", "loss": 1.0}
    assert lines == [teacher, {"stage": "student", "epoch": 1}, {"stage": "student", "epoch": 2}]


def test_flags_on_positives_are_told_at_the_end(caplog: pytest.LogCaptureFixture) -> None:
    def flagged(epoch: int) -> Iterator[Batch]:
        for batch in batches(epoch):
            yield dataclasses.replace(batch, is_hard_negative=torch.ones(16, dtype=torch.bool))

    trainer, _ = run(config(), source=flagged)
    assert f"flagged_positives is {trainer.counters.flagged_positives}" in caplog.text
    assert trainer.counters.flagged_positives > 0
