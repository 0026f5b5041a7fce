"""Room: a synthetic impulse response of a direct path, early reflections and a decaying tail."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wakelark.audio import SAMPLE_RATE, Float32Array
from wakelark.augment.signal import fft_size, filtered

SPEED_OF_SOUND_M_S = 343.0
MAX_TAIL_S = 0.55
TAIL_START_S = 0.004


@dataclass(frozen=True, slots=True)
class RoomParams:
    """Reverberation time, distance to the microphone, volume of the room, and the seed of its reflections."""

    rt60_s: float
    distance_m: float
    volume_m3: float
    reflections: int
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """Rooms from a small furnished one to a bare hall, and microphones from near to far.

    The direct path stays at sample 0 with gain 1, so the end of a word does not move and its level stays comparable.
    The level of the reverberation follows from the critical distance; the farthest microphone is three of those away.
    """

    rt60_s_min: float = 0.12
    rt60_s_max: float = 0.7
    distance_m_min: float = 0.3
    distance_m_max: float = 4.0
    volume_m3_min: float = 20.0
    volume_m3_max: float = 150.0
    critical_distances_max: float = 3.0

    def draw(self, rng: np.random.Generator) -> RoomParams:
        rt60_s = float(rng.uniform(self.rt60_s_min, self.rt60_s_max))
        volume_m3 = float(np.exp(rng.uniform(np.log(self.volume_m3_min), np.log(self.volume_m3_max))))
        distance_m = float(np.exp(rng.uniform(np.log(self.distance_m_min), np.log(self.distance_m_max))))
        return RoomParams(
            rt60_s=rt60_s,
            # Further away the direct sound is buried, and small rooms have no such distances.
            distance_m=min(distance_m, self.critical_distances_max * critical_distance_m(volume_m3, rt60_s)),
            volume_m3=volume_m3,
            reflections=int(rng.integers(4, 13)),
            seed=int(rng.integers(2**32)),
        )

    def impulse_response(self, params: RoomParams) -> Float32Array:
        """The impulse response at 16 kHz.

        Shape: `-> [rt60_s * 16,000, at most 8,800]`
        """
        samples = max(1, int(min(params.rt60_s, MAX_TAIL_S) * SAMPLE_RATE))
        rng = np.random.default_rng(params.seed)
        # Energy of everything that is not the direct path, which has energy 1.
        reverberant = (params.distance_m / critical_distance_m(params.volume_m3, params.rt60_s)) ** 2
        tail = rng.standard_normal(samples, dtype=np.float32)
        # Air and soft furnishing swallow high frequencies first: half of the noise is smoothed and decays slower.
        smooth = np.empty_like(tail)
        smooth[0] = tail[0]
        smooth[1:] = 0.5 * (tail[1:] + tail[:-1])
        times_s = np.arange(samples, dtype=np.float32) / np.float32(SAMPLE_RATE)
        decay = np.exp(times_s * np.float32(-np.log(1000.0) / params.rt60_s))
        tail = (smooth * decay + (tail - smooth) * decay * decay).astype(np.float32, copy=False)
        tail[: int(TAIL_START_S * SAMPLE_RATE)] = 0.0
        # Walls: the first reflections come one by one, after up to the way across the room and back.
        crossing_s = params.volume_m3 ** (1 / 3) / SPEED_OF_SOUND_M_S
        delays_s = rng.uniform(0.1, 2.5, params.reflections) * crossing_s
        positions = np.minimum((delays_s * SAMPLE_RATE).astype(np.int64), samples - 1)
        strengths = (
            rng.uniform(0.3, 1.0, params.reflections) * decay[positions] * rng.choice([-1.0, 1.0], params.reflections)
        )
        early = np.zeros(samples, np.float32)
        np.add.at(early, positions, strengths.astype(np.float32))
        early_share = rng.uniform(0.2, 0.6)
        response = _scaled(early, early_share * reverberant) + _scaled(tail, (1 - early_share) * reverberant)
        response[0] = 1.0
        return response

    def response(self, fft_samples: int, params: RoomParams) -> NDArray[np.complex64]:
        """The room as a factor in the frequency domain.

        Shape: `-> [fft_samples // 2 + 1]`
        """
        return np.fft.rfft(self.impulse_response(params), fft_samples).astype(np.complex64, copy=False)

    def apply(self, audio: Float32Array, params: RoomParams) -> Float32Array:
        """Put the audio into the room; the tail that runs past the end is cut.

        Shape: `[N] -> [N]`
        """
        fft_samples = fft_size(audio.size + int(MAX_TAIL_S * SAMPLE_RATE))
        return filtered(audio, self.response(fft_samples, params), fft_samples)


def critical_distance_m(volume_m3: float, rt60_s: float) -> float:
    """Where the direct sound is as loud as the room's answer.

    >>> round(critical_distance_m(60.0, 0.6), 2)
    0.57
    """
    return 0.057 * (volume_m3 / rt60_s) ** 0.5


def _scaled(response: Float32Array, energy: float) -> Float32Array:
    present = float(np.dot(response, response))
    return response * np.float32(np.sqrt(energy / present)) if present > 0 else response
