"""The chain: which augmentations a view gets, in the order in which sound meets them.

Room, then the noise in it, then microphone (colour and band), overdrive, codec, level, and the floor where it is quiet.
`speed` comes before all of them, because it changes the length (see `wakelark.training.views`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from wakelark.audio import SAMPLE_RATE, Float32Array
from wakelark.augment.band_limit import BandLimit, BandLimitParams
from wakelark.augment.beds import BedLibrary, BedParams
from wakelark.augment.clipping import Clipping, ClippingParams
from wakelark.augment.codec import Codec, CodecParams
from wakelark.augment.floor import Floor, FloorParams
from wakelark.augment.gain import Gain, GainParams
from wakelark.augment.noise import Noise, NoiseParams
from wakelark.augment.room import Room, RoomParams
from wakelark.augment.signal import fft_size, filtered
from wakelark.augment.tilt import RING_S, Tilt, TiltParams

if TYPE_CHECKING:
    from wakelark.config import AugmentConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainParams:
    """Everything drawn for one view; None where an augmentation is left out."""

    room: RoomParams | None
    bed: BedParams | None
    noise: NoiseParams | None
    tilt: TiltParams
    band_limit: BandLimitParams
    clipping: ClippingParams | None
    codec: CodecParams | None
    gain: GainParams
    floor: FloorParams


class Chain:
    """The augmentations of one configuration.

    Example:
        ```python
        chain = Chain(config.augment, beds=BedLibrary([]))
        view = chain.apply(audio, chain.draw(np.random.default_rng(0)))
        ```
    """

    def __init__(self, config: AugmentConfig, *, beds: BedLibrary) -> None:
        self._config = config
        self._beds = beds
        self._room = Room()
        self._noise = Noise(snr_db_min=config.snr_db_min, snr_db_max=config.snr_db_max)
        self._tilt = Tilt(max_slope_db_per_octave=config.tilt_db_per_octave)
        self._band_limit = BandLimit(
            low_pass_probability=config.low_pass_probability, high_pass_probability=config.high_pass_probability
        )
        self._clipping = Clipping()
        self._codec = Codec()
        self._gain = Gain(peak_dbfs_min=config.gain_db_min, peak_dbfs_max=config.gain_db_max)
        self._floor = Floor()

    def draw(self, rng: np.random.Generator) -> ChainParams:
        """Draw what one view gets."""
        config = self._config
        room, noise, clipping, codec = rng.random(4) < (
            config.room_probability,
            config.noise_probability,
            config.clip_probability,
            config.codec_probability,
        )
        return ChainParams(
            room=self._room.draw(rng) if room else None,
            bed=self._beds.draw(rng) if noise else None,
            noise=self._noise.draw(rng) if noise else None,
            tilt=self._tilt.draw(rng),
            band_limit=self._band_limit.draw(rng),
            clipping=self._clipping.draw(rng) if clipping else None,
            codec=self._codec.draw(rng) if codec else None,
            gain=self._gain.draw(rng),
            floor=self._floor.draw(rng),
        )

    def apply(self, audio: Float32Array, params: ChainParams, *, speech: slice | None = None) -> Float32Array:
        """Apply what was drawn.

        Args:
            audio: float32 `[N]`.
            params: from `draw`.
            speech: the span that must stay audible and that the signal-to-noise ratio is about; None means all of it
                for the ratio and no lower limit for the level.

        Shape: `[N] -> [N]`
        """
        if params.room is not None:
            audio = self._room.apply(audio, params.room)
        if params.noise is not None and params.bed is not None:
            bed = self._beds.audio(params.bed, audio.size)
            audio = self._noise.apply(audio, params.noise, bed=bed, speech=speech or slice(None))
        # Two linear parts of zero phase: one pass through the frequency domain.
        fft_samples = fft_size(audio.size + int(RING_S * SAMPLE_RATE))
        response = self._tilt.response(fft_samples, params.tilt)
        if params.band_limit.low_pass_hz is not None or params.band_limit.high_pass_hz is not None:
            response *= self._band_limit.response(fft_samples, params.band_limit)
        audio = filtered(audio, response, fft_samples)
        if params.clipping is not None:
            audio = self._clipping.apply(audio, params.clipping)
        if params.codec is not None:
            audio = self._codec.apply(audio, params.codec)
        audio = self._gain.apply(audio, params.gain, speech=speech)
        if params.noise is None:
            audio = self._floor.apply(audio, params.floor)
        return audio
