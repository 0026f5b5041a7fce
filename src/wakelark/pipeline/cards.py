"""The model cards of a run: what each file says about itself."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from wakelark import __version__
from wakelark.audio import SAMPLE_RATE
from wakelark.config import Config
from wakelark.corpus.clip import Clip
from wakelark.errors import ModelError
from wakelark.evaluation.events import smoothing_steps
from wakelark.export.onnx import NetworkFacts
from wakelark.model_card import CardSource, ModelCard
from wakelark.pipeline.threshold import NORMAL_SCORE, OperatingPoint

_PACKAGES = ("torch", "onnx", "onnxruntime", "numpy", "livekit-wakeword")


def build_card(
    config: Config,
    facts: NetworkFacts,
    point: OperatingPoint,
    clips: Sequence[Clip],
    *,
    created: str,
    measured: dict[str, object],
) -> ModelCard:
    """The card of one model.

    Args:
        config: of the run.
        facts: what the network's structure decides.
        point: the shift of the log-odds and the presets.
        clips: the manifest.
        created: ISO date.
        measured: figures on development data.
    """
    return ModelCard(
        wakelark_version=__version__,
        phrase=config.phrase,
        language=config.language,
        kind=facts.kind,
        step_samples=facts.step_samples,
        state_size=facts.state_size,
        warm_up_samples=facts.warm_up_samples,
        threshold=NORMAL_SCORE,
        smoothing_steps=smoothing_steps(
            step_s=facts.step_samples / SAMPLE_RATE, smoothing_s=config.evaluation.smoothing_s
        ),
        refractory_s=config.evaluation.refractory_s,
        gate_db=config.evaluation.gate_db,
        gate_hold_s=config.evaluation.gate_hold_s,
        fa_per_hour=config.evaluation.fa_per_hour,
        front_end=facts.front_end,
        parameters=facts.parameters,
        created=created,
        presets=point.presets,
        logit_shift=point.shift,
        provenance=provenance(clips),
        pretrained=facts.pretrained,
        measured=measured,
        versions=_versions(),
    )


def card_of(model: Path) -> ModelCard:
    """The card beside a model file.

    Raises:
        ModelError: it is missing, or none that this version can read.
    """
    path = model.with_name(f"{model.name}.json")
    if not path.is_file():
        raise ModelError(f"{path} is missing: it says how {model.name} decides; restore it, or train the run again")
    return ModelCard.from_json(path.read_text(encoding="utf-8"))


def provenance(clips: Sequence[Clip]) -> tuple[CardSource, ...]:
    """Sources and licences of everything the models were trained on."""
    sources: dict[tuple[str, str], tuple[int, int]] = {}
    for clip in clips:
        if clip.split == "train":
            count, samples = sources.get((clip.source, clip.licence), (0, 0))
            sources[clip.source, clip.licence] = (count + 1, samples + clip.samples)
    return tuple(
        CardSource(source=source, licence=licence, clips=count, hours=round(samples / SAMPLE_RATE / 3600, 4))
        for (source, licence), (count, samples) in sorted(sources.items())
    )


def _versions() -> dict[str, str]:
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
