"""What 8 bits cost the student for devices, and its fine-tuning in 8 bits where they cost too much."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace

from wakelark.audio import Float32Array
from wakelark.config import Config
from wakelark.models.student import Student
from wakelark.pipeline.development import DevelopmentSet
from wakelark.pipeline.networks import TinyNetwork
from wakelark.pipeline.student import StudentJob, train_student
from wakelark.pipeline.threshold import NORMAL_SCORE, OperatingPoint, fit_operating_point
from wakelark.tflite.eight_bits import EightBitStudent, in_eight_bits
from wakelark.training.stream_features import Progress

STEPS_SHARE, RATE_SHARE = 0.2, 0.1
"""Of the steps and of the learning rate that the student was trained with: its weights have to move by fractions of
their 8-bit steps only."""
ALLOWED_POINTS = 0.5


@dataclass(frozen=True, slots=True)
class EightBitCost:
    """What 8 bits cost on development audio, each network at the threshold that is chosen for it.

    Attributes:
        clips: positives.
        missed: of the float student.
        missed_in_8_bits: of the same student as its file computes.
    """

    clips: int
    missed: int
    missed_in_8_bits: int

    @property
    def too_much(self) -> bool:
        """Above half a point, and more than one clip."""
        more = self.missed_in_8_bits - self.missed
        return more > 1 and 100 * more > ALLOWED_POINTS * self.clips


@dataclass(frozen=True, slots=True, kw_only=True)
class EightBits:
    """A student, and how it computes as its file will.

    Attributes:
        student: in float.
        likeness: of its file.
        float_point: the float student's operating point.
        point: that of the likeness, and so of the file.
        cost: what 8 bits cost it.
    """

    student: Student
    likeness: EightBitStudent
    float_point: OperatingPoint
    point: OperatingPoint
    cost: EightBitCost


@dataclass(frozen=True, slots=True)
class TunedStudent:
    """A student that may have been fine-tuned.

    Attributes:
        best: what the file is made of.
        plain: before.
        tuned: after the fine-tuning; None where there was no need.
    """

    best: EightBits
    plain: EightBits
    tuned: EightBits | None = None

    def told(self) -> dict[str, object]:
        """For the card."""
        plain, tuned = self.plain.cost, self.tuned
        found: dict[str, object] = {
            "development_clips": plain.clips, "missed": plain.missed, "missed_in_8_bits": plain.missed_in_8_bits,
            "fine_tuned": self.best is tuned,
        }  # fmt: skip
        return found if tuned is None else found | {"missed_tuned_in_8_bits": tuned.cost.missed_in_8_bits}


def hear_in_eight_bits(student: Student, development: DevelopmentSet, features: Float32Array) -> EightBits:
    """Let the student and the likeness of its file hear the development set, and choose a threshold for each.

    Args:
        student: on the `micro` front end.
        development: with features of the same.
        features: that the file's ranges are found on.

    Shape of `features`: `[frames, bands]`

    Raises:
        DataError: there is no development audio without the phrase.
    """
    rule = development.evaluation
    real = fit_operating_point(development.hear(TinyNetwork(student)).curve, rule)
    likeness = in_eight_bits(student, shift=real.shift, features=features)
    point = fit_operating_point(development.hear(TinyNetwork(likeness)).curve, rule)
    missed = [found.curve.missed_at(NORMAL_SCORE) for found in (real, point)]
    cost = EightBitCost(len(real.curve.positives), *missed)
    return EightBits(student=student, likeness=likeness, float_point=real, point=point, cost=cost)


def tune_in_eight_bits(
    job: StudentJob, student: Student, features: Float32Array, *, progress: Progress, warn: Callable[[str], None]
) -> TunedStudent:
    """Fine-tune the student with the 8 bits of its file in the way, if these cost more than half a point.

    The same trainer, views, mined sounds and teacher; selected by what the file's likeness does on development audio,
    and kept only if that is better than before.

    Args:
        job: that the student was trained with.
        student: trained.
        features: that the file's ranges are found on.
        progress: called with (done, total, what).
        warn: told what the report must say.

    Shape of `features`: `[frames, bands]`
    """
    plain = hear_in_eight_bits(student, job.development, features)
    if not plain.cost.too_much:
        return TunedStudent(plain, plain)
    again = replace(
        job, config=_gentle(job.config), start=plain.likeness, name=f"{job.name}-8-bits",
        folder=job.folder.with_name(f"{job.folder.name}-8-bits"),
    )  # fmt: skip
    found, _ = train_student(again, progress=progress, warn=warn)
    weights = copy.deepcopy(student)
    weights.load_state_dict(found.state_dict())
    tuned = hear_in_eight_bits(weights.eval(), job.development, features)
    figures = [job.development.figure(TinyNetwork(each.likeness)) for each in (plain, tuned)]
    kept = figures[1] < figures[0]
    warn(
        f"in 8 bits the model for devices missed {plain.cost.missed_in_8_bits} of {plain.cost.clips} development "
        f"clips, {plain.cost.missed} in float; fine-tuned in 8 bits it misses {tuned.cost.missed_in_8_bits}"
        f"{'' if kept else ', but is no better over all thresholds: not kept'}"
    )
    return TunedStudent(tuned if kept else plain, plain, tuned)


def _gentle(config: Config) -> Config:
    training = config.training
    steps = max(1, round(STEPS_SHARE * training.steps))
    return config.model_copy(
        update={
            "training": training.model_copy(
                update={
                    "steps": steps, "steps_per_epoch": min(steps, training.steps_per_epoch),
                    "learning_rate": RATE_SHARE * training.learning_rate,
                }
            ),
            # All of it moves; one candidate, as it starts from one; what it knows of embeddings it knows.
            "student": config.student.model_copy(update={"trunk_rate": 1.0, "candidates": 1}),
            "distillation": config.distillation.model_copy(update={"embedding_weight": 0.0}),
        }
    )  # fmt: skip
