"""What a model file says about itself. Standard library only, so that every part can read it.

The card is JSON under the metadata key `wakelark` of the ONNX file, and lies beside it as `model.onnx.json`.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from typing import Any

from wakelark.card_json import read_record, refuse, refuse_constant, within
from wakelark.errors import ConfigError, ModelError

CARD_KEY = "wakelark"
FORMAT_VERSION = 2
"""Raised when an old reader would misread a new card; a reader ignores keys that it does not know."""
KINDS = ("accurate", "tiny")
PRESETS = ("strict", "normal", "sensitive")
"""The named operating points, from the fewest false alarms to the fewest misses."""
SAMPLE_RATE = 16_000
MAX_STEP_SAMPLES = SAMPLE_RATE
MAX_WARM_UP_SAMPLES = 60 * SAMPLE_RATE
MAX_JUDGED_S = 10.0
MAX_LOG_ODDS = 10.0
"""A model's log-odds count in a verdict only up to this, so that rounding near 0 and 1 decides nothing."""


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
class CardPreset:
    """A named operating point, chosen on development audio.

    Attributes:
        name: one of `PRESETS`.
        threshold: fire at this smoothed score, above 0 and at most 1.
        fa_per_hour: false alarms per hour it was chosen for.
        miss_rate: share of the development clips that it misses.
        false_alarms: in the development recordings.
        supported: whether those recordings show, with 95 % confidence, that `fa_per_hour` is kept.
        hours_needed: how many hours would, with so many false alarms.
    """

    name: str
    threshold: float
    fa_per_hour: float
    miss_rate: float
    false_alarms: int
    supported: bool
    hours_needed: float

    def __post_init__(self) -> None:
        """Check every value.

        Raises:
            ModelError: a value cannot be.
        """
        if self.name not in PRESETS:
            refuse("a preset's name", self.name, f"one of {', '.join(PRESETS)}")
        _check_threshold(f"the threshold of the preset {self.name}", self.threshold)


