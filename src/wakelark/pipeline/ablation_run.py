"""One run of an ablation: train a student exactly as `wakelark train` does, test it, write the result."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from wakelark.config import Config
from wakelark.corpus.cache import content_key, write_atomically
from wakelark.corpus.clip import Clip
from wakelark.corpus.manifest import read_manifest, write_manifest
from wakelark.evaluation.operating_point import SELECTION_BUDGETS, DetCurve
from wakelark.models.build import build_student
from wakelark.models.saved import load_student, save_student
from wakelark.models.trunk_file import load_trunk
from wakelark.pipeline.ablation_arms import RUN_SECTIONS, Arm
from wakelark.pipeline.ablation_material import Material, ShuffledStore, random_clips
from wakelark.pipeline.ablation_trials import HeldOutScores, score_held_out
from wakelark.pipeline.evaluate import EVENT_FLOOR
from wakelark.pipeline.mining import Witness, harvest
from wakelark.pipeline.networks import AccurateNetwork, Network, TinyNetwork
from wakelark.pipeline.student import StudentJob, StudentTraining, TrainedStudent
from wakelark.pipeline.teacher_names import teacher_names
from wakelark.pipeline.teachers import asks_teacher, teacher_fingerprint
from wakelark.pipeline.threshold import choose_threshold
from wakelark.pipeline.views import mined_views
from wakelark.training.teacher import weights_fingerprint
from wakelark.training.view_store import ViewStore

RUN_VERSION = 3
"""Raise it when runs of the same key would come out otherwise."""
_KEPT_EVENTS = 1000
_UNHURT = ("training.workers", "training.tensorboard")


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolTask:
    """Mining with the baseline's student of one seed.

    Attributes:
        material: of the phrase.
        config: of the baseline.
        seed: of the pair.
        weights: of the baseline's student.
        folder: where `mined.jsonl` and `random.jsonl` go.
    """

    material: Material
    config: Config
    seed: int
    weights: Path
    folder: Path

    @property
    def done(self) -> bool:
        return (self.folder / "random.jsonl").is_file()

    def clips(self, kind: str) -> list[Clip]:
        """The clips of the finished task: "mined" or "random"."""
        return read_manifest(self.folder / f"{kind}.jsonl")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunTask:
    """One run.

    Attributes:
        material: of the phrase.
        arm: switches of the data; its keys are in `config` already.
        config: of the arm, with the run's seed.
        extra: mined or random clips.
    """

    material: Material
    arm: Arm
    config: Config
    extra: tuple[Clip, ...] = ()

    @property
    def key(self) -> str:
        """Of everything the result depends on; arms that come to the same share their runs."""
        sections = self.config.model_dump(mode="json")
        parts = {f"{name}.{key}": value for name in RUN_SECTIONS
                 for key, value in sections[name].items()}  # fmt: skip
        for key in _UNHURT:
            parts.pop(key)
        if asks_teacher(self.config):  # by what they are: a folder may hold another teacher tomorrow
            names = teacher_names(self.config.distillation.teachers)
            parts["distillation.teachers"] = [teacher_fingerprint(name, self.config.phrase) for name in names]
        switches: list[object] = [
            trunk_fingerprint(self.config.student.trunk),
            self.arm.teacher,
            [clip.id for clip in self.extra],
            sections["mining"] if self.extra else None,
        ]
        if self.config.distillation.embedding_weight > 0:
            switches.append(self.config.trunk.components)
        return content_key(RUN_VERSION, self.material.key, parts, self.config.seed, switches)

    @property
    def result(self) -> Path:
        """The file that is there when the run is finished."""
        return self.material.folder / "runs" / f"{self.key}.json"

    @property
    def weights(self) -> Path:
        """The student's file."""
        return self.result.with_suffix(".safetensors")


@cache
def trunk_fingerprint(trunk: str) -> str:
    """Of the weights that `student.trunk` names."""
    return trunk if trunk == "none" else weights_fingerprint(load_trunk(trunk).weights)


def mine_pool(task: PoolTask) -> None:
    """Find what fools the baseline's student in the training recordings, and as many random places, and render both."""
    material, config = task.material, _alone(task.config)
    streams = material.prepared.train_streams
    student = load_student(task.weights)
    teacher = Witness(AccurateNetwork(material.heads()), config.mining.quarantine_score)
    mined = harvest(
        [TinyNetwork(student)], streams, witnesses=[teacher], mining=config.mining, evaluation=config.evaluation
    ).clips
    drawn = random_clips(len(mined), streams, seed=task.seed) if mined else []
    for clips in (mined, drawn):
        _views_of(material, clips)
    for kind, clips in (("mined", mined), ("random", drawn)):
        write_manifest(clips, task.folder / f"{kind}.jsonl")


