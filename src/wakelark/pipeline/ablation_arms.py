"""The arms of an ablation: what each changes, what it is compared with, and which controls may take its gain away."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from wakelark.errors import ConfigError
from wakelark.strict_yaml import Value, parse

Mining = Literal["none", "mined", "random"]
RUN_SECTIONS = ("student", "loss", "distillation", "training")
"""Sections of the configuration that a run reads. What the others make is shared by all runs of a phrase."""
_WITHOUT_EFFECT = ("student.candidates", "training.workers", "training.tensorboard")
"""A run trains one candidate in one process."""


class Arm(BaseModel):
    """One recipe: the configuration of the ablation with some keys changed, and what is done to the data.

    Attributes:
        name: in tables.
        about: in a few words.
        control: runs on the phrases for controls only.
        set: configuration keys, dotted; see `check_effect`.
        mining: "mined" adds views of events that fooled the baseline's student of the same seed, "random" as many views
            of random windows of the same recordings.
        teacher: "shuffled": what the teacher says is permuted between the examples of a class.
        smoothing: "matched": label smoothing with the mean entropy of the teacher.
        as_long_as: an arm whose seconds this arm may use up with more steps; it has steps of its own otherwise.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    about: str = ""
    control: bool = False
    set: dict[str, object] = Field(default_factory=dict)
    mining: Mining = "none"
    teacher: Literal["real", "shuffled"] = "real"
    smoothing: Literal["none", "matched"] = "none"
    as_long_as: str | None = None

    @property
    def overrides(self) -> list[str]:
        """The changed keys as words for `load_config`."""
        return [f"{key}={json.dumps(value)}" for key, value in self.set.items()]

    def check_effect(self) -> None:
        """Refuse keys that change nothing in a run: the arm would come to the baseline without a word.

        Raises:
            ConfigError: `set` holds such a key.
        """
        idle = [key for key in self.set if key.partition(".")[0] not in RUN_SECTIONS or key in _WITHOUT_EFFECT]
        if idle:
            raise ConfigError(
                f"arm {self.name}: {', '.join(idle)} would change nothing: `set` takes keys of "
                f"{', '.join(RUN_SECTIONS)} (without {', '.join(_WITHOUT_EFFECT)}); what all arms share is made once "
                f"per phrase, from --set, --config and --preset"
            )


