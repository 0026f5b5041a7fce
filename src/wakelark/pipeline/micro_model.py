"""What a run keeps of its student for ESPHome's devices, from which `wakelark export` writes the int8 file.

- `model_micro.safetensors`: the student, its scores not shifted (`wakelark.models.saved`);
- `model_micro.json`: its card, with the shift that makes 0.5 the normal threshold;
- `micro_calibration.npz`: features of training audio in a row, on which the ranges of an int8 model are found.
"""

from __future__ import annotations

import dataclasses
import io
import json
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from wakelark.audio import Float32Array
from wakelark.card_json import read_record, refuse, refuse_constant
from wakelark.corpus.cache import write_atomically
from wakelark.errors import ModelError
from wakelark.features.micro import BANDS
from wakelark.model_card import CardPreset, CardPretrained, CardSource, find_preset
from wakelark.models.saved import load_student, save_student
from wakelark.models.student import Student
from wakelark.models.trunk import MICRO
from wakelark.pipeline.run_folder import RunFolder

FORMAT_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class MicroCard:
    """What running the student on a device, and judging it, needs.

    Attributes:
        format_version: of this card.
        wakelark_version: what wrote it.
        phrase, language: what it listens for.
        step_samples: new audio per score: 480, that is 30 ms.
        logit_shift: to be added to the logits, so that 0.5 is the normal threshold of the file.
        float_logit_shift: the same for the student in float, which the file is compared with.
        smoothing_steps: over how many scores the mean is taken.
        refractory_s: how long the score must stay below the threshold before it may fire again.
        fa_per_hour: false alarms per hour for which the normal preset was chosen.
        presets: strict, normal (0.5) and sensitive, of the smoothed, shifted scores of the student in 8 bits.
        parameters: numbers that training set.
        created: ISO date.
        provenance: what the training audio was and its licences.
        pretrained: ready-made weights in it.
        measured: figures on development audio.
    """

    format_version: int = FORMAT_VERSION
    wakelark_version: str
    phrase: str
    language: str
    step_samples: int
    logit_shift: float
    float_logit_shift: float
    smoothing_steps: int
    refractory_s: float
    fa_per_hour: float
    presets: tuple[CardPreset, ...]
    parameters: int
    created: str
    provenance: tuple[CardSource, ...] = ()
    pretrained: tuple[CardPretrained, ...] = ()
    measured: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check what a device's file hangs on.

        Raises:
            ModelError: a value cannot be.
        """
        if self.format_version != FORMAT_VERSION:
            refuse("format_version", self.format_version, f"{FORMAT_VERSION} for this version of wakelark")
        if self.step_samples != MICRO.step_samples:
            refuse("step_samples", self.step_samples, str(MICRO.step_samples))
        if self.smoothing_steps < 1:
            refuse("smoothing_steps", self.smoothing_steps, "at least 1")

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
    def from_json(cls, text: str) -> MicroCard:
        """Read a card and check it.

        Raises:
            ModelError: no JSON, a field is missing or of the wrong type, or a value cannot be.
        """
        try:
            data = json.loads(text, parse_constant=refuse_constant)
        except (ValueError, RecursionError) as error:
            raise ModelError(f"the card of the model for devices is no valid JSON ({error}); train it again") from error
        return read_record(cls, data, "")


@dataclass(frozen=True, slots=True)
class MicroRun:
    """A run's student for devices.

    Attributes:
        student: on the `micro` front end, in evaluation mode, its scores not shifted.
        card: what it decides by.
        calibration: float32 `[N, 40]`: features (0 to 26) of the phrase and of other training audio, in a row.
    """

    student: Student
    card: MicroCard
    calibration: Float32Array


def save_micro(folder: RunFolder, made: MicroRun) -> None:
    """Write the three files of a run's student for devices.

    Raises:
        SetupError: the disk is full or may not be written.
    """
    save_student(made.student, folder.micro)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, features=made.calibration)
    write_atomically(folder.micro_calibration, buffer.getvalue())
    write_atomically(folder.micro_card, made.card.to_json().encode())


def load_micro(run_folder: Path) -> MicroRun:
    """The student for devices of a finished run.

    Raises:
        ModelError: the run has none, or a file is damaged.
    """
    folder = RunFolder(run_folder)
    missing = [file.name for file in folder.micro_files if not file.is_file()]
    if missing:
        raise ModelError(
            f"{run_folder} has no model for ESPHome ({', '.join(missing)} not there); train it with: "
            f"{folder.resume_command} --for esphome"
        )
    student = load_student(folder.micro)
    if not isinstance(student, Student) or student.front_end != MICRO:
        raise ModelError(f"{folder.micro} holds no student for devices; train the run again with --for esphome")
    try:
        card = MicroCard.from_json(folder.micro_card.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise ModelError(f"{folder.micro_card} is not UTF-8 text; train the run again with --for esphome") from error
    return MicroRun(student, card, _calibration(folder.micro_calibration))


def _calibration(file: Path) -> Float32Array:
    try:
        with np.load(io.BytesIO(file.read_bytes())) as arrays:  # numpy leaves a damaged file open
            features = arrays["features"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise ModelError(f"{file} is damaged ({error}); train the run again with --for esphome") from error
    if features.dtype != np.float32 or features.ndim != 2 or features.shape[1] != BANDS:
        raise ModelError(f"{file} holds {features.dtype} {list(features.shape)}, but must hold float32 [N, {BANDS}]")
    return features
