"""Training a finished run anew with the user's material: in which parts, and which of the models stay.

What `wakelark mine` found is a mining round, and a model that does not miss less after it stays what it was. What was
added by hand, or taken out of a list, is the user's decision: it is trained on whatever the figure says, which is told.
So where both are new, there are two parts: first what was done by hand, then, on trial, what was mined.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from wakelark.corpus.clip import Clip
from wakelark.errors import ModelError
from wakelark.evaluation.operating_point import selection_figure
from wakelark.models.build import AnyStudent
from wakelark.models.heads import HeadEnsemble
from wakelark.models.saved import load_heads, load_student
from wakelark.pipeline.corpus import Corpus
from wakelark.pipeline.development import DevelopmentSet, Heard
from wakelark.pipeline.learned import Learned
from wakelark.pipeline.material import MINED, Material
from wakelark.pipeline.networks import AccurateNetwork, TinyNetwork
from wakelark.pipeline.run_folder import RunFolder


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One training of a whole run.

    Attributes:
        material: what it is trained with.
        on_trial: how many mined sounds the earlier models have not learned; 0 where there is nothing to judge.
        is_last: its models are measured and reported.
    """

    material: Material
    on_trial: int
    is_last: bool


def plan(learned: Learned | None, material: Material) -> list[Part]:
    """The parts, one or two, in which a run is trained with the material.

    Args:
        learned: what the earlier models have learned; None where there are none, and nothing to compare with.
        material: all that is listed now.
    """
    if learned is None:
        return [Part(material=material, on_trial=0, is_last=True)]
    known = material.mined & set(learned.mined)
    new = len(material.mined - known)
    by_hand = not learned.knows(material.added_key, known)
    first = [Part(material=material.with_mined(known), on_trial=0, is_last=not new)]
    return [
        *(first if by_hand or not new else []),
        *([Part(material=material, on_trial=new, is_last=True)] * bool(new)),
    ]


def parts_to_do(folder: RunFolder, material: Material) -> list[Part]:
    """What is left of the plan; a run that was interrupted goes on in the part it was in."""
    running = plan(folder.before, material)
    keys = [part.material.key for part in running]
    if folder.material not in keys:
        return plan(folder.learned or folder.before, material)
    rest = running[keys.index(folder.material) :]
    is_through = folder.learned is not None and not rest[0].is_last
    return rest[1:] if is_through else rest


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """A model before and after, on the same development set.

    Attributes:
        model: "accurate" or "tiny".
        on_trial: mined sounds that were judged; 0 for what was done by hand, which is not.
        figure_before, figure_after: mean miss rate over 0.5 to 4 false alarms per hour.
    """

    model: str
    on_trial: int
    figure_before: float
    figure_after: float

    @property
    def kept(self) -> bool:
        """Whether the new model takes the place of the earlier one."""
        return self.on_trial == 0 or self.figure_after < self.figure_before

    def facts(self) -> dict[str, Any]:
        """For the report."""
        return asdict(self) | {"kept": self.kept}

    def warning(self) -> str | None:
        """What the user must know; None where the model misses less, or by hand no more, than before."""
        misses = (
            f"the {self.model} model misses {100 * self.figure_after:.2f} % of the development clips (mean over 0.5 to "
            f"4 false alarms per hour), before {100 * self.figure_before:.2f} %"
        )
        if not self.kept:
            return (
                f"mining round undone: trained with the {self.on_trial} new sounds of `wakelark mine`, {misses}. So "
                f"the earlier {self.model} model stays as it was; the curves here are those of the training that was "
                "undone. The sounds stay listed in mined/: change the lists and resume to try again"
            )
        if self.on_trial == 0 and self.figure_after > self.figure_before:
            return (
                f"with what you added or took back, {misses}; it is kept, because what you bring by hand is your "
                "decision. To take clips back, delete their lines in corpus/added.jsonl and resume"
            )
        return None


def verdict_of(facts: Mapping[str, Any]) -> Verdict:
    """The verdict whose facts these are."""
    return Verdict(**{name: facts[name] for name in ("model", "on_trial", "figure_before", "figure_after")})


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """The networks that a run ends with, what they say of the development set, and how they were chosen."""

    heads: HeadEnsemble
    student: AnyStudent
    accurate: Heard
    tiny: Heard
    verdicts: Sequence[Verdict]

    @property
    def undone(self) -> set[str]:
        """The models that stay those of before."""
        return {verdict.model for verdict in self.verdicts if not verdict.kept}

    def clips(self, corpus: Corpus, before: Learned | None) -> list[Clip]:
        """Those that the models know: without what was on trial, where nothing has learned it."""
        if before is None or len(self.undone) < len(self.verdicts):
            return corpus.clips
        return [clip for clip in corpus.clips if clip.kind != MINED or clip.id in before.mined]

    def learned(self, part: Part, before: Learned | None, export: Mapping[str, Mapping[str, float]]) -> Learned:
        """The record of these models: of sounds that one of them has not learned, the next trial judges again."""
        mined = part.material.mined if before is None or not self.undone else before.mined
        return Learned(
            added=part.material.added_key, mined=tuple(sorted(mined)), export=export,
            told=() if part.is_last else tuple(verdict.facts() for verdict in self.verdicts),
        )  # fmt: skip


def choose(
    folder: RunFolder, development: DevelopmentSet, *, heads: HeadEnsemble, student: AnyStudent, on_trial: int
) -> Chosen:
    """The new networks, or the earlier ones where those on trial do not miss less.

    Args:
        folder: of the run, with the earlier models, if there were any.
        development: both are judged on it, now.
        heads, student: trained anew.
        on_trial: see `Part`.

    Raises:
        ModelError: an earlier model is damaged.
    """
    heard = development.hear(AccurateNetwork(heads)), development.hear(TinyNetwork(student))
    if folder.before is None:
        return Chosen(heads=heads, student=student, accurate=heard[0], tiny=heard[1], verdicts=())
    try:
        old_heads = load_heads(folder.copy_of(folder.saved_heads))
        old_student = load_student(folder.copy_of(folder.saved_student))
    except ModelError as error:
        raise ModelError(
            f"the earlier models cannot be compared with: {error}; or delete {folder.copies}, then the new models take "
            "their place unjudged"
        ) from error
    old = development.hear(AccurateNetwork(old_heads)), development.hear(TinyNetwork(old_student))
    accurate, tiny = (
        Verdict(
            model=model,
            on_trial=on_trial,
            figure_before=selection_figure(before.curve(0.0)),
            figure_after=selection_figure(after.curve(0.0)),
        )
        for model, before, after in zip(("accurate", "tiny"), old, heard, strict=True)
    )
    return Chosen(
        heads=heads if accurate.kept else old_heads, accurate=heard[0] if accurate.kept else old[0],
        student=student if tiny.kept else old_student, tiny=heard[1] if tiny.kept else old[1],
        verdicts=(accurate, tiny),
    )  # fmt: skip