class Comparison(BaseModel):
    """A question: does `arm` miss less than `against`, and do the controls not do nearly as well?

    Attributes:
        name: of the part that is judged.
        arm, against: with and without it.
        controls: arms that must not reproduce half of the gain over `against`.
        headline: one of the hypotheses that Holm's correction is over.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    arm: str
    against: str
    controls: tuple[str, ...] = ()
    headline: bool = False


@dataclass(frozen=True, slots=True)
class Design:
    """Arms and comparisons. `baseline` is the arm whose students are mined with."""

    arms: tuple[Arm, ...]
    comparisons: tuple[Comparison, ...] = field(default_factory=tuple)
    baseline: str = "A0"

    def arm(self, name: str) -> Arm:
        """The arm of that name.

        Raises:
            ConfigError: there is none.
        """
        for arm in self.arms:
            if arm.name == name:
                return arm
        known = ", ".join(arm.name for arm in self.arms)
        raise ConfigError(f"there is no arm {name!r}; choose among headline, controls, all, {known}")

    def choose(self, names: Sequence[str]) -> Design:
        """The design with the named arms, in its own order, and those they cannot do without.

        Args:
            names: arms, or "headline", "controls" or "all".
        """
        wanted: set[str] = set()
        for name in names:
            if name in ("headline", "controls", "all"):
                wanted |= {arm.name for arm in self.arms if name == "all" or arm.control == (name == "controls")}
            else:
                wanted.add(self.arm(name).name)
        if any(self.arm(name).mining != "none" for name in wanted):
            wanted.add(self.baseline)
        for name in list(wanted):
            if (other := self.arm(name).as_long_as) is not None:
                wanted |= {other, self.baseline}
        return Design(
            tuple(arm for arm in self.arms if arm.name in wanted),
            tuple(c for c in self.comparisons if {c.arm, c.against} <= wanted),
            self.baseline,
        )


_STUDENT_ALONE: dict[str, object] = {"distillation.enabled": False}
_PLAIN: dict[str, object] = {
    "distillation.enabled": True, "distillation.alpha": 0.6, "distillation.temperature": 3.0,
    "distillation.gated": False, "distillation.logit_weight": 0.0, "distillation.embedding_weight": 0.0,
    "loss.hard_negative_weight": 1.5,
}  # fmt: skip
_TAUGHT: dict[str, object] = {**_PLAIN, "distillation.embedding_weight": 0.3}
_LOGITS: dict[str, object] = {
    **_PLAIN, "distillation.alpha": 0.0, "distillation.gated": True, "distillation.logit_weight": 0.3,
}  # fmt: skip
_EMBEDDINGS: dict[str, object] = {**_TAUGHT, "distillation.alpha": 0.0}
_SCRATCH: dict[str, object] = {"student.trunk": "none", "training.learning_rate": 4e-3, "training.steps": 1200}

DEFAULT = Design(
    arms=(
        Arm(name="A0", about="no distillation, no mining", set=_STUDENT_ALONE),
        Arm(name="A2", about="mining", set=_STUDENT_ALONE, mining="mined"),
        Arm(name="B", about="distillation: the plain formula and embeddings", set=_TAUGHT),
        Arm(name="B1", about="the plain formula: alpha 0.6, T 3, weight 1.5", set=_PLAIN),
        Arm(name="C", about="distillation and mining", set=_TAUGHT, mining="mined"),
        Arm(name="C1", about="the plain formula and mining: the default recipe", set=_PLAIN, mining="mined"),
        Arm(name="A2-random", control=True, about="random windows instead of mined ones", set=_STUDENT_ALONE,
            mining="random"),
        Arm(name="B-smooth", control=True, about="label smoothing of the teacher's entropy instead of a teacher",
            set=_STUDENT_ALONE, smoothing="matched"),
        Arm(name="B-shuffled", control=True, about="teacher's outputs permuted within each class",
            set=_TAUGHT, teacher="shuffled"),
        Arm(name="A0-long", control=True, about="A0 with more steps, as many seconds as B", set=_STUDENT_ALONE,
            as_long_as="B"),
        Arm(name="B1-shuffled", control=True, about="the plain formula, teacher's outputs permuted within each class",
            set=_PLAIN, teacher="shuffled"),
        Arm(name="B2", control=True, about="gated log-odds only", set=_LOGITS),
        Arm(name="B3", control=True, about="embeddings only", set=_EMBEDDINGS),
        Arm(name="A2-w1", control=True, about="mining, hard-negative weight 1", mining="mined",
            set={**_STUDENT_ALONE, "loss.hard_negative_weight": 1.0}),
        Arm(name="A2-w1.5", control=True, about="mining, hard-negative weight 1.5", mining="mined",
            set={**_STUDENT_ALONE, "loss.hard_negative_weight": 1.5}),
        Arm(name="A2-w3", control=True, about="mining, hard-negative weight 3", mining="mined",
            set={**_STUDENT_ALONE, "loss.hard_negative_weight": 3.0}),
        Arm(name="scratch", control=True, about="A0 from random weights: 1,200 steps at 4e-3",
            set={**_STUDENT_ALONE, **_SCRATCH}),
        Arm(name="scratch-B", control=True, about="B from random weights",
            set={**_TAUGHT, **_SCRATCH}),
        Arm(name="A0-focal", control=True, about="A0 with focal weighting instead of a fixed hard-negative weight",
            set={**_STUDENT_ALONE, "loss.focal_gamma": 2.0, "loss.hard_negative_weight": 1.0}),
        Arm(name="B-flags", control=True, about="B with hardness flags from the teacher's scores",
            set={**_TAUGHT, "loss.teacher_hard_share": 0.1}),
    ),
    comparisons=(
        Comparison(name="distillation", arm="B", against="A0", headline=True,
                   controls=("B-smooth", "B-shuffled", "A0-long")),
        Comparison(name="mining", arm="A2", against="A0", headline=True, controls=("A2-random",)),
        Comparison(name="both", arm="C", against="A0"),
        Comparison(name="mining on top of distillation", arm="C", against="B"),
        Comparison(name="distillation on top of mining", arm="C", against="A2"),
        Comparison(name="plain formula and mining", arm="C1", against="A0",
                   controls=("B-smooth", "B1-shuffled", "A2-random")),
        Comparison(name="plain formula on top of mining", arm="C1", against="A2"),
        Comparison(name="mining on top of the plain formula", arm="C1", against="B1"),
        Comparison(name="trunk, plain formula and mining", arm="C1", against="scratch"),
        Comparison(name="mined against random windows", arm="A2", against="A2-random"),
        Comparison(name="plain formula", arm="B1", against="A0",
                   controls=("B-smooth", "B1-shuffled")),
        Comparison(name="distillation against the plain formula", arm="B", against="B1"),
        Comparison(name="gated log-odds", arm="B2", against="A0"),
        Comparison(name="embeddings", arm="B3", against="A0"),
        Comparison(name="label smoothing", arm="B-smooth", against="A0"),
        Comparison(name="shuffled teacher", arm="B-shuffled", against="A0"),
        Comparison(name="more steps", arm="A0-long", against="A0"),
        Comparison(name="random windows", arm="A2-random", against="A0"),
        Comparison(name="weight 1.5 against 1", arm="A2-w1.5", against="A2-w1"),
        Comparison(name="weight 3 against 1", arm="A2-w3", against="A2-w1"),
        Comparison(name="trunk", arm="A0", against="scratch"),
        Comparison(name="trunk, with distillation", arm="B", against="scratch-B"),
        Comparison(name="distillation from scratch", arm="scratch-B", against="scratch"),
        Comparison(name="trunk and distillation", arm="B", against="scratch"),
        Comparison(name="focal weighting", arm="A0-focal", against="A0"),
        Comparison(name="teacher's hardness flags", arm="B-flags", against="B"),
    ),
)  # fmt: skip


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")

    arms: list[Arm]
    comparisons: list[Comparison] = Field(default_factory=list)
    baseline: str | None = None


def read_design(path: Path) -> Design:
    """A design from a YAML file with the keys `arms`, `comparisons` and `baseline` (the first arm when left out).

    Without comparisons every arm is compared with the baseline.

    Raises:
        ConfigError: the file cannot be read, or says what cannot be.
    """
    try:
        document = parse(path.read_text(encoding="utf-8"), name=str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read the arms in {path}: {error}") from error
    if document.problems:
        raise ConfigError("\n".join(f"{path}, line {line}: {message}" for line, message in document.problems))
    try:
        content = _File.model_validate(_plain(document.value))
    except ValidationError as error:
        problems = (f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors())
        raise ConfigError(f"{path}: " + "; ".join(problems)) from error
    if not content.arms:
        raise ConfigError(f"{path} has no arms; docs/ablation.md shows such a file")
    baseline = content.baseline or content.arms[0].name
    comparisons = tuple(content.comparisons) or tuple(
        Comparison(name=f"{arm.name} against {baseline}", arm=arm.name, against=baseline, headline=True)
        for arm in content.arms if arm.name != baseline
    )  # fmt: skip
    design = Design(tuple(content.arms), comparisons, baseline)
    _check(design, path)
    return design


def _check(design: Design, path: Path) -> None:
    names = [arm.name for arm in design.arms]
    named = {design.baseline, *(arm.as_long_as for arm in design.arms if arm.as_long_as)}
    for comparison in design.comparisons:
        named |= {comparison.arm, comparison.against, *comparison.controls}
    if unknown := sorted(named - set(names)):
        raise ConfigError(f"{path}: {', '.join(unknown)} is named, but is no arm; the arms are {', '.join(names)}")
    if len(set(names)) < len(names):
        raise ConfigError(f"{path}: two arms have the same name; the arms are {', '.join(names)}")
    if design.arm(design.baseline).mining != "none":
        raise ConfigError(f"{path}: the baseline {design.baseline} cannot itself be mined; its students do the mining")


def _plain(value: Value) -> object:
    return {} if value is None else value
