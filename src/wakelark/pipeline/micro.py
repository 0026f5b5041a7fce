"""Stage "micro": one more student, for ESPHome's devices, of the same corpus, views, mined sounds and teacher.

It hears the same views as the tiny model, through the devices' own front end, and is selected and given its operating
point on the same development audio. The voice gate plays no part: devices have none.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from wakelark import __version__
from wakelark.audio import SAMPLE_RATE, Float32Array, Int16Array
from wakelark.config import Config
from wakelark.corpus.cache import cache_folder, content_key
from wakelark.corpus.clip import Clip
from wakelark.evaluation.events import smoothing_steps
from wakelark.evaluation.operating_point import selection_figure
from wakelark.features.micro import StreamingMicro, micro
from wakelark.model_card import CardPretrained
from wakelark.models.student import Student
from wakelark.models.trunk import MICRO
from wakelark.models.trunk_file import MICRO_SHIPPED, TRUNK_LICENCE, TRUNK_NAME, TRUNK_NOTE, is_shipped
from wakelark.pipeline.cards import provenance
from wakelark.pipeline.corpus import Corpus
from wakelark.pipeline.development import DevelopmentSet
from wakelark.pipeline.micro_model import MicroCard, MicroRun
from wakelark.pipeline.micro_tuning import TunedStudent, tune_in_eight_bits
from wakelark.pipeline.sizes import micro_size
from wakelark.pipeline.student import StudentJob, train_student
from wakelark.pipeline.views import development_positives, development_row
from wakelark.tflite.footprint import MicroFootprint
from wakelark.training.clip_features import ClipFeatures
from wakelark.training.micro_features import (
    MICRO_VERSION,
    compute_micro_clips,
    compute_micro_streams,
    compute_micro_views,
)
from wakelark.training.stream_features import Progress, StreamFeatures
from wakelark.training.view_store import ViewStore

TARGET = "esphome"
STAGE = "micro"
CALIBRATION_VIEWS = 72
"""So many views of 2 s in a row, a third of them of the phrase: 144 s."""


@dataclass(frozen=True, slots=True)
class TrainedMicro:
    """The trained student, and what its card and its int8 file are made from."""

    tuned: TunedStudent
    calibration: Float32Array


def asks_micro(config: Config) -> bool:
    """Whether a model for devices is asked for."""
    return TARGET in config.targets


def check_micro(config: Config) -> MicroFootprint | None:
    """Where a model for devices is asked for: check, before anything is made, that the front end is installed and that
    a device has room for the model; returns what it will take.

    Raises:
        SetupError: the front end is not installed.
        ConfigError: no device has room for it; with the numbers.
        ModelError: its trunk is missing or damaged.
    """
    if not asks_micro(config):
        return None
    StreamingMicro()
    return micro_size(micro_config(config))


def micro_config(config: Config) -> Config:
    """The configuration with `micro` in the place of the tiny student's shape and length of training."""
    wanted = config.micro
    trunk = wanted.trunk
    if trunk == "auto":
        trunk = MICRO_SHIPPED if is_shipped(MICRO_SHIPPED) else "none"
    student = config.student.model_copy(
        update={
            "architecture": "ds_tcn", "trunk": trunk, "channels": wanted.channels, "kernels": wanted.kernels,
            "head_taps": wanted.head_taps,
        }
    )  # fmt: skip
    training = config.training
    if trunk == "none":
        epoch = min(training.steps_per_epoch, wanted.steps)
        training = training.model_copy(
            update={"steps": wanted.steps, "steps_per_epoch": epoch, "learning_rate": wanted.learning_rate}
        )
    return config.model_copy(update={"student": student, "training": training})


