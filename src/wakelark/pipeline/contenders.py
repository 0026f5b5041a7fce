"""Which detectors a benchmark compares, and what they are called."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from wakelark.audio import printable
from wakelark.errors import ConfigError
from wakelark.evaluation.benchmark_chart import MOST_MODELS
from wakelark.peers.listener import Listener
from wakelark.peers.live import check_runs
from wakelark.peers.published import published_models
from wakelark.peers.scorer import ScorerFacts, spoken


@dataclass(frozen=True, slots=True)
class Contender:
    """A detector that is measured.

    Attributes:
        name: unique among those compared.
        listener: what it is loaded from.
        facts: what it says about itself.
    """

    name: str
    listener: Listener
    facts: ScorerFacts


def choose_contenders(
    models: Sequence[Path], judge: Path | None, peers: Sequence[Path] | None
) -> tuple[list[Contender], list[str]]:
    """All detectors, the wakelark ones first, and what to keep in mind about them.

    Args:
        models: files for the same phrase.
        judge: every other of these models is measured a second time with it; None for no judge.
        peers: further files; None for the published models in installed packages.

    Raises:
        ModelError: a model cannot be used.
        SetupError: a package that runs one, or that brings published ones, is not installed.
        ConfigError: models for different phrases, too many, or a judge that judges none of them.
    """
    own = [_contender(Listener(model=path)) for path in models]
    phrase = spoken(own[0].facts.phrase)
    for other in own[1:]:
        if spoken(other.facts.phrase) != phrase:
            raise ConfigError(
                f'{printable(other.listener.model)} listens for "{other.facts.phrase}", '
                f'{printable(own[0].listener.model)} for "{phrase}": only models for the same phrase can be compared'
            )
    own += _judged(models, judge)
    files = published_models(phrase) if peers is None else peers
    warnings: list[str] = []
    if peers is None and not files:
        warnings.append(f'no installed package has a published model for "{phrase}"')
    others = [_contender(Listener(model=path)) for path in files]
    warnings += [
        f'{other.name} is taken to listen for "{other.facts.phrase}", not "{phrase}"'
        for other in others
        if spoken(other.facts.phrase) != phrase
    ]
    if (number := len(own) + len(others)) > MOST_MODELS:
        raise ConfigError(f"{number} models are too many for one table and plot; at most {MOST_MODELS}")
    return _named_apart([*own, *others]), warnings


def _judged(models: Sequence[Path], judge: Path | None) -> list[Contender]:
    if judge is None:
        return []
    waking = [path for path in models if path.resolve() != judge.resolve()]
    if not waking:
        raise ConfigError(f"{printable(judge)} has nothing to judge: name the model_tiny.onnx of its run as a MODEL")
    return [_contender(Listener(model=path, judge=judge)) for path in waking]


def _contender(listener: Listener) -> Contender:
    check_runs(listener.model)
    facts = listener.load().facts
    judge = "" if listener.judge is None else f" + {printable(listener.judge.name)}"
    return Contender(f"{facts.family} {printable(listener.model.name)}{judge}", listener, facts)


def _named_apart(contenders: list[Contender]) -> list[Contender]:
    """With the folder in the name where two would have the same, and a number where even that is the same."""
    names = [contender.name for contender in contenders]
    if len(set(names)) < len(names):
        names = [one.name.replace(" ", f" {printable(one.listener.model.parent.name)}/", 1) for one in contenders]
    if len(set(names)) < len(names):
        names = [f"{name} ({number})" for number, name in enumerate(names, 1)]
    return [replace(one, name=name) for name, one in zip(names, contenders, strict=True)]
