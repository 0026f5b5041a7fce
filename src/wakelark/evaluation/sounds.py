"""Short pieces of audio for the report, as data URIs that any browser plays."""

from __future__ import annotations

import base64
import io

import numpy as np
import soundfile

from wakelark.audio import SAMPLE_RATE, Float32Array

LONGEST_S = 5.0
TOTAL_BYTES = 6 * 2**20
"""All sounds of a report together; what comes later is left out."""


def data_uri(audio: Float32Array) -> str:
    """At most `LONGEST_S` of audio as MP3 (a tenth of a WAV, played everywhere) in a data URI; faint audio is raised.

    Shape: `[N]`
    """
    cut = audio[: round(LONGEST_S * SAMPLE_RATE)]
    peak = float(np.abs(cut).max()) if len(cut) else 0.0
    if 0 < peak < 0.3:
        cut = cut * np.float32(0.3 / peak)
    buffer = io.BytesIO()
    soundfile.write(buffer, cut, SAMPLE_RATE, format="MP3")
    return "data:audio/mpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def around(audio: Float32Array, time_s: float, *, before_s: float = 2.5, after_s: float = 0.7) -> Float32Array:
    """The part of `audio` that made a detector fire at `time_s`.

    Shape: `[N] -> [<= (before_s + after_s) * 16000]`
    """
    first = max(0, round((time_s - before_s) * SAMPLE_RATE))
    return audio[first : round((time_s + after_s) * SAMPLE_RATE)]


def within_limit(sounds: dict[str, str]) -> dict[str, str]:
    """The first sounds that together stay below `TOTAL_BYTES`."""
    kept: dict[str, str] = {}
    total = 0
    for name, uri in sounds.items():
        total += len(uri)
        if total > TOTAL_BYTES:
            break
        kept[name] = uri
    return kept
