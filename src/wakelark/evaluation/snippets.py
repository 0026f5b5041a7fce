"""Short pieces of audio for the report: something to play, to look at, and what a model made of it."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass

import numpy as np
import soundfile

from wakelark.audio import HOP_SAMPLES, SAMPLE_RATE, Float32Array
from wakelark.evaluation.events import Float64Array
from wakelark.evaluation.png import indexed_png
from wakelark.features.logmel import LOG_SCALE, logmel

LONGEST_S = 5.0
_COMPRESSION = 0.8
"""Of the MP3: about 3 KB per second at 16 kHz, on which speech still sounds like itself."""
_FAINTEST_PEAK = 0.3
_FRAMES_PER_COLUMN = 2
_RANGE_DB = 42.0
_SHADES = 16


@dataclass(frozen=True, slots=True)
class Trace:
    """Smoothed scores along a piece of audio.

    Attributes:
        first_s: end of the first score's step, from the start of the piece.
        step_s: time between two scores.
        scores: one per step.
    """

    first_s: float
    step_s: float
    scores: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Snippet:
    """What a row of the report plays and shows.

    Attributes:
        sound: MP3 as a data URI.
        picture: spectrogram, PNG as a data URI.
        seconds: how long it is.
        trace: what the model made of it; None where that is not known.
        counts_s: from when to when reaching the threshold counts as hearing the phrase; None for recordings without it.
    """

    sound: str
    picture: str
    seconds: float
    trace: Trace | None
    counts_s: tuple[float, float] | None

    @property
    def size(self) -> int:
        """About how many bytes it adds to a page."""
        scores = 0 if self.trace is None else len(self.trace.scores)
        return len(self.sound) + len(self.picture) + 12 * scores + 2000


def make_snippet(audio: Float32Array, trace: Trace | None, *, counts_s: tuple[float, float] | None = None) -> Snippet:
    """A piece of audio, at most `LONGEST_S` of it, as sound and picture.

    Shape: `[N]`
    """
    cut = audio[: round(LONGEST_S * SAMPLE_RATE)]
    return Snippet(
        sound=sound_uri(cut), picture=picture_uri(cut), seconds=len(cut) / SAMPLE_RATE, trace=trace, counts_s=counts_s
    )  # fmt: skip


def trace_from(scores: Float64Array, *, step_s: float, from_s: float) -> Trace:
    """The scores of the steps that end after `from_s`, with times from there. Shape: `[T]`

    >>> trace_from(np.array([0.1, 0.2, 0.3]), step_s=0.5, from_s=0.75)
    Trace(first_s=0.25, step_s=0.5, scores=(0.2, 0.3))
    """
    first = int(np.floor(from_s / step_s + 1e-9))
    return Trace((first + 1) * step_s - from_s, step_s, tuple(scores[first:].tolist()))


def sound_uri(audio: Float32Array) -> str:
    """Audio as MP3 (a tenth of a WAV, played everywhere) in a data URI; faint audio is raised.

    Shape: `[N]`
    """
    peak = float(np.abs(audio).max()) if len(audio) else 0.0
    if 0 < peak < _FAINTEST_PEAK:
        audio = audio * np.float32(_FAINTEST_PEAK / peak)
    buffer = io.BytesIO()
    soundfile.write(buffer, audio, SAMPLE_RATE, format="MP3", compression_level=_COMPRESSION)
    return "data:audio/mpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def picture_uri(audio: Float32Array) -> str:
    """The log-mel spectrogram, low tones below, as a PNG in a data URI: one colour, the louder the more opaque.

    It is what the tiny model hears: 40 bands, here one column per 20 ms, with the 42 dB below the loudest.

    Shape: `[N]`
    """
    frames = logmel(np.pad(audio, (0, max(0, 2 * HOP_SAMPLES * _FRAMES_PER_COLUMN - len(audio)))).astype(np.float32))
    columns = len(frames) // _FRAMES_PER_COLUMN
    bands = frames[: columns * _FRAMES_PER_COLUMN].reshape(columns, _FRAMES_PER_COLUMN, -1).mean(axis=1)
    loudest = float(np.quantile(bands, 0.995))
    reach = _RANGE_DB * np.log(10) / 10 / LOG_SCALE
    share = np.clip((bands - loudest) / reach + 1, 0.0, 1.0)
    shades = np.round(share * (_SHADES - 1)).astype(np.uint8).T[::-1]
    return "data:image/png;base64," + base64.b64encode(indexed_png(shades, levels=_SHADES)).decode()
