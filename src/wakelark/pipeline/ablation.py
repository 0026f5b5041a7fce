"""`wakelark ablate`: a grid of arms x phrases x seeds, paired, resumable at any moment, all in one folder.

Runs of a seed share their start weights, their batches and their number of steps; what a phrase needs is made once. A
finished run is one file under a key of all it depends on, so going on is the same as starting, and a changed
configuration never mixes with what was measured before.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from wakelark.config import Config
from wakelark.config_file import load_config
from wakelark.corpus.cache import content_key, write_atomically
from wakelark.corpus.worker_pool import run_in_processes
from wakelark.errors import ConfigError, ModelError, SetupError
from wakelark.models.build import build_student
from wakelark.pipeline.ablation_arms import Arm, Design
from wakelark.pipeline.ablation_material import Material, matched_smoothing, prepare_material
from wakelark.pipeline.ablation_report import write_ablation
from wakelark.pipeline.ablation_run import PoolTask, RunTask, load_result, measure_teacher, mine_pool, train_run
from wakelark.pipeline.folder_lock import hold_folder
from wakelark.pipeline.interruptible import interruptible
from wakelark.pipeline.teachers import check_teachers
from wakelark.training.front_ends import start_feature_worker
from wakelark.training.stream_features import Progress

Task = TypeVar("Task")
_TIME_ROUNDING = 0.05
"""Factors of wall-clock time are rounded to this, so that the noise of clocks does not make other runs of the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AblationRequest:
    """What to run.

    Attributes:
        phrases: each with the whole headline.
        controls_on: the phrases that control arms run on, too.
        seeds: pairs per phrase: 0 to seeds - 1.
        design: arms and comparisons.
        positives: test clips of a phrase: a folder or a list; a phrase without is tested on synthetic voices.
        config, overrides, preset: as for `load_config`.
        out: folder of everything.
        prepare_only: stop before the first run.
        command: as typed, for the tables and for going on.
    """

    phrases: Sequence[str]
    controls_on: Sequence[str]
    seeds: int
    design: Design
    positives: Mapping[str, Path]
    config: Path | None
    overrides: list[str]
    preset: str | None
    out: Path
    prepare_only: bool
    command: str

    def settings(self, arm: Arm | None, phrase: str, seed: int, more: Sequence[str] = ()) -> Config:
        """The configuration of an arm, or of the whole ablation.

        Raises:
            ConfigError: a key or value that cannot be.
        """
        words = [*self.overrides, *(arm.overrides if arm else []), *more]
        config = load_config(self.config, overrides=words, preset=self.preset)
        return config.model_copy(update={"phrase": phrase, "seed": seed if arm else config.seed})


@dataclass(frozen=True, slots=True)
class PlannedRun:
    """A cell of the grid. Cells that come to the same share a task's result."""

    arm: str
    phrase: str
    seed: int
    task: RunTask


def ablate(request: AblationRequest, *, progress: Progress, warn: Callable[[str], None]) -> dict[str, Any]:
    """Run what is missing of the grid and write `ablation.json` and `ablation.md`; returns the former.

    With `prepare_only` nothing is trained but the teachers, and the keys of what was prepared are returned.

    Raises:
        ConfigError: a phrase, arm or key that cannot be.
        ModelError: the trunk or a teacher of an arm is missing or damaged.
        BusyError: another process works in the folder.
        Interrupted: by a signal; finished runs are kept, the same command goes on.
    """
    _check(request)
    with hold_folder(request.out), interruptible(request.command):
        materials = {
            phrase: prepare_material(
                request.settings(None, phrase, 0), request.positives.get(phrase), request.out,
                resume_command=request.command, progress=progress, warn=warn,
            )
            for phrase in request.phrases
        }  # fmt: skip
        if request.prepare_only:
            return {"prepared": {phrase: material.key for phrase, material in materials.items()}}
        grid = _Grid(request, materials, progress)
        runs = grid.run()
        teachers = [_teacher(material) for material in materials.values()]
        return write_ablation(
            request.out, request.design, runs=runs, teachers=teachers, command=request.command,
            tested_on={phrase: material.held_out.what for phrase, material in materials.items()},
        )  # fmt: skip


