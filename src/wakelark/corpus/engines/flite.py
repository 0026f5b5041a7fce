"""flite: four small voices of the Debian package `flite`, when the program is installed."""

from __future__ import annotations

import io
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

import numpy as np
import soundfile
from typing_extensions import override

from wakelark.audio import Float32Array
from wakelark.corpus.engines.base import Engine, Utterance, Voice, pace
from wakelark.errors import DataError
from wakelark.phrase.espeakng import espeak

_SEX = {"awb": "male", "rms": "male", "slt": "female", "kal": "male", "kal16": "male"}
_SPEAKER = {"kal16": "kal"}  # the same person at another sample rate
_SHIFTS = (1.0, 0.92, 1.09)
_TIMEOUT_S = 30


class FliteEngine(Engine):
    """The `flite` program, English only."""

    name = "flite"
    licence = "BSD-like (CMU flite voices)"
    natural = True
    takes_phonemes = False
    remedy = "sudo apt install flite"

    @classmethod
    @override
    def why_missing(cls) -> str | None:
        if shutil.which("flite") is None:
            return f"the program flite is not installed; {cls.remedy}"
        return None

    @property
    @override
    def source(self) -> str:
        return _version()

    @override
    def voices(self, language: str) -> list[Voice]:
        if not espeak().identifier(language).startswith("gmw/en"):
            return []
        listed = _run(["flite", "-lv"]).decode(errors="replace").partition(":")[2].split()
        return [
            Voice(
                name=f"flite/{name}" + ("" if shift == 1.0 else f"@{shift:g}"),
                engine=self.name,
                bases=(name,) if name not in _SPEAKER else (name, _SPEAKER[name]),
                accent="gmw/en-US",
                sex="female" if _SEX[name] == "female" else "male",
                shift=shift,
                weight=2.0 if shift == 1.0 else 1.0,
            )
            for shift in _SHIFTS
            for name in _SEX
            if name in listed
        ]

    @override
    def render(self, utterance: Utterance, voice: Voice) -> tuple[Float32Array, int]:
        # Files, not arguments: a phrase that begins with "-" stays a phrase, and flite reads a one-word argument as
        # a file's name.
        with tempfile.TemporaryDirectory(prefix="wakelark-flite-") as folder:
            text, sound = Path(folder, "text.txt"), Path(folder, "speech.wav")
            text.write_text(utterance.text + "\n", encoding="utf-8")
            stretch = f"duration_stretch={1 / pace(utterance, voice):.3f}"
            _run(["flite", "-voice", voice.bases[0], "--setf", stretch, "-f", str(text), "-o", str(sound)])
            if not sound.is_file():
                raise DataError(f"{voice.name} made no sound of {utterance.text!r}")
            try:
                audio, rate = soundfile.read(io.BytesIO(sound.read_bytes()), dtype="float32", always_2d=True)
            except soundfile.LibsndfileError as error:
                raise DataError(f"{voice.name} wrote no sound for {utterance.text!r}") from error
        return np.asarray(audio[:, 0], np.float32), int(rate)


@cache
def _version() -> str:
    for line in _run(["flite", "--version"]).decode(errors="replace").splitlines():
        if "version:" in line:
            return line.partition("version:")[2].strip()
    return "flite"


def _run(command: list[str]) -> bytes:
    try:
        done = subprocess.run(command, capture_output=True, timeout=_TIMEOUT_S, check=False, stdin=subprocess.DEVNULL)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise DataError(f"flite did not answer ({error}); reinstall it with: {FliteEngine.remedy}") from error
    return done.stdout + done.stderr
