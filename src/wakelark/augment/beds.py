"""Beds: the sound under the speech. Music and babble come from recordings, coloured noise is generated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from wakelark.audio import Float32Array, Int16Array, to_float
from wakelark.augment.signal import active_rms, db_to_gain, octaves_from_1_khz

BED_SHARES = {"music": 0.35, "babble": 0.4, "coloured": 0.25}
"""How often each kind is drawn when the recordings for it are there."""
MAX_TALKERS = 6


@dataclass(frozen=True, slots=True)
class BedParams:
    """One bed, as plain numbers.

    Attributes:
        kind: "music", "babble" or "coloured".
        picks: (recording, position from 0 to 1) per voice of a babble, one pair for music, none for coloured noise.
        levels_db: relative level per pick.
        slope_db_per_octave: colour of generated noise: 0 white, -3 pink, -6 brown.
        seed: of generated noise.
    """

    kind: str
    picks: tuple[tuple[int, float], ...] = ()
    levels_db: tuple[float, ...] = ()
    slope_db_per_octave: float = 0.0
    seed: int = 0


class BedLibrary:
    """Where beds come from: long int16 recordings (memory-mapped ones are fine), each of kind "music" or "speech".

    Args:
        recordings: pairs of audio `[N]` and kind. Recordings shorter than the bed asked for are repeated. May be empty:
            then every bed is coloured noise.
    """

    def __init__(self, recordings: Sequence[tuple[Int16Array, str]]) -> None:
        self._audio = [audio for audio, _ in recordings if audio.size]
        kinds = [kind for audio, kind in recordings if audio.size]
        self._music = [index for index, kind in enumerate(kinds) if kind == "music"]
        self._speech = [index for index, kind in enumerate(kinds) if kind == "speech"]

    def draw(self, rng: np.random.Generator) -> BedParams:
        """Draw a bed; long recordings are as likely as they are long."""
        available = {"music": self._music, "babble": self._speech, "coloured": [-1]}
        kinds = [kind for kind in BED_SHARES if available[kind]]
        shares = np.array([BED_SHARES[kind] for kind in kinds])
        kind = kinds[int(rng.choice(len(kinds), p=shares / shares.sum()))]
        if kind == "coloured":
            return BedParams(kind, slope_db_per_octave=float(rng.uniform(-7, 1)), seed=int(rng.integers(2**32)))
        voices = int(rng.integers(1, MAX_TALKERS + 1)) if kind == "babble" else 1
        lengths = np.array([self._audio[index].size for index in available[kind]], np.float64)
        chosen = rng.choice(available[kind], size=voices, p=lengths / lengths.sum())
        return BedParams(
            kind,
            picks=tuple((int(index), float(rng.random())) for index in chosen),
            levels_db=tuple(float(level) for level in rng.uniform(-8, 0, voices)),
        )

    def audio(self, params: BedParams, samples: int) -> Float32Array:
        """The sound of a bed, at no particular level.

        Shape: `-> [samples]`
        """
        if params.kind == "coloured":
            return coloured_noise(params.slope_db_per_octave, samples, seed=params.seed)
        bed = np.zeros(samples, np.float32)
        for (index, position), level_db in zip(params.picks, params.levels_db, strict=True):
            part = to_float(_cut(self._audio[index], position, samples))
            level = active_rms(part)
            if level > 0:
                bed += part * np.float32(db_to_gain(level_db) / level)
        return bed


def coloured_noise(slope_db_per_octave: float, samples: int, *, seed: int) -> Float32Array:
    """Gaussian noise whose power falls by `slope_db_per_octave` from 60 Hz upwards, with a level of 1 (RMS).

    Shape: `-> [samples]`
    """
    rng = np.random.default_rng(seed)
    fft_samples = samples + samples % 2
    white = rng.standard_normal(fft_samples + 2, dtype=np.float32).view(np.complex64)
    octaves = np.maximum(octaves_from_1_khz(fft_samples), np.float32(-4.0))
    shaped = np.fft.irfft(white * np.exp2(octaves * np.float32(slope_db_per_octave / 6.0206)), fft_samples)
    noise = shaped[:samples].astype(np.float32, copy=False)
    return noise / np.float32(np.sqrt(np.mean(np.square(noise))))


def _cut(audio: Int16Array, position: float, samples: int) -> Int16Array:
    if audio.size < samples:
        return np.resize(np.roll(audio, -int(position * audio.size)), samples)
    start = int(position * (audio.size - samples + 1))
    return np.asarray(audio[start : start + samples])