class _Grid:
    def __init__(self, request: AblationRequest, materials: Mapping[str, Material], progress: Progress) -> None:
        self._request, self._materials, self._progress = request, materials, progress
        self._runs: list[PlannedRun] = []
        self._smoothing: dict[str, float] = {}
        self._total = len(list(self._cells(lambda arm: True)))

    def run(self) -> list[dict[str, Any]]:
        """All results, in the order of arms, phrases and seeds. What waits for other runs comes after them."""
        self._train(lambda arm: arm.mining == "none" and arm.as_long_as is None)
        self._mine()
        self._train(lambda arm: arm.mining != "none" and arm.as_long_as is None)
        self._train(lambda arm: arm.as_long_as is not None)
        order = [arm.name for arm in self._request.design.arms]
        runs = sorted(
            self._runs, key=lambda run: (order.index(run.arm), self._request.phrases.index(run.phrase), run.seed)
        )
        return [{"arm": run.arm, **load_result(run.task.result)} for run in runs]

    def _cells(self, chosen: Callable[[Arm], bool]) -> Iterator[tuple[Arm, str, int]]:
        """Seeds first, so that what is there after an interruption is balanced."""
        for seed in range(self._request.seeds):
            for phrase in self._request.phrases:
                for arm in self._request.design.arms:
                    if chosen(arm) and (not arm.control or phrase in self._request.controls_on):
                        yield arm, phrase, seed

    def _train(self, chosen: Callable[[Arm], bool]) -> None:
        self._runs += [
            PlannedRun(arm.name, phrase, seed, self._task(arm, phrase, seed))
            for arm, phrase, seed in self._cells(chosen)
        ]
        todo = {run.task.key: run.task for run in self._runs if not run.task.result.is_file()}
        finished = sum(run.task.result.is_file() for run in self._runs)
        self._progress(finished, self._total, "runs")
        self._spread(train_run, list(todo.values()), lambda done: self._progress(finished + done, self._total, "runs"))
        self._progress(len(self._runs), self._total, "runs")  # cells that share a run are finished with it

    def _task(self, arm: Arm, phrase: str, seed: int) -> RunTask:
        material = self._materials[phrase]
        more: list[str] = []
        if arm.smoothing == "matched":
            if phrase not in self._smoothing:
                self._smoothing[phrase] = matched_smoothing(material)
            more.append(f"loss.label_smoothing={self._smoothing[phrase]}")
        config = self._request.settings(arm, phrase, seed, more)
        if arm.as_long_as is not None:
            factor = self._time_factor(arm.as_long_as, phrase)
            more.append(f"training.steps={round(config.training.steps * factor)}")
            config = self._request.settings(arm, phrase, seed, more)
        extra = tuple(self._pool(phrase, seed).clips(arm.mining)) if arm.mining != "none" else ()
        return RunTask(material=material, arm=arm, config=config, extra=extra)

    def _mine(self) -> None:
        cells = {(phrase, seed) for arm, phrase, seed in self._cells(lambda arm: arm.mining != "none")}
        todo = [pool for pool in (self._pool(phrase, seed) for phrase, seed in sorted(cells)) if not pool.done]
        self._spread(mine_pool, todo, lambda done: self._progress(done, len(todo), "mining"))

    def _pool(self, phrase: str, seed: int) -> PoolTask:
        baseline = self._task(self._request.design.arm(self._request.design.baseline), phrase, seed)
        key = content_key(baseline.key, baseline.config.mining.model_dump())
        folder = baseline.material.folder / "mined" / key
        return PoolTask(
            material=baseline.material, config=baseline.config, seed=seed, weights=baseline.weights, folder=folder
        )

    def _time_factor(self, longer: str, phrase: str) -> float:
        """Seconds of an arm over those of the baseline, median over the seeds."""
        seconds = {
            name: {
                run.seed: load_result(run.task.result)["seconds"]
                for run in self._runs if run.arm == name and run.phrase == phrase
            }
            for name in (longer, self._request.design.baseline)
        }  # fmt: skip
        ratios = [seconds[longer][seed] / base for seed, base in seconds[self._request.design.baseline].items()]
        return max(1.0, round(float(np.median(ratios)) / _TIME_ROUNDING) * _TIME_ROUNDING)

    def _spread(self, work: Callable[[Task], None], tasks: Sequence[Task], report: Callable[[int], None]) -> None:
        workers = next(iter(self._materials.values())).config.training.processes
        done = 0

        def count(_: int, __: None) -> None:
            nonlocal done
            done += 1
            report(done)

        if workers <= 1 or len(tasks) <= 1:
            for number, task in enumerate(tasks):
                count(number, work(task))
        else:
            run_in_processes(work, tasks, workers=workers, start=start_feature_worker, on_result=count)


def _check(request: AblationRequest) -> None:
    """Refuse what would only fail after an hour, or would measure nothing."""
    if not request.phrases:
        raise ConfigError("which phrases? Name each: wakelark ablate --phrase alexa --phrase snowboy --out DIR")
    if unknown := [p for p in (*request.controls_on, *request.positives) if p not in request.phrases]:
        raise ConfigError(f"{unknown[0]!r} is none of the phrases: {', '.join(request.phrases)}")
    for arm in request.design.arms:
        arm.check_effect()
        more = ["loss.label_smoothing=0.1"] if arm.smoothing == "matched" else []
        try:
            config = request.settings(arm, request.phrases[0], 0, more)
            build_student(config.student)  # loads its trunk
            for phrase in request.phrases:
                check_teachers(config.model_copy(update={"phrase": phrase}))
        except (ConfigError, ModelError, SetupError) as error:
            raise type(error)(f"arm {arm.name}: {error}") from error
        if arm.teacher == "shuffled" and config.distillation.teachers != ["heads"]:
            raise ConfigError(f"arm {arm.name}: only the heads can be shuffled; leave distillation.teachers as it is")


def _teacher(material: Material) -> dict[str, Any]:
    file = material.folder / f"teacher-{material.key}.json"
    if not file.is_file():
        write_atomically(file, json.dumps(measure_teacher(material)).encode())
    return dict(load_result(file))
