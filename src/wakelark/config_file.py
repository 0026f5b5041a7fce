"""Configuration from a preset, a YAML file and `key=value` words, checked as a whole; and back to YAML.

All that is wrong is said at once, each with its place, the value and what would be right.
"""

from __future__ import annotations

import difflib
import json
import types
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from wakelark.config import PRESETS, Config
from wakelark.errors import ConfigError
from wakelark.strict_yaml import MAX_BYTES, Value, dump, parse

_MAX_COMPLAINTS = 20


@dataclass(frozen=True, slots=True)
class _Setting:
    """A value for a dotted key, and where it was given."""

    value: Value
    where: str


def load_config(path: Path | None, *, overrides: list[str], preset: str | None) -> Config:
    """Put a configuration together: defaults, then the preset, then the file, then the overrides.

    Args:
        path: a YAML file; None for none.
        overrides: words like `training.steps=800`; the values are YAML.
        preset: a name of `PRESETS`; None takes the one that the file or the overrides name, else the default.

    Raises:
        ConfigError: anything is wrong; one message lists all of it.

    >>> config = load_config(None, overrides=["loss.hard_negative_weight=2"], preset="quick")
    >>> config.loss.hard_negative_weight, config.corpus.recordings
    (2.0, 'quick')
    """
    complaints: list[str] = []
    given = _from_file(path, complaints) if path is not None else {}
    given |= _from_words(overrides, complaints)
    if preset is not None:
        given["preset"] = _Setting(preset, "--preset")
    chosen = given.get("preset", _Setting(Config().preset, ""))
    differences = PRESETS.get(chosen.value, {}) if isinstance(chosen.value, str) else {}
    settings = {key: _Setting(_plain(value), f"preset {chosen.value}") for key, value in differences.items()} | given
    config = _checked(settings, complaints)
    if config is not None and not complaints:
        complaints += _contradictions(config)
    if complaints or config is None:
        raise ConfigError(_joined(complaints))
    return config


def dump_config(config: Config) -> str:
    """The whole configuration as YAML that `load_config` reads back to the same values."""
    return dump(config.model_dump(mode="json"))


def _from_file(path: Path, complaints: list[str]) -> dict[str, _Setting]:
    try:
        with open(path, "rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"cannot read the configuration {path}: {error.strerror}") from error
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if len(data) <= MAX_BYTES:
            raise ConfigError(f"{path} is not UTF-8 text (byte {error.start}); save it as UTF-8") from error
        text = "#" * len(data)  # too large, whatever it holds: `parse` says so
    document = parse(text, name=str(path))
    complaints += [f"{path}, line {line}: {message}" for line, message in document.problems]
    if document.value is None:
        return {}
    if not isinstance(document.value, dict):
        raise ConfigError(f"{path} holds no `key: value` lines; see docs/configuration.md")
    leaves = _leaves(document.value, Config, ())
    return {".".join(keys): _Setting(value, f"{path}, line {document.lines.get(keys, 1)}") for keys, value in leaves}


def _from_words(words: list[str], complaints: list[str]) -> dict[str, _Setting]:
    given: dict[str, _Setting] = {}
    for word in words:
        key, equals, text = word.partition("=")
        if not equals or not key.strip():
            complaints.append(f"--set {word}: write it as key=value, for instance training.steps=800")
            continue
        document = parse(text, name=f"--set {word}")
        complaints += [f"--set {word}: {message}" for _, message in document.problems]
        if isinstance(document.value, dict):
            complaints.append(f"--set {word}: set one key at a time, as in training.steps=800")
            continue
        given[key.strip()] = _Setting(document.value, f"--set {word}")
    return given


def _leaves(
    value: dict[str, Value], section: type[BaseModel], path: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], Value]]:
    """Keys that are no sections, with their values; an empty section gives nothing."""
    for key, inner in value.items():
        inner_section = _section(section.model_fields.get(key))
        if inner_section is not None and isinstance(inner, dict):
            yield from _leaves(inner, inner_section, (*path, key))
        elif inner_section is None or inner is not None:
            yield (*path, key), inner


def _checked(settings: dict[str, _Setting], complaints: list[str]) -> Config | None:
    """Validate the settings one by one, so that each complaint has its place; then all together."""
    nested: dict[str, Value] = {}
    before = len(complaints)
    for key, setting in settings.items():
        *sections, name = key.split(".")
        model = _model_of(sections)
        if model is None or name not in model.model_fields:
            complaints.append(f"{setting.where}: unknown key {key!r}{_suggestion(key)}")
            continue
        field = model.model_fields[name]
        if not _fits(model, name, setting.value):
            shown = json.dumps(setting.value, ensure_ascii=False)
            shown = shown if len(shown) <= 60 else shown[:57] + "..."
            complaints.append(f"{setting.where}: {key} is {shown}, but must be {describe(field)}")
            continue
        place = nested
        for section in sections:
            inner = place.setdefault(section, {})
            assert isinstance(inner, dict)
            place = inner
        place[name] = setting.value
    return Config.model_validate_json(json.dumps(nested), strict=True) if len(complaints) == before else None


