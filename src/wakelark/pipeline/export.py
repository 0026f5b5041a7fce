"""Stage "export": operating points, cards, both model files, and both networks for whoever goes on from them.

The networks in `checkpoints/` are as they were trained: their scores are not shifted as those of the files are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from wakelark.config import Config
from wakelark.corpus.clip import Clip
from wakelark.evaluation.operating_point import DetCurve, selection_figure
from wakelark.export.onnx import Exported, accurate_facts, export_accurate, export_student, student_facts
from wakelark.model_card import ModelCard, model_digest
from wakelark.models.build import AnyStudent
from wakelark.models.heads import HeadEnsemble
from wakelark.models.saved import save_heads, save_student
from wakelark.pipeline.cards import build_card, card_of
from wakelark.pipeline.development import Heard
from wakelark.pipeline.judged import fit_judged
from wakelark.pipeline.run_folder import RunFolder
from wakelark.pipeline.threshold import OperatingPoint, fit_operating_point


def export_heads(
    config: Config, folder: RunFolder, clips: Sequence[Clip], *, heads: HeadEnsemble, heard: Heard
) -> Mapping[str, float]:
    """Choose the operating point on the development set, write `model.onnx`, checked against torch, and keep the heads.

    Returns:
        What the report says of it: "parity" (the largest difference between file and network), "logit_shift" (see
        `fit_operating_point`), "budget_threshold" and "free_threshold" (see `Choice`).

    Raises:
        DataError: there is no development audio without the phrase.
        ModelError: the file does not say what the network says; it is not written.
        SetupError: the file cannot be written.
    """
    point = fit_operating_point(heard.curve, config.evaluation)
    facts, measured = accurate_facts(heads), _measured(point.curve)
    card = build_card(config, facts, point, clips, created=folder.created, measured=measured)
    exported = export_accurate(heads, card, folder.accurate)
    save_heads(heads, folder.saved_heads)
    return _facts(exported, point)


def export_tiny(
    config: Config, folder: RunFolder, clips: Sequence[Clip], *, student: AnyStudent, heard: Heard, judge: Heard
) -> Mapping[str, float]:
    """The same for `model_tiny.onnx` and the student, with an operating point for `model.onnx`, which is written
    before, as its judge."""
    point = fit_operating_point(heard.curve, config.evaluation)
    facts, measured = student_facts(student), _measured(point.curve)
    card = build_card(config, facts, point, clips, created=folder.created, measured=measured)
    exported = export_student(student, _with_judge(config, folder, card, heard, judge), folder.tiny)
    save_student(student, folder.saved_student)
    return _facts(exported, point)


def renew_judge(config: Config, folder: RunFolder, *, student: AnyStudent, heard: Heard, judge: Heard) -> None:
    """Where the tiny model stays and its judge is another: choose the operating point of the two anew.

    Of `model_tiny.onnx` only the card changes.

    Args:
        config, folder: of the run.
        student: of the file that is there.
        heard: what it says of the development set.
        judge: what the new accurate model says of it.
    """
    export_student(student, _with_judge(config, folder, card_of(folder.tiny), heard, judge), folder.tiny)


def _with_judge(config: Config, folder: RunFolder, card: ModelCard, tiny: Heard, judge: Heard) -> ModelCard:
    point = fit_judged(tiny, judge, config.evaluation, tiny_card=card, judge_card=card_of(folder.accurate))
    return replace(card, judged=point.card(model_digest(folder.accurate.read_bytes())))


def _facts(exported: Exported, point: OperatingPoint) -> Mapping[str, float]:
    return {
        "parity": exported.difference, "logit_shift": point.shift, "budget_threshold": point.normal.budget_threshold,
        "free_threshold": point.normal.free_threshold,
    }  # fmt: skip


def _measured(curve: DetCurve) -> dict[str, object]:
    return {
        "development": {
            "positives": len(curve.positives),
            "hours": round(curve.hours, 3),
            "selection_figure": round(selection_figure(curve), 5),
            "what": "held-out voices against development recordings, or synthetic speech where there are none; "
            "the report has the test figures",
        }
    }