def train_run(task: RunTask) -> None:
    """Train and test one student; the result is on disk, whole, when this returns."""
    material, config = task.material, _alone(task.config)
    work = material.folder / "unfinished" / task.key
    shutil.rmtree(work, ignore_errors=True)
    training = StudentTraining(_job(task, config, work), 0)
    started_s = time.perf_counter()
    trained = training.run(lambda done, total: None)
    seconds = time.perf_counter() - started_s
    student = build_student(config.student)
    student.load_state_dict({name: torch.from_numpy(value) for name, value in trained.weights.items()})
    result = {
        "phrase": config.phrase, "seed": config.seed, "key": task.key, "steps": config.training.steps,
        "seconds": round(seconds, 1), "parameters": sum(p.numel() for p in student.parameters()),
        "extra_clips": len(task.extra), **_learned(trained), **measure(TinyNetwork(student.eval()), material),
    }  # fmt: skip
    save_student(student, task.weights)
    write_atomically(task.result, json.dumps(result).encode())
    shutil.rmtree(work, ignore_errors=True)


def measure_teacher(material: Material) -> dict[str, Any]:
    """The teacher's own result, as a row beside the students'."""
    network = AccurateNetwork(material.heads())
    figure = material.prepared.development.figure(network)
    return {"phrase": material.config.phrase, "development_figure": round(figure, 6), **measure(network, material)}


def measure(network: Network, material: Material) -> dict[str, Any]:
    """Figures and scores of a network on the test set: the same keys for students and teacher."""
    evaluation = material.config.evaluation
    threshold = choose_threshold(material.prepared.development.curve(network), evaluation).threshold
    scores = score_held_out(network, material.held_out, evaluation)
    loudest = np.argsort(-scores.score, kind="stable")[:_KEPT_EVENTS]
    return {
        "threshold": threshold,
        "hours": round(material.held_out.hours, 4),
        "positives": len(scores.clean),
        "clean": _figures(scores.clean, scores, material.held_out.hours, threshold),
        "noisy": _figures(scores.noisy, scores, material.held_out.hours, threshold),
        "scores": {
            "clean": _rounded(scores.clean), "noisy": _rounded(scores.noisy), "event": _rounded(scores.score[loudest]),
            "event_time_s": [round(float(time_s), 2) for time_s in scores.time_s[loudest]],
            "event_recording": scores.recording[loudest].tolist(),
            "recordings": [stream.name for stream in material.held_out.streams],
            "recording_s": [round(length_s, 3) for length_s in material.held_out.seconds],
        },
    }  # fmt: skip


def _figures(clips: np.ndarray, scores: HeldOutScores, hours: float, threshold: float) -> dict[str, Any]:
    curve = DetCurve(clips, scores.score, hours=hours, floor=EVENT_FLOOR)
    matched = {f"{budget:g}": round(curve.matched_miss_rate(budget), 6) for budget in SELECTION_BUDGETS}
    point = curve.at(threshold)
    return {
        "matched": matched, "mean": round(float(np.mean(list(matched.values()))), 6),
        "realised": {"miss_rate": round(point.miss_rate, 6), "fa_per_hour": round(point.fa_per_hour, 4)},
    }  # fmt: skip


def _learned(trained: TrainedStudent) -> dict[str, Any]:
    last = trained.result.history[-1]
    parts = {name: round(value, 6) for name, value in last.items() if isinstance(value, float)}
    return {
        "development_figure": round(trained.result.best_figure, 6), "best_step": trained.result.best_step,
        "distilled_share": trained.result.distilled_share, "last_epoch": parts, "warnings": trained.warnings,
    }  # fmt: skip


def _job(task: RunTask, config: Config, work: Path) -> StudentJob:
    material = task.material
    store: ViewStore = material.prepared.store
    if task.extra:
        store = ViewStore.concat([store, _views_of(material, task.extra)])
    if task.arm.teacher == "shuffled":
        store = ShuffledStore.of(store, seed=config.seed)
    return StudentJob(
        config=config, store=store, development=material.prepared.development, teacher=material.heads(),
        data_key=task.key, folder=work, metrics=work / "metrics.jsonl", device="cpu", name="student",
        resume_command="the same command",
    )  # fmt: skip


def _views_of(material: Material, clips: tuple[Clip, ...] | list[Clip]) -> ViewStore:
    config = _alone(material.config)
    return mined_views(
        config, material.corpus, list(clips), material.folder / "views", progress=lambda done, total, what: None
    )


def _alone(config: Config) -> Config:
    """A run works in one process; the grid uses the cores."""
    return config.model_copy(update={"training": config.training.model_copy(update={"workers": 1})})


def _rounded(values: np.ndarray) -> list[float]:
    """Nine digits: scores near 1 must stay apart."""
    return [float(f"{value:.9g}") for value in values]


def load_result(path: Path) -> Mapping[str, Any]:
    """A finished run's JSON."""
    return json.loads(path.read_text(encoding="utf-8"))
