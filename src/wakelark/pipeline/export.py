"""Stage "export": thresholds, cards, both model files, and both networks for whoever goes on from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Exports:
    """Both files, and how their thresholds were chosen."""

    accurate: Exported
    tiny: Exported
    accurate_choice: Choice
    tiny_choice: Choice


def export_models(
    config: Config,
    folder: RunFolder,
    clips: Sequence[Clip],
    *,
    heads: HeadEnsemble,
    accurate_curve: DetCurve,
    student: AnyStudent,
    tiny_curve: DetCurve,
    created: str,
) -> Exports:
    """Choose both thresholds on the development curves, write both models, each checked against torch, and keep both
    networks in `checkpoints/`.

    Raises:
        ModelError: a file does not say what the network says; it is not written.
        SetupError: a file cannot be written.
    """
    accurate_choice = choose_threshold(accurate_curve, config.evaluation)
    tiny_choice = choose_threshold(tiny_curve, config.evaluation)
    accurate = build_card(
        config, accurate_facts(heads), accurate_choice, clips, created=created, measured=_measured(accurate_curve)
    )
    tiny = build_card(
        config, student_facts(student), tiny_choice, clips, created=created, measured=_measured(tiny_curve)
    )
    exports = Exports(
        accurate=export_accurate(heads, accurate, folder.accurate),
        tiny=export_student(student, tiny, folder.tiny),
        accurate_choice=accurate_choice,
        tiny_choice=tiny_choice,
    )
    save_heads(heads, folder.saved_heads)
    save_student(student, folder.saved_student)
    return exports


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
