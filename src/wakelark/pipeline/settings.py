"""From what the user typed to a folder and a complete configuration."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from wakelark.config import Config
from wakelark.config_file import load_config
from wakelark.errors import ConfigError
from wakelark.models.trunk_file import MICRO_SHIPPED, SHIPPED
from wakelark.pipeline.run_folder import RunFolder, slug
from wakelark.pipeline.teacher_names import teacher_names

TARGETS: tuple[Literal["onnx", "esphome"], ...] = ("onnx", "esphome")
"""What `train --for` takes: for what a model is trained. `wakelark export` writes more from the same models."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """The words of `wakelark train`, checked for shape only."""

    phrase: str
    config: Path | None
    overrides: list[str]
    pronunciations: list[str]
    language: str | None
    positives: Path | None
    negatives: Path | None
    out: Path | None
    preset: str | None
    device: str
    resume: bool
    targets: list[str] = field(default_factory=list)


def settle(request: Request) -> tuple[RunFolder, Config]:
    """The run's folder and configuration; on `--resume` both come from the folder.

    Raises:
        ConfigError: no phrase, an impossible value, or options that contradict a run that is being resumed.
    """
    if request.device not in ("auto", "cpu", "cuda"):
        raise ConfigError(f"--device {request.device}: use auto, cpu or cuda")
    phrase = " ".join(request.phrase.split())
    if request.resume:
        return _resumed(request, phrase)
    if not phrase and request.config is None:
        raise ConfigError('which phrase? For instance: wakelark train "hey computer"')
    settings = load_config(request.config, overrides=_overrides(request), preset=request.preset)
    if phrase:
        settings.phrase = phrase
    settings.phrase = " ".join(settings.phrase.split())  # as it is spoken; a model's card holds no line breaks
    if not settings.phrase:
        raise ConfigError('the phrase is empty; name it: wakelark train "hey computer"')
    settings.positives = _own_folder(settings.positives, "--positives")
    settings.negatives = _own_folder(settings.negatives, "--negatives")
    if settings.student.trunk not in ("none", *SHIPPED):
        settings.student.trunk = str(Path(settings.student.trunk).expanduser().resolve())
    if settings.micro.trunk not in ("none", "auto", MICRO_SHIPPED):
        settings.micro.trunk = str(Path(settings.micro.trunk).expanduser().resolve())
    _add_targets(settings, request.targets)
    settings.distillation.teachers = [str(name) for name in teacher_names(settings.distillation.teachers)]
    folder = RunFolder(request.out or Path("runs") / slug(settings.phrase))
    folder.check(resume=False)
    return folder, settings


def _own_folder(given: str | None, option: str) -> str | None:
    """The whole path, so that a run may be resumed from anywhere."""
    if given is None:
        return None
    folder = Path(given).expanduser().resolve()
    if not folder.is_dir():
        what = "a file; name the folder it lies in" if folder.is_file() else "no such folder"
        raise ConfigError(f"{option} {given}: {what}")
    return str(folder)


def _add_targets(settings: Config, wanted: list[str]) -> None:
    """`--for` adds to what the YAML names; a run that is resumed may be asked for more."""
    settings.targets = settings.targets + [name for name in TARGETS if name in set(wanted) - set(settings.targets)]


def _overrides(request: Request) -> list[str]:
    import json

    named = {
        "language": request.language,
        "positives": str(request.positives) if request.positives else None,
        "negatives": str(request.negatives) if request.negatives else None,
        "pronunciations": request.pronunciations or None,
    }
    return [f"{key}={json.dumps(value)}" for key, value in named.items() if value is not None] + request.overrides


def _resumed(request: Request, phrase: str) -> tuple[RunFolder, Config]:
    if not phrase and request.out is None:
        raise ConfigError("which run? Name its folder: wakelark train --resume --out DIR")
    folder = RunFolder(request.out or Path("runs") / slug(phrase))
    folder.check(resume=True)
    settings = load_config(folder.config, overrides=[], preset=None)
    if phrase and phrase != settings.phrase:
        raise ConfigError(f"{folder.root} is a run for {settings.phrase!r}, not {phrase!r}; choose another --out")
    changed = [
        name
        for name, value in (
            ("--config", request.config), ("--preset", request.preset), ("--language", request.language),
            ("--set", request.overrides), ("--pronunciation", request.pronunciations),
            ("--positives", request.positives), ("--negatives", request.negatives),
        )
        if value
    ]  # fmt: skip
    if changed:
        raise ConfigError(
            f"{', '.join(changed)} cannot change a run that is resumed: {folder.config} holds its settings. "
            "Leave them out, or start a new run with --out"
        )
    _add_targets(settings, request.targets)
    return folder, settings