def _fits(model: type[BaseModel], name: str, value: Value) -> bool:
    """Whether the value is right for one field, the others at their defaults. Text is never taken for a number."""
    try:
        model.model_validate_json(json.dumps({name: value}), strict=True)
    except ValidationError:
        return False
    return True


def _model_of(sections: list[str]) -> type[BaseModel] | None:
    model: type[BaseModel] | None = Config
    for section in sections:
        model = _section(model.model_fields.get(section)) if model else None
    return model


def _section(field: FieldInfo | None) -> type[BaseModel] | None:
    kind = field.annotation if field else None
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def _all_keys(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Every dotted key, sections included."""
    for name, field in model.model_fields.items():
        yield prefix + name
        if section := _section(field):
            yield from _all_keys(section, f"{prefix}{name}.")


def _suggestion(key: str) -> str:
    """Words that help with an unknown key: the nearest known one, or one of the same name in another section."""
    known = list(_all_keys(Config))
    last = key.rsplit(".", 1)[-1]
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.75)
    near = near or [other for other in known if other.rsplit(".", 1)[-1] == last]
    if not near:
        names = {other.rsplit(".", 1)[-1]: other for other in reversed(known)}
        near = [names[name] for name in difflib.get_close_matches(last, names, n=1, cutoff=0.75)]
    if near:
        return f"; did you mean {' or '.join(repr(name) for name in near[:3])}?"
    return "; docs/configuration.md lists all keys"


def describe(field: FieldInfo) -> str:
    """What a field takes, in words, with its range.

    >>> describe(Config.model_fields["seed"])
    'a whole number of at least 0'
    """
    section = _section(field)
    if section is not None:
        return "a section of keys: " + ", ".join(section.model_fields)
    return _kind(field.annotation) + _range(field)


def _kind(annotation: object) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return "one of " + ", ".join(str(argument) for argument in arguments)
    if origin in (Union, types.UnionType):
        return " or ".join(_kind(argument) for argument in arguments)
    if origin in (list, tuple):
        return "a list, each " + _kind(arguments[0])
    text = "text (in quotes if it looks like a number)"
    names: dict[object, str] = {bool: "true or false", int: "a whole number", float: "a number", str: text}
    return names.get(annotation, "null")


def _range(field: FieldInfo) -> str:
    limits = []
    for constraint in field.metadata:
        match constraint:
            case Ge(ge=limit):
                limits.append(f"at least {limit}")
            case Gt(gt=limit):
                limits.append(f"more than {limit}")
            case Le(le=limit):
                limits.append(f"at most {limit}")
            case Lt(lt=limit):
                limits.append(f"less than {limit}")
    return f" of {' and '.join(limits)}" if limits else ""


def _contradictions(config: Config) -> Iterator[str]:
    """Values that are each possible but not together."""
    augment = config.augment
    for low, high in (("snr_db_min", "snr_db_max"), ("gain_db_min", "gain_db_max")):
        lowest, highest = augment.model_dump()[low], augment.model_dump()[high]
        if lowest > highest:
            yield f"augment.{low} ({lowest:g}) is above augment.{high} ({highest:g}); exchange them"
    if config.training.steps_per_epoch > config.training.steps:
        steps, epoch = config.training.steps, config.training.steps_per_epoch
        yield f"training.steps_per_epoch ({epoch}) is more than training.steps ({steps}): no epoch would be finished"
    student = config.student
    if student.architecture != "ds_tcn" and student.trunk != "none":
        yield (
            f"student.architecture {student.architecture} starts from random weights only, but student.trunk is "
            f"{student.trunk!r}; set student.trunk: none"
        )
    spoken = config.corpus
    clips = spoken.espeak_positives + spoken.kokoro_positives + spoken.piper_positives + spoken.flite_positives
    if clips == 0 and config.positives is None:
        yield "all corpus.*_positives are 0 and there is no folder of positives: nothing would say the phrase"


def _plain(value: object) -> Value:
    return json.loads(json.dumps(value))


def _joined(complaints: list[str]) -> str:
    if len(complaints) == 1:
        return complaints[0]
    shown = complaints[:_MAX_COMPLAINTS]
    more = [f"... and {len(complaints) - len(shown)} more"] if len(complaints) > len(shown) else []
    return "\n  ".join([f"{len(complaints)} things in the configuration are wrong:", *shown, *more])