@dataclass(frozen=True, slots=True, kw_only=True)
class CardJudged:
    """How this model works with a judge as a second stage, chosen on development audio.

    The judge is awake while this model's smoothed score reaches `wake_threshold` and for `patience_s` afterwards. While
    it is, the verdict comes from the weighted mean of two log-odds: of the peak of the judge's smoothed score over the
    last `lookback_s`, and of the peak of this model's over the last `patience_s`.

    Attributes:
        judge: digest of the judge's file that this was chosen with (`model_digest`).
        wake_threshold: smoothed score of this model that wakes the judge.
        wakes_per_hour: how often that happened in the development recordings.
        lookback_s, patience_s: see above.
        judge_weight: share of the judge in the mean.
        logit_shift: is added to the mean, so that 0.5 is the normal preset of the verdict, too.
        presets: thresholds of the verdict.
    """

    judge: str
    wake_threshold: float
    wakes_per_hour: float
    lookback_s: float
    patience_s: float
    judge_weight: float
    logit_shift: float
    presets: tuple[CardPreset, ...]

    def __post_init__(self) -> None:
        """Check every value.

        Raises:
            ModelError: a value cannot be.
        """
        _check_threshold("judged.wake_threshold", self.wake_threshold)
        within("judged.lookback_s", self.lookback_s, 0, MAX_JUDGED_S)
        within("judged.patience_s", self.patience_s, 0, MAX_JUDGED_S)
        within("judged.judge_weight", self.judge_weight, 0, 1)
        _check_presets("judged.presets", self.presets)

    def preset(self, name: str) -> CardPreset:
        """A preset by its name.

        Raises:
            ConfigError: there is none of this name.
        """
        return find_preset(self.presets, name)


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
        threshold: fire at this smoothed score, above 0 and at most 1; that of the normal preset.
        smoothing_steps: over how many scores the mean is taken.
        refractory_s: seconds the score must stay below the threshold before it can fire again.
        gate_db: the voice gate: a score counts only where speech-band sound lay this many dB above its background
            (docs/model_file.md); 0 switches the gate off.
        gate_hold_s: for how long after such sound the gate stays open.
        fa_per_hour: false alarms per hour for which the threshold was chosen.
        presets: strict, normal and sensitive; none in a file without development data.
        logit_shift: what was added to the network's log-odds, inside the graph, so that 0.5 is the normal preset.
        judged: how this model works with a judge; None for one that was not tried with any.
        front_end: name of the front end inside the graph.
        parameters: numbers that training or pretraining set.
        created: ISO date.
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
    sample_rate: int = SAMPLE_RATE
    step_samples: int
    state_size: int
    warm_up_samples: int
    threshold: float
    smoothing_steps: int
    refractory_s: float
    gate_db: float
    gate_hold_s: float
    fa_per_hour: float
    front_end: str
    parameters: int
    created: str
    presets: tuple[CardPreset, ...] = ()
    logit_shift: float = 0.0
    judged: CardJudged | None = None
    provenance: tuple[CardSource, ...] = ()
    pretrained: tuple[CardPretrained, ...] = ()
    measured: dict[str, Any] = dataclasses.field(default_factory=dict)
    versions: dict[str, str] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check every value.

        Raises:
            ModelError: a value cannot be, named with what it must be.
        """
        _check_version(self.format_version)
        if self.kind not in KINDS:
            refuse("kind", self.kind, f"one of {', '.join(KINDS)}")
        if self.sample_rate != SAMPLE_RATE:
            refuse("sample_rate", self.sample_rate, str(SAMPLE_RATE))
        if not self.phrase.strip():
            refuse("phrase", self.phrase, "what the model listens for")
        if any(character < " " or "\x7f" <= character < "\xa0" for character in self.phrase):  # terminals obey them
            refuse("phrase", self.phrase, "text without control characters")
        within("step_samples", self.step_samples, 1, MAX_STEP_SAMPLES)
        within("state_size", self.state_size, 1, 2**24 - 1)
        within("warm_up_samples", self.warm_up_samples, 0, MAX_WARM_UP_SAMPLES)
        if self.warm_up_samples % self.step_samples:
            refuse("warm_up_samples", self.warm_up_samples, f"a multiple of step_samples ({self.step_samples})")
        _check_threshold("threshold", self.threshold)
        within("smoothing_steps", self.smoothing_steps, 1, 10_000)
        within("refractory_s", self.refractory_s, 0, 3600)
        within("gate_db", self.gate_db, 0, 100)
        within("gate_hold_s", self.gate_hold_s, 0, 3600)
        if not self.fa_per_hour > 0:
            refuse("fa_per_hour", self.fa_per_hour, "above 0")
        if self.presets:
            _check_presets("presets", self.presets)
            if (normal := self.preset("normal").threshold) != self.threshold:
                refuse("threshold", self.threshold, f"that of the normal preset ({normal})")
        within("parameters", self.parameters, 1, 2**40)

    def preset(self, name: str) -> CardPreset:
        """A preset by its name.

        Raises:
            ConfigError: there is none of this name.
        """
        return find_preset(self.presets, name)

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
            data = json.loads(text, parse_constant=refuse_constant)
        except (ValueError, RecursionError) as error:
            raise ModelError(f"the model's card is not valid JSON ({error}); export the model again") from error
        if isinstance(data, dict) and isinstance(version := data.get("format_version"), int):
            _check_version(version)  # before fields are missed that an older card cannot have
        return read_record(cls, data, "")


def find_preset(presets: tuple[CardPreset, ...], name: str) -> CardPreset:
    """One of some presets by its name.

    Raises:
        ConfigError: there is none of this name.
    """
    for preset in presets:
        if preset.name == name:
            return preset
    if not presets:
        raise ConfigError(f"no preset {name!r}: this model's card has none; give a threshold instead")
    raise ConfigError(f"no preset {name!r}; there are {', '.join(preset.name for preset in presets)}")


def lookback_steps(lookback_s: float, *, step_s: float) -> int:
    """Steps of a judge whose peak is its verdict: at least the newest.

    >>> lookback_steps(0.4, step_s=0.08), lookback_steps(0.0, step_s=0.08)
    (5, 1)
    """
    return max(1, round(lookback_s / step_s))


def patience_steps(patience_s: float, *, step_s: float) -> int:
    """Steps of a model for which its judge stays awake after the last one that wakes it.

    >>> patience_steps(0.4, step_s=0.04)
    10
    """
    return round(patience_s / step_s)


def model_digest(data: bytes) -> str:
    """What a card calls another model's file by: the first 16 digits of its SHA-256."""
    return hashlib.sha256(data).hexdigest()[:16]


def _check_version(version: int) -> None:
    if version != FORMAT_VERSION:
        remedy = "update wakelark to use it" if version > FORMAT_VERSION else "export the model again"
        refuse("format_version", version, f"{FORMAT_VERSION} for this version of wakelark; {remedy}")


def _check_threshold(field: str, value: float) -> None:
    if not 0 < value <= 1:
        refuse(field, value, "above 0 and at most 1")


def _check_presets(field: str, presets: tuple[CardPreset, ...]) -> None:
    names = tuple(preset.name for preset in presets)
    if names != PRESETS:
        refuse(field, list(names), f"{', '.join(PRESETS)}, in this order")
    thresholds = [preset.threshold for preset in presets]
    if thresholds != sorted(thresholds, reverse=True):
        refuse(f"the thresholds of {field}", thresholds, "falling from strict to sensitive")
