"""Noise: a bed of other sound under the speech, at a signal-to-noise ratio over what is heard."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from wakelark.audio import Float32Array
from wakelark.augment.signal import active_rms, db_to_gain


@dataclass(frozen=True, slots=True)
class NoiseParams:
    """Signal-to-noise ratio in dB."""

    snr_db: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Noise:
    """A bed at a ratio between `snr_db_min` and `snr_db_max`. The bed itself comes from a `BedLibrary`."""

    snr_db_min: float
    snr_db_max: float

    def draw(self, rng: np.random.Generator) -> NoiseParams:
        return NoiseParams(snr_db=float(rng.uniform(self.snr_db_min, self.snr_db_max)))

    def apply(
        self, audio: Float32Array, params: NoiseParams, *, bed: Float32Array, speech: slice = slice(None)
    ) -> Float32Array:
        """Add `bed` so that the active level of `audio[speech]` lies `snr_db` above the active level of the bed.

        Silent audio or a silent bed leaves the audio as it is: there is no ratio to set.

        Shape: `[N], [N] -> [N]`
        """
        signal_level, bed_level = active_rms(audio[speech]), active_rms(bed)
        if signal_level == 0 or bed_level == 0:
            return audio
        gain = np.float32(signal_level / bed_level / db_to_gain(params.snr_db))
        return audio + (bed * gain).astype(np.float32, copy=False)
