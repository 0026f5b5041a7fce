"""One small interface for all synthesis engines: voices in, trimmed 16 kHz speech out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import soxr

from wakelark.audio import SAMPLE_RATE, Float32Array
from wakelark.errors import DataError

PEAK = 0.7079  # -3 dB: room for the augmentation before anything clips
_EDGE_S = 0.02  # silence left on both sides of the speech
_FRAME_S = 0.005
_SILENCE_DB = -42.0  # below the loudest frame
_SHORTEST_S = 0.08  # less than this is a click, not a word


@dataclass(frozen=True, slots=True, kw_only=True)
class Voice:
    """A voice of an engine.

    Attributes:
        name: engine-qualified, e.g. "kokoro/af_bella", "piper/joe@1.18", "espeak/en-us+klatt2".
        engine: the engine's name.
        bases: the engine's own voices this one is made of; voices that share one belong in one split.
        accent: the espeak voice whose phonemes it speaks, e.g. "gmw/en-US".
        sex: "female", "male" or "" when unknown.
        share: for a mix of two bases, the share of the second.
        shift: pitch and formants are multiplied by this (1.0 leaves the voice as it is).
        weight: how much this voice is used, relative to the engine's others.
    """

    name: str
    engine: str
    bases: tuple[str, ...]
    accent: str
    sex: Literal["female", "male", ""] = ""
    share: float = 0.0
    shift: float = 1.0
    weight: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Utterance:
    """What to say and how.

    Attributes:
        text: plain text, or with espeak phonemes in [[...]].
        speed: 1.0 is the voice's own pace, 1.2 a fifth faster.
        pitch: in semitones, where the engine has such a control (espeak), else unused.
        liveliness: 0 to 1, how much the engine varies intonation and timing; 0.5 is its own default.
        seed: another number gives another rendering where the engine is random.
    """

    text: str
    speed: float = 1.0
    pitch: float = 0.0
    liveliness: float = 0.5
    seed: int = 0


class Engine(ABC):
    """A synthesis engine. Made once per process; not for use from several threads."""

    name: ClassVar[str]
    licence: ClassVar[str]
    """Of the speech it makes, as the voices' packages state it."""
    natural: ClassVar[bool]
    """True when the voices were learned from people."""
    takes_phonemes: ClassVar[bool] = True
    """Whether text with espeak phonemes in [[...]] can be spoken."""
    remedy: ClassVar[str]
    """What to install when it is missing."""

    def __init__(self, *, voices_dir: str | None) -> None:
        self.voices_dir = voices_dir

    @classmethod
    @abstractmethod
    def why_missing(cls) -> str | None:
        """Why the engine cannot be used on this machine, with the remedy; None when it can."""

    @property
    @abstractmethod
    def source(self) -> str:
        """Package and version of program and model; a part of the cache's key."""

    def identity(self, voice: Voice) -> str:
        """What tells the voice's file from another of the same name; a part of the cache's key."""
        return ""

    def licence_of(self, voice: Voice) -> str:
        """The licence of one voice's speech; the engine's unless the voice has its own."""
        return self.licence

    @abstractmethod
    def voices(self, language: str) -> list[Voice]:
        """The voices that speak `language` (an espeak language), best first; empty when there is none."""

    @abstractmethod
    def render(self, utterance: Utterance, voice: Voice) -> tuple[Float32Array, int]:
        """The engine's own audio `[n]` and its sample rate, not yet trimmed; `voice.shift` is not applied here.

        An engine reads the pace from `pace(utterance, voice)`, which already makes up for the shift.
        """

    def speak(self, utterance: Utterance, voice: Voice) -> Float32Array:
        """Speech at 16 kHz, silence around it trimmed to 20 ms, peak at -3 dB.

        Shape: `-> [n]`

        Raises:
            DataError: the engine made no sound, or hardly any.
        """
        audio, rate = self.render(utterance, voice)
        if audio.size:
            # Playing it `shift` times faster raises pitch and formants together: another, smaller or larger, speaker.
            audio = soxr.resample(audio.astype(np.float32), rate * voice.shift, SAMPLE_RATE).astype(np.float32)
        audio = trim(audio)
        if audio.size < _SHORTEST_S * SAMPLE_RATE or not np.isfinite(audio).all():
            raise DataError(f"{voice.name} made no sound of {utterance.text!r}")
        return audio * np.float32(PEAK / np.abs(audio).max())


def pace(utterance: Utterance, voice: Voice) -> float:
    """The speed to ask an engine for, so that after the shift the speech has the utterance's speed."""
    return utterance.speed / voice.shift


def trim(audio: Float32Array) -> Float32Array:
    """Cut silence before and after the speech, leaving 20 ms.

    Shape: `[n] -> [m]`, m <= n; empty when there is no sound at all.

    >>> quiet, loud = np.zeros(8000, np.float32), np.full(1600, 0.5, np.float32)
    >>> trim(np.concatenate([quiet, loud, quiet])).size == 1600 + 2 * 320
    True
    """
    frame = int(_FRAME_S * SAMPLE_RATE)
    count = audio.size // frame
    if count == 0:
        return audio[:0]
    power = np.mean(audio[: count * frame].reshape(count, frame).astype(np.float64) ** 2, axis=1)
    if power.max() <= 1e-10:
        return audio[:0]
    spoken = np.flatnonzero(power > power.max() * 10 ** (_SILENCE_DB / 10))
    edge = int(_EDGE_S * SAMPLE_RATE)
    return audio[max(0, spoken[0] * frame - edge) : min(audio.size, (spoken[-1] + 1) * frame + edge)]
