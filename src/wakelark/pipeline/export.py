"""Stage "export": thresholds, cards, both model files, and both networks for whoever goes on from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from wakelark.config import Config
from wakelark.corpus.clip import Clip
from wakelark.evaluation.operating_point import DetCurve, selection_figure
from wakelark.export.onnx import Exported, accurate_facts, export_accurate, export_student, student_facts
from wakelark.models.build import AnyStudent
from wakelark.models.heads import HeadEnsemble
from wakelark.models.saved import save_heads, save_student
from wakelark.pipeline.cards import build_card
from wakelark.pipeline.run_folder import RunFolder
from wakelark.pipeline.threshold import Choice, choose_threshold


def export_heads(
    config: Config, folder: RunFolder, clips: Sequence[Clip], *, heads: HeadEnsemble, curve: DetCurve
) -> Mapping[str, float]:
    """Choose the threshold on the development curve, write `model.onnx`, checked against torch, and keep the heads.

    Returns:
        What the report says of it: "parity" (the largest difference between file and network), "budget_threshold" and
        "free_threshold" (see `Choice`).

    Raises:
        ModelError: the file does not say what the network says; it is not written.
        SetupError: the file cannot be written.
    """
    choice = choose_threshold(curve, config.evaluation)
    facts, measured = accurate_facts(heads), _measured(curve)
    card = build_card(config, facts, choice, clips, created=folder.created, measured=measured)
    exported = export_accurate(heads, card, folder.accurate)
    save_heads(heads, folder.saved_heads)
    return _facts(exported, choice)


def export_tiny(
    config: Config, folder: RunFolder, clips: Sequence[Clip], *, student: AnyStudent, curve: DetCurve
) -> Mapping[str, float]:
    """The same for `model_tiny.onnx` and the student."""
    choice = choose_threshold(curve, config.evaluation)
    facts, measured = student_facts(student), _measured(curve)
    card = build_card(config, facts, choice, clips, created=folder.created, measured=measured)
    exported = export_student(student, card, folder.tiny)
    save_student(student, folder.saved_student)
    return _facts(exported, choice)


def _facts(exported: Exported, choice: Choice) -> Mapping[str, float]:
    return {
        "parity": exported.difference, "budget_threshold": choice.budget_threshold,
        "free_threshold": choice.free_threshold,
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
