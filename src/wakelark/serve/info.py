"""What the server says about itself and its models when a client asks with `describe`."""

from __future__ import annotations

from collections.abc import Sequence

from wyoming.info import Attribution, Info, WakeModel, WakeProgram

from wakelark.serve.models import ServedModel

_MADE_BY = Attribution(name="wakelark", url="")
_TRAINED_BY = Attribution(name="trained with wakelark", url="")


def info(models: Sequence[ServedModel], *, version: str) -> Info:
    """The `info` message: one wake program with all models."""
    program = WakeProgram(
        name="wakelark",
        description="Custom wake words",
        attribution=_MADE_BY,
        installed=True,
        version=version,
        models=[_model(model) for model in models],
    )
    return Info(wake=[program])


def _model(model: ServedModel) -> WakeModel:
    card = model.backend.card
    second = ", with a judge" if model.is_judged else ""
    return WakeModel(
        name=model.name,
        description=f"{card.phrase} ({card.kind}{second})",
        phrase=card.phrase,
        attribution=_TRAINED_BY,
        installed=True,
        version=f"{card.wakelark_version}-{model.backend.digest[:8]}",
        languages=[card.language],
    )
