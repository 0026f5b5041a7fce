"""The main job: from a phrase to two models and a report, in stages that can be interrupted and resumed.

Every stage keeps its work by content (clips, features, views, checkpoints), so going on is the same as starting: what
is there is found, what is missing is made.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from wakelark.config import Config
from wakelark.config_file import dump_config, load_config
from wakelark.corpus.clip import Clip
from wakelark.errors import ConfigError, DataError, SetupError
from wakelark.models.build import AnyStudent
from wakelark.models.heads import HeadEnsemble
from wakelark.pipeline.corpus import Corpus, build_corpus
from wakelark.pipeline.export import export_heads, export_tiny, renew_judge
from wakelark.pipeline.health.check import check_corpus, check_labels
from wakelark.pipeline.interruptible import interruptible
from wakelark.pipeline.learners import Heads, Scouts
from wakelark.pipeline.material import read_material
from wakelark.pipeline.micro import STAGE, TrainedMicro, asks_micro, check_micro, micro_run, train_micro
from wakelark.pipeline.micro_model import save_micro
from wakelark.pipeline.report import write_report
from wakelark.pipeline.retraining import Chosen, Part, choose, parts_to_do, verdict_of
from wakelark.pipeline.rounds import Ground, Mined, mine
from wakelark.pipeline.run_folder import RunFolder
from wakelark.pipeline.student import StudentJob, train_student
from wakelark.pipeline.teacher import TeacherJob
from wakelark.pipeline.teacher_quality import measure_teacher
from wakelark.pipeline.views import Prepared, prepare
from wakelark.training.stream_features import Progress


@dataclass(slots=True, kw_only=True)
class Run:
    """What the stages hand on."""

    config: Config
    folder: RunFolder
    progress: Progress
    device: str
    part: Part
    warnings: list[str] = field(default_factory=list)

    def warn(self, message: str) -> None:
        """Keep a warning for the report."""
        self.warnings.append(message)


def train(config: Config, folder: RunFolder, *, resume: bool, device: str, progress: Progress) -> dict[str, object]:
    """Run all stages and write the models and the report; returns the report.

    A finished run is left as it is, unless `wakelark add` or `wakelark mine` brought something since: then everything
    is trained anew with it, and the models of before stay until they are replaced, or for good; see `retraining`. Where
    a model for devices is asked for that it has not yet, the stages find what they made, and only that one is trained.

    Args:
        config: complete, with the phrase.
        folder: of the run.
        resume: go on with what is in the folder.
        device: "auto", "cpu" or "cuda": where the student is trained.
        progress: called with (done, total, what).

    Raises:
        ConfigError, DataError, SetupError, ModelError, BusyError: as the stages say.
        Interrupted: by a signal; everything finished so far is kept.
    """
    device = _device(device)
    check_micro(config)
    with folder.hold(resume=resume), interruptible(folder.resume_command):
        material = read_material(folder, workers=config.training.processes, progress=progress)
        if folder.is_finished(material.key) and not (asks_micro(config) and not folder.has_micro):
            return json.loads(folder.report.read_text(encoding="utf-8"))
        if not resume or load_config(folder.config, overrides=[], preset=None).targets != config.targets:
            folder.keep_config(dump_config(config))
        report: dict[str, object] = {}
        for part in parts_to_do(folder, material):
            run = Run(config=config, folder=folder, progress=progress, device=device, part=part)
            report = _train_part(run, is_new=not resume)
        return report


def _train_part(run: Run, *, is_new: bool) -> dict[str, object]:
    folder, material = run.folder, run.part.material
    folder.begin(material.key)
    earlier = folder.copy_of(folder.report)
    if folder.before is not None and earlier.is_file():
        run.warn(_before(json.loads(earlier.read_text(encoding="utf-8"))))
    if folder.before is None and material.mined:
        run.warn("there were no whole earlier models: whether the mined sounds help was not judged")
    try:
        return _stages(run)
    except (ConfigError, DataError):
        if is_new:
            folder.forget()
        raise
    except SetupError as error:
        raise SetupError(f"{error}\nWhat is finished is kept; then go on with: {folder.resume_command}") from error


def _before(report: dict[str, Any]) -> str:
    """What the models of the same run did before the user's new material."""
    figures = [
        f"{model['file']} missed {100 * model['realised']['miss_rate']:.1f} % and gave "
        f"{model['realised']['fa_per_hour']:.2f} false alarms per hour"
        for model in report["models"] if None not in (model["realised"]["miss_rate"], model["realised"]["fa_per_hour"])
    ]  # fmt: skip
    return f"trained anew with new material; before it {', '.join(figures) or 'nothing could be measured'}"


