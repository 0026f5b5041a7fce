"""Stage "export": operating points, cards, both model files, and both networks for whoever goes on from them."""

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
from wakelark.pipeline.development import DevelopmentSet
from wakelark.pipeline.judged import JudgedPoint, fit_judged
from wakelark.pipeline.networks import AccurateNetwork, TinyNetwork
from wakelark.pipeline.run_folder import RunFolder
from wakelark.pipeline.threshold import OperatingPoint, fit_operating_point


@dataclass(frozen=True, slots=True, kw_only=True)
class Exports:
    """Both files, and how they decide: each alone, and the tiny one with the accurate one as its judge."""

    accurate: Exported
    tiny: Exported
    accurate_point: OperatingPoint
    tiny_point: OperatingPoint
    judged: JudgedPoint


def export_models(
    config: Config,
    folder: RunFolder,
    clips: Sequence[Clip],
    *,
    heads: HeadEnsemble,
    student: AnyStudent,
    development: DevelopmentSet,
    created: str,
) -> Exports:
    """Choose the operating points on the development set, write both models, each checked against torch, and keep both
    networks in `checkpoints/`, as they were trained: their scores are not shifted.

    Raises:
        DataError: there is no development audio without the phrase.
        ModelError: a file does not say what the network says; it is not written.
        SetupError: a file cannot be written.
    """
    heard_accurate, heard_tiny = development.hear(AccurateNetwork(heads)), development.hear(TinyNetwork(student))
    accurate_point = fit_operating_point(heard_accurate.curve, config.evaluation)
    tiny_point = fit_operating_point(heard_tiny.curve, config.evaluation)
    judged = fit_judged(heard_tiny, tiny_point, heard_accurate, accurate_point, config.evaluation)
    card = build_card(
        config, accurate_facts(heads), accurate_point, clips, created=created, measured=_measured(accurate_point.curve)
    )
    accurate = export_accurate(heads, card, folder.accurate)
    card = build_card(
        config, student_facts(student), tiny_point, clips, created=created, measured=_measured(tiny_point.curve),
        judged=judged.card(accurate.digest),
    )  # fmt: skip
    tiny = export_student(student, card, folder.tiny)
    save_heads(heads, folder.saved_heads)
    save_student(student, folder.saved_student)
    return Exports(accurate=accurate, tiny=tiny, accurate_point=accurate_point, tiny_point=tiny_point, judged=judged)


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
