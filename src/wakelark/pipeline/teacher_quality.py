"""How good the teacher is where it counts, next to the student: a teacher that is no better has nothing to teach."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from wakelark.audio import SAMPLE_RATE, Int16Array
from wakelark.config import Config
from wakelark.corpus.cache import cache_folder
from wakelark.errors import DataError
from wakelark.evaluation.operating_point import DetCurve
from wakelark.models.build import AnyStudent
from wakelark.models.heads import HeadEnsemble
from wakelark.pipeline.corpus import Corpus
from wakelark.pipeline.development import DevelopmentSet
from wakelark.pipeline.networks import AccurateNetwork, Network, TinyNetwork
from wakelark.pipeline.teacher_names import teacher_names
from wakelark.pipeline.teachers import build_teacher, load_run
from wakelark.pipeline.views import development_positives, development_row, phrase_end_s
from wakelark.training.run_teacher import RunTeacher
from wakelark.training.stream_features import Progress
from wakelark.training.teacher import Teacher
from wakelark.training.view_store import ViewStore
from wakelark.training.views import WINDOW_SAMPLES

WINDOWS = 1000
"""So many windows without the phrase are heard by teachers that cannot be streamed."""
WINDOW_SHARE = 0.01
"""The share of them that may fire. The budget of a detector is far lower, but cannot be seen in so few windows."""
_AFTER_S = 0.3
_BATCH = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class TeacherQuality:
    """Teacher and student on the same development audio, at the same false alarms.

    Attributes:
        teachers: as `distillation.teachers` names them.
        teacher_miss_rate, student_miss_rate: each at its own threshold for these false alarms.
        positives: clips with the phrase that were heard.
        compared: what was heard and where the thresholds lie, as a phrase.
    """

    teachers: tuple[str, ...]
    teacher_miss_rate: float
    student_miss_rate: float
    positives: int
    compared: str

    @property
    def is_better(self) -> bool | None:
        """Whether the teacher misses less; None where both miss nothing, which tells nothing."""
        if self.teacher_miss_rate == self.student_miss_rate == 0:
            return None
        return self.teacher_miss_rate < self.student_miss_rate

    def facts(self) -> Mapping[str, object]:
        """For the report."""
        return {**asdict(self), "teachers": list(self.teachers), "teacher_is_better": self.is_better}

    def warnings(self) -> list[str]:
        """What the user should know."""
        if self.is_better is not False:
            return []
        return [
            f"the teacher ({', '.join(self.teachers)}) is no better than the student: it misses "
            f"{self.teacher_miss_rate:.1%} of {self.positives} clips, the student {self.student_miss_rate:.1%} "
            f"({self.compared}); where that holds, it has nothing to teach: compare with distillation.enabled: false, "
            f"or name another teacher"
        ]


def curves_quality(
    teachers: tuple[str, ...], teacher: DetCurve, student: DetCurve, *, fa_per_hour: float
) -> TeacherQuality:
    """From two development curves, for teachers that can be streamed."""
    return TeacherQuality(
        teachers=teachers,
        teacher_miss_rate=teacher.matched_miss_rate(fa_per_hour),
        student_miss_rate=student.matched_miss_rate(fa_per_hour),
        positives=len(student.positives),
        compared=f"development clips and {student.hours:.2f} h of development recordings, at {fa_per_hour:g} false "
        f"alarms per hour",
    )


def windows_quality(
    teachers: tuple[str, ...], teacher: Teacher, student: Teacher, *, positives: Int16Array, negatives: Int16Array
) -> TeacherQuality:
    """From windows of two seconds, for teachers that hear whole clips only.

    Shape: `[P, 32000]`, `[N, 32000]`

    Raises:
        DataError: there are no windows of one kind.
    """
    if not len(positives) or not len(negatives):
        raise DataError("teacher and student cannot be compared: there is no development audio of one kind")
    misses = []
    for one in (teacher, student):
        hits, alarms = _said(one, positives), _said(one, negatives)
        allowed = int(WINDOW_SHARE * len(alarms))
        misses.append(float((hits <= np.sort(alarms)[::-1][allowed]).mean()))
    return TeacherQuality(
        teachers=teachers,
        teacher_miss_rate=misses[0],
        student_miss_rate=misses[1],
        positives=len(positives),
        compared=f"windows of {WINDOW_SAMPLES / SAMPLE_RATE:g} s: development clips against {len(negatives)} pieces of "
        f"development recordings, of which at most {WINDOW_SHARE:.0%} fire, far more than in a detector",
    )


def measure_teacher(
    config: Config,
    corpus: Corpus,
    development: DevelopmentSet,
    *,
    heads: HeadEnsemble,
    student: AnyStudent,
    store: ViewStore,
    device: str,
    progress: Progress,
) -> TeacherQuality | None:
    """Compare the run's teacher with its student; None without distillation.

    A single teacher that is a network of ours is streamed over the development recordings. Others hear windows of
    two seconds, and so does the student then.

    Args:
        config: of the run.
        corpus: its development clips and recordings.
        development: their features.
        heads, student: of the run.
        store: the training views; a backbone's head is made of them again.
        device: "cpu" or "cuda", for Hugging Face models.
        progress: called with (done, total, what).

    Raises:
        ModelError, DataError: the teacher or the audio vanished since the training.
    """
    if not config.distillation.enabled:
        return None
    names = teacher_names(config.distillation.teachers)
    told = tuple(str(name) for name in names)
    if len(names) == 1 and names[0].kind != "hf":
        network: Network = (
            AccurateNetwork(heads) if names[0].kind == "heads" else TinyNetwork(load_run(names[0], config.phrase))
        )
        return curves_quality(
            told, development.curve(network), development.curve(TinyNetwork(student)),
            fa_per_hour=config.evaluation.fa_per_hour,
        )  # fmt: skip
    progress(0, 1, "comparing teacher and student")
    teacher = build_teacher(config, heads=heads, store=store, device=device, progress=progress)
    return windows_quality(
        told, teacher, RunTeacher(student),
        positives=positive_windows(config, corpus), negatives=negative_windows(config, corpus),
    )  # fmt: skip


def positive_windows(config: Config, corpus: Corpus) -> Int16Array:
    """The development clips, as they are and augmented; the phrase ends 0.3 s before the window does.

    Shape: `-> [P, 32000]`
    """
    clips, trials = development_positives(config, corpus)
    stops = [round((phrase_end_s(clip) + _AFTER_S) * SAMPLE_RATE) for clip in clips for _ in range(2)]
    windows = [trial[stop - WINDOW_SAMPLES : stop] for trial, stop in zip(trials, stops, strict=True)]
    return np.stack(windows) if windows else np.zeros((0, WINDOW_SAMPLES), np.int16)


def negative_windows(config: Config, corpus: Corpus) -> Int16Array:
    """Windows spread evenly over the development recordings, or over what stands in for them.

    Shape: `-> [N, 32000]`, N at most about 1000
    """
    recordings = [np.load(cache_folder() / stream.path, mmap_mode="r") for stream in corpus.roles("dev")]
    recordings = recordings or [development_row(config, corpus)]
    every = max(WINDOW_SAMPLES, sum(len(audio) for audio in recordings) // WINDOWS)
    windows = [
        np.asarray(audio[start : start + WINDOW_SAMPLES])
        for audio in recordings
        for start in range(0, len(audio) - WINDOW_SAMPLES + 1, every)
    ]
    return np.stack(windows) if windows else np.zeros((0, WINDOW_SAMPLES), np.int16)


def _said(teacher: Teacher, windows: Int16Array) -> NDArray[np.float32]:
    portions: tuple[Tensor, ...] = torch.from_numpy(windows).split(_BATCH)
    return torch.cat([teacher.logits(portion).reshape(-1).float() for portion in portions]).numpy()