def _stages(run: Run) -> dict[str, object]:
    folder = run.folder
    with folder.stage("corpus"):
        corpus = build_corpus(run.config, folder.manifest, progress=run.progress, material=run.part.material)
    with folder.stage("health"):
        health = check_corpus(corpus)
    with folder.stage("views"):
        prepared = prepare(run.config, corpus, folder.views, progress=run.progress)
    with folder.stage("teacher"):
        learner = Heads(_teacher_job(run, prepared), run.progress, run.warn)
        heads = learner.train(prepared.store, data_key=prepared.data_key, name=learner.name)
    with folder.stage("health"):
        check_labels(health, prepared.store, heads, progress=run.progress)
        run.warnings += health.health.warnings()
    with folder.stage("mining"):
        start = Mined(heads, prepared.store, prepared.data_key)
        ground = _ground(run, corpus, prepared, folder.mined, known=[])
        accurate = mine(learner, start, rounds=run.config.mining.rounds, ground=ground)
    with folder.stage("scouts"):
        tiny = _scout(run, corpus, prepared, accurate)
    with folder.stage("student"):
        job = _student_job(run, prepared, accurate.trained, tiny)
        student, result = train_student(job, progress=run.progress, warn=run.warn)
    micro = _micro(run, corpus, job) if asks_micro(run.config) else None
    with folder.stage("export"):
        chosen = choose(
            folder, prepared.development, heads=accurate.trained, student=student, on_trial=run.part.on_trial
        )
        if micro is not None and not ("tiny" in chosen.undone and folder.has_micro):
            save_micro(folder, micro_run(run.config, corpus.clips, micro, created=folder.created))
        export = _export(run, corpus, chosen)
    if not run.part.is_last:
        return {}
    with folder.stage("report"):
        quality = measure_teacher(
            run.config, corpus, prepared.development,
            heads=chosen.heads, student=chosen.student, store=tiny.store, device=run.device, progress=run.progress,
        )  # fmt: skip
        told = folder.before.told if folder.before is not None else ()
        report = write_report(
            run.config, folder, replace(corpus, clips=chosen.clips(corpus, folder.before)), result, export=export,
            mined=[*accurate.clips, *tiny.clips], rounds=[*accurate.rounds, *tiny.rounds],
            verdicts=[*map(verdict_of, told), *chosen.verdicts], quality=quality, health=health.health,
            warnings=[*corpus.warnings, *run.warnings], progress=run.progress,
        )  # fmt: skip
    # Gigabytes that only training reads, and that are a pure function of the manifest and the configuration.
    shutil.rmtree(folder.views, ignore_errors=True)
    return report


def _teacher_job(run: Run, prepared: Prepared) -> TeacherJob:
    return TeacherJob(
        config=run.config, store=prepared.store, development=prepared.development, data_key=prepared.data_key,
        folder=run.folder.checkpoints_of(run.part.material.key) / "teacher", metrics=run.folder.metrics, name="teacher",
        resume_command=run.folder.resume_command,
    )  # fmt: skip


def _scout(run: Run, corpus: Corpus, prepared: Prepared, accurate: Mined[HeadEnsemble]) -> Mined[list[AnyStudent]]:
    """Mine with students: what fools them is not what fools the accurate model."""
    start: Mined[list[AnyStudent]] = Mined([], accurate.store, accurate.data_key)
    rounds = run.config.mining.student_rounds
    if rounds == 0 or not prepared.train_streams:
        return start
    learner = Scouts(_student_job(run, prepared, accurate.trained, start), run.progress)
    start.trained = learner.train(start.store, data_key=start.data_key, name=learner.name)
    ground = _ground(run, corpus, prepared, run.folder.mined_by_scouts, known=accurate.clips)
    return mine(learner, start, rounds=rounds, ground=ground)


def _ground(run: Run, corpus: Corpus, prepared: Prepared, found: Path, *, known: Sequence[Clip]) -> Ground:
    return Ground(
        config=run.config, corpus=corpus, streams=prepared.train_streams, views=run.folder.views, found=found,
        known=known, progress=run.progress, warn=run.warn,
    )  # fmt: skip


def _student_job(run: Run, prepared: Prepared, heads: HeadEnsemble, mined: Mined[list[AnyStudent]]) -> StudentJob:
    return StudentJob(
        config=run.config, store=mined.store, development=prepared.development, teacher=heads,
        data_key=mined.data_key, folder=run.folder.checkpoints_of(run.part.material.key) / "student",
        metrics=run.folder.metrics, device=run.device, name="student", resume_command=run.folder.resume_command,
    )  # fmt: skip


def _micro(run: Run, corpus: Corpus, tiny: StudentJob) -> TrainedMicro:
    with run.folder.stage(STAGE):
        return train_micro(tiny, corpus, progress=run.progress, warn=run.warn)


def _export(run: Run, corpus: Corpus, chosen: Chosen) -> Mapping[str, Mapping[str, float]]:
    """Write the models that are new, restore those that are not, and record what they have learned."""
    folder, before = run.folder, run.folder.before
    export: dict[str, Mapping[str, float]] = dict(before.export) if before is not None else {}
    for model in chosen.undone:
        folder.restore(model)
    if "accurate" not in chosen.undone:
        export["accurate"] = export_heads(run.config, folder, corpus.clips, heads=chosen.heads, heard=chosen.accurate)
    if "tiny" not in chosen.undone:
        export["tiny"] = export_tiny(
            run.config, folder, corpus.clips, student=chosen.student, heard=chosen.tiny, judge=chosen.accurate
        )
    elif "accurate" not in chosen.undone:
        renew_judge(run.config, folder, student=chosen.student, heard=chosen.tiny, judge=chosen.accurate)
    folder.exported(chosen.learned(run.part, before, export))
    return export


def _device(asked: str) -> str:
    if asked == "cuda" and not torch.cuda.is_available():
        raise ConfigError("--device cuda: torch sees no CUDA device here; use --device cpu")
    if asked == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return asked
