"""Gain: how loud the microphone hears it all."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from wakelark.audio import Float32Array
from wakelark.augment.signal import active_rms, db_to_gain, gain_to_db, peak


@dataclass(frozen=True, slots=True)
class GainParams:
    """Level of the loudest sample, in dB below full scale."""

    peak_dbfs: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Gain:
    """The loudest sample is brought to a level between `peak_dbfs_min` and `peak_dbfs_max`.

    Args:
        speech_dbfs_min: the active level of the speech that may not be undercut: a phrase nobody could hear teaches a
            network to wake at nothing. Full scale is never exceeded for it.
        amplification_db_max: near-silence is not blown up by more than this.
    """

    peak_dbfs_min: float
    peak_dbfs_max: float
    speech_dbfs_min: float = -45.0
    amplification_db_max: float = 40.0

    def draw(self, rng: np.random.Generator) -> GainParams:
        return GainParams(peak_dbfs=float(rng.uniform(self.peak_dbfs_min, self.peak_dbfs_max)))

    def apply(self, audio: Float32Array, params: GainParams, *, speech: slice | None = None) -> Float32Array:
        """Scale the audio; `speech` is the span whose level is kept audible.

        Shape: `[N] -> [N]`
        """
        loudest = peak(audio)
        if loudest == 0:
            return audio
        gain_db = min(params.peak_dbfs - gain_to_db(loudest), self.amplification_db_max)
        if speech is not None and (level := active_rms(audio[speech])) > 0:
            gain_db = max(gain_db, min(self.speech_dbfs_min - gain_to_db(level), -gain_to_db(loudest)))
        return audio * np.float32(db_to_gain(gain_db))