def train_micro(job: StudentJob, corpus: Corpus, *, progress: Progress, warn: Callable[[str], None]) -> TrainedMicro:
    """Train the student for devices, going on from the newest checkpoint.

    Args:
        job: that of the tiny student, with the same teacher, views and mined sounds.
        corpus: of the run.
        progress: called with (done, total, what).
        warn: told what the report must say.

    Raises:
        DataError, ModelError, SetupError: as the stages say.
    """
    config = micro_config(job.config)
    compute_micro_views(job.store, workers=config.training.processes, progress=progress)
    development = _development(config, corpus, job.development, progress)
    again = replace(
        job, config=config, development=development, front_end=MICRO, name=STAGE,
        data_key=content_key(job.data_key, MICRO.name, MICRO_VERSION), folder=job.folder.with_name(STAGE),
    )  # fmt: skip
    student, _ = train_student(again, progress=progress, warn=warn)
    assert isinstance(student, Student)
    calibration = micro(_in_a_row(job.store))
    return TrainedMicro(tune_in_eight_bits(again, student, calibration, progress=progress, warn=warn), calibration)


def micro_run(config: Config, clips: Sequence[Clip], trained: TrainedMicro, *, created: str) -> MicroRun:
    """Everything that the run's folder keeps.

    Args:
        config: of the run.
        clips: the manifest.
        trained: see `train_micro`.
        created: ISO date.
    """
    best, rule = trained.tuned.best, config.evaluation
    student, point = best.student, best.point
    card = MicroCard(
        wakelark_version=__version__,
        phrase=config.phrase,
        language=config.language,
        step_samples=student.step_samples,
        logit_shift=point.shift,
        float_logit_shift=best.float_point.shift,
        smoothing_steps=smoothing_steps(step_s=student.step_samples / SAMPLE_RATE, smoothing_s=rule.smoothing_s),
        refractory_s=rule.refractory_s,
        fa_per_hour=rule.fa_per_hour,
        presets=point.presets,
        parameters=sum(parameter.numel() for parameter in student.parameters()),
        created=created,
        provenance=provenance(clips),
        pretrained=_pretrained(student),
        measured={
            "development": {
                "positives": len(point.curve.positives),
                "hours": round(point.curve.hours, 3),
                "selection_figure": round(selection_figure(point.curve), 5),
                "what": "the student in simulated 8 bits on development audio; export measures the file",
            },
            "quantisation": trained.tuned.told(),
        },
    )
    return MicroRun(student, card, trained.calibration)


def _pretrained(student: Student) -> tuple[CardPretrained, ...]:
    if not student.trunk.statistics_fixed:
        return ()
    return (CardPretrained(name=TRUNK_NAME, licence=TRUNK_LICENCE, note=TRUNK_NOTE),)


def _development(config: Config, corpus: Corpus, tiny: DevelopmentSet, progress: Progress) -> DevelopmentSet:
    """The tiny model's development set, heard through the devices' front end."""
    workers = config.training.processes
    _, audio = development_positives(config, corpus)
    heard = compute_micro_clips(audio, workers=workers, progress=progress)
    trials = [
        replace(trial, features=ClipFeatures(logmel=frames, embeddings=np.asarray(trial.features.embeddings)))
        for trial, frames in zip(tiny.trials, heard, strict=True)
    ]
    streams = [(stream.name, cache_folder() / stream.path) for stream in corpus.streams if stream.role == "dev"]
    found = compute_micro_streams(streams, workers=workers, progress=progress)
    if not streams and (joined := development_row(config, corpus)).size:
        found = compute_micro_clips([joined], workers=1, progress=progress)
    negatives = [
        StreamFeatures(stream.name, stream.samples, frames, stream.embeddings)
        for stream, frames in zip(tiny.negatives, found, strict=True)
    ]
    return replace(tiny, trials=trials, negatives=negatives, gate=None)


def _in_a_row(store: ViewStore) -> Int16Array:
    """Training views one after the other: one of the phrase, two others, and so on. Shape: `-> [N]`"""
    labels = store.labels
    third = CALIBRATION_VIEWS // 3
    phrase, others = (
        np.resize(chosen[:: max(1, len(chosen) // count)], count)
        for chosen, count in ((np.flatnonzero(labels == 1), third), (np.flatnonzero(labels == 0), 2 * third))
    )
    order = np.column_stack([phrase, others[:third], others[third:]]).ravel()
    return store.audio(order).ravel()
