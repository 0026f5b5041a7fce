"""What a model file says about itself. Standard library only, so that every part can read it.

The card is JSON under the metadata key `wakelark` of the ONNX file, and lies beside it as `model.onnx.json`.
"""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import dataclass
from typing import Any, NoReturn

from wakelark.errors import ModelError

CARD_KEY = "wakelark"
FORMAT_VERSION = 1
"""Raised when an old reader would misread a new card; a reader ignores keys that it does not know."""
KINDS = ("accurate", "tiny")
MAX_STEP_SAMPLES = 16_000
MAX_WARM_UP_SAMPLES = 60 * 16_000


@dataclass(frozen=True, slots=True, kw_only=True)
class CardSource:
    """Where training audio came from: an engine's or recordings' package, or a user's folder."""

    source: str
    licence: str
    clips: int
    hours: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CardPretrained:
    """Weights that came ready-made, and under which terms."""

    name: str
    licence: str
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CardOperatingPoint:
    """The threshold for a budget of false alarms, and the share of positives it misses."""

    fa_per_hour_budget: float
    threshold: float
    miss_rate: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCard:
    """Everything that running, judging and passing on a model needs.

    Attributes:
        format_version: of this card and of the file's contract (docs/model_file.md).
        wakelark_version: what wrote it.
        phrase, language: what it listens for.
        kind: "accurate" (heads on the pretrained speech embedding) or "tiny" (the distilled student).
        sample_rate: always 16000.
        step_samples: new audio per score; a call takes a multiple of it.
        state_size: length of the flat state.
        warm_up_samples: digital silence that a stream starts with, a multiple of `step_samples`.
        threshold: fire at this smoothed score, above 0 and at most 1.
        smoothing_steps: over how many scores the mean is taken.
        refractory_s: seconds the score must stay below the threshold before it can fire again.
        fa_per_hour: false alarms per hour for which the threshold was chosen.
        front_end: name of the front end inside the graph.
        parameters: numbers that training or pretraining set.
        created: ISO date.
        operating_points: further thresholds.
        provenance: what the training audio was and its licences.
        pretrained: ready-made weights inside the file.
        measured: figures of the report, free in form.
        versions: of the packages that made it.
    """

    format_version: int = FORMAT_VERSION
    wakelark_version: str
    phrase: str
    language: str
    kind: str
    sample_rate: int = 16_000
    step_samples: int
    state_size: int
    warm_up_samples: int
    threshold: float
    smoothing_steps: int
    refractory_s: float
    fa_per_hour: float
    front_end: str
    parameters: int
    created: str
    operating_points: tuple[CardOperatingPoint, ...] = ()
    provenance: tuple[CardSource, ...] = ()
    pretrained: tuple[CardPretrained, ...] = ()
    measured: dict[str, Any] = dataclasses.field(default_factory=dict)
    versions: dict[str, str] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check every value.

        Raises:
            ModelError: a value cannot be, named with what it must be.
        """
        if self.format_version != FORMAT_VERSION:
            newer = self.format_version > FORMAT_VERSION
            remedy = "update wakelark to use it" if newer else "export the model again"
            _refuse("format_version", self.format_version, f"{FORMAT_VERSION} for this version of wakelark; {remedy}")
        if self.kind not in KINDS:
            _refuse("kind", self.kind, f"one of {', '.join(KINDS)}")
        if self.sample_rate != 16_000:
            _refuse("sample_rate", self.sample_rate, "16000")
        if not self.phrase.strip():
            _refuse("phrase", self.phrase, "what the model listens for")
        _within("step_samples", self.step_samples, 1, MAX_STEP_SAMPLES)
        _within("state_size", self.state_size, 1, 2**24 - 1)
        _within("warm_up_samples", self.warm_up_samples, 0, MAX_WARM_UP_SAMPLES)
        if self.warm_up_samples % self.step_samples:
            _refuse("warm_up_samples", self.warm_up_samples, f"a multiple of step_samples ({self.step_samples})")
        if not 0 < self.threshold <= 1:
            _refuse("threshold", self.threshold, "above 0 and at most 1")
        _within("smoothing_steps", self.smoothing_steps, 1, 10_000)
        _within("refractory_s", self.refractory_s, 0, 3600)
        if not self.fa_per_hour > 0:
            _refuse("fa_per_hour", self.fa_per_hour, "above 0")
        _within("parameters", self.parameters, 1, 2**40)

    def to_json(self) -> str:
        """The card as indented JSON; equal cards give equal text."""
        return json.dumps(dataclasses.asdict(self), indent=2, ensure_ascii=False, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> ModelCard:
        """Read a card and check it.

        Raises:
            ModelError: no JSON, a field is missing or of the wrong type, or a value cannot be.
        """
        try:
            data = json.loads(text, parse_constant=_refuse_constant)
        except (ValueError, RecursionError) as error:
            raise ModelError(f"the model's card is not valid JSON ({error}); export the model again") from error
        return _read(cls, data, "")


def _refuse(field: str, value: object, must_be: str) -> NoReturn:
    raise ModelError(f"the model's card: {field} is {value!r}, but must be {must_be}")


def _within(field: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        _refuse(field, value, f"between {low} and {high}")


def _refuse_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number")


# Annotations as they stand in the source, because `from __future__ import annotations` keeps them as text.
_SCALARS: dict[str, type] = {"int": int, "float": float, "str": str}
_RECORDS: dict[str, type] = {
    "tuple[CardOperatingPoint, ...]": CardOperatingPoint,
    "tuple[CardSource, ...]": CardSource,
    "tuple[CardPretrained, ...]": CardPretrained,
}


def _read(cls: type, data: object, where: str) -> Any:
    """A record of `cls` from parsed JSON; `where` is its path within the card, "" for the card itself."""
    if not isinstance(data, dict):
        _refuse(where or "its content", data, "an object")
    values: dict[str, Any] = {}
    for field in dataclasses.fields(cls):
        path = f"{where}.{field.name}" if where else field.name
        if field.name not in data:
            raise ModelError(
                f"the model's card: the field {path} is missing; was this file written by wakelark? Export it again"
            )
        values[field.name] = _value(str(field.type), data[field.name], path)
    return cls(**values)


def _value(annotation: str, value: object, path: str) -> Any:
    if annotation in _RECORDS:
        if not isinstance(value, list):
            _refuse(path, value, "a list")
        return tuple(_read(_RECORDS[annotation], item, f"{path}[{index}]") for index, item in enumerate(value))
    if annotation not in _SCALARS:
        return _mapping(annotation, value, path)
    if annotation == "float" and isinstance(value, int) and not isinstance(value, bool):
        value = float(value) if abs(value) < 2**53 else math.inf
    if not isinstance(value, _SCALARS[annotation]) or isinstance(value, bool):
        _refuse(path, value, {"int": "a whole number", "float": "a number", "str": "a text"}[annotation])
    if isinstance(value, float) and not math.isfinite(value):
        _refuse(path, value, "finite")
    return value


def _mapping(annotation: str, value: object, path: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        _refuse(path, value, "an object")
    if annotation == "dict[str, str]" and not all(isinstance(item, str) for item in value.values()):
        _refuse(path, value, "an object of texts")
    return value
