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
    """What 8 bits cost on development audio, at the threshold chosen for the float student.

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


@dataclass(frozen=True, slots=True)
class TunedStudent:
    """A student that may have been fine-tuned.

    Attributes:
        student: its weights are real numbers in any case.
        cost: of the student before.
        tuned: the cost of the fine-tuned student; None where there was no need.
        kept: whether the fine-tuned one is better in 8 bits, and so the one here.
    """

    student: Student
    cost: EightBitCost
    tuned: EightBitCost | None = None
    kept: bool = False

    def told(self) -> dict[str, object]:
        """For the card."""
        found: dict[str, object] = {
            "development_clips": self.cost.clips, "missed": self.cost.missed,
            "missed_in_8_bits": self.cost.missed_in_8_bits, "fine_tuned": self.kept,
        }  # fmt: skip
        if self.tuned is not None:
            found |= {"missed_tuned": self.tuned.missed, "missed_tuned_in_8_bits": self.tuned.missed_in_8_bits}
        return found


def eight_bit_cost(student: Student, development: DevelopmentSet, features: Float32Array) -> EightBitCost:
    """Let the student and its 8-bit likeness hear the development set.

    Args:
        student: on the `micro` front end.
        development: with features of the same.
        features: that the file's ranges are found on.

    Shape of `features`: `[frames, bands]`

    Raises:
        DataError: there is no development audio without the phrase.
    """
    point, likeness = _likeness(student, development, features)
    curve = development.hear(TinyNetwork(likeness)).curve(point.shift)
    return EightBitCost(len(curve.positives), point.curve.missed_at(NORMAL_SCORE), curve.missed_at(NORMAL_SCORE))


def tune_in_eight_bits(
    job: StudentJob, student: Student, features: Float32Array, *, progress: Progress, warn: Callable[[str], None]
) -> TunedStudent:
    """Fine-tune the student with the 8 bits of its file in the way, if these cost more than half a point.

    The same trainer, views, mined sounds and teacher; selected by what the 8-bit likeness does on development audio.

    Args:
        job: that the student was trained with.
        student: trained.
        features: that the file's ranges are found on.
        progress: called with (done, total, what).
        warn: told what the report must say.

    Shape of `features`: `[frames, bands]`
    """
    cost = eight_bit_cost(student, job.development, features)
    if not cost.too_much:
        return TunedStudent(student, cost)
    _, start = _likeness(student, job.development, features)
    again = replace(
        job, config=_gentle(job.config), start=start, name=f"{job.name}-8-bits",
        folder=job.folder.with_name(f"{job.folder.name}-8-bits"),
    )  # fmt: skip
    likeness, _ = train_student(again, progress=progress, warn=warn)
    assert isinstance(likeness, EightBitStudent)
    tuned = copy.deepcopy(student)
    tuned.load_state_dict(likeness.state_dict())
    after = eight_bit_cost(tuned.eval(), job.development, features)
    kept = _figure(tuned, job.development, features) < _figure(student, job.development, features)
    warn(
        f"in 8 bits the model for devices missed {cost.missed_in_8_bits} of {cost.clips} development clips, and "
        f"{cost.missed} in float; fine-tuned in 8 bits it misses {after.missed_in_8_bits}"
        f"{'' if kept else ', but is not better over all thresholds: not kept'}"
    )
    return TunedStudent(tuned if kept else student, cost, after, kept)


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


def _figure(student: Student, development: DevelopmentSet, features: Float32Array) -> float:
    """What models are selected by, of the student in 8 bits; lower is better."""
    return development.figure(TinyNetwork(_likeness(student, development, features)[1]))


def _likeness(
    student: Student, development: DevelopmentSet, features: Float32Array
) -> tuple[OperatingPoint, EightBitStudent]:
    point = fit_operating_point(development.hear(TinyNetwork(student)).curve, development.evaluation)
    return point, in_eight_bits(student, shift=point.shift, features=features)
