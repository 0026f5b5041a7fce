"""From audio to scored streams: trials around positive clips, noise beds, hit windows, events of long recordings.

Nothing here knows a model: a `Scorer` is any function from 16 kHz audio to one score per step, starting afresh.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wakelark.audio import SAMPLE_RATE, Float32Array, Int16Array, to_float
from wakelark.errors import DataError
from wakelark.evaluation.events import Events, Float64Array, find_events, score_times, smooth

Scorer = Callable[[Float32Array], NDArray[np.floating]]
"""`scorer(audio)`: float32 in [-1, 1], `[N] -> [T]`, the scores of the whole steps in `audio` from a fresh state."""

LEAD_S = 3.0
TAIL_S = 1.5
SILENCE_DBFS = -70.0
HIT_BEFORE_S = 0.1
HIT_AFTER_S = 1.0
_FRAME = SAMPLE_RATE // 50


@dataclass(frozen=True, slots=True, eq=False)
class Trial:
    """One positive clip as it is played to the detector, and when a detection counts as a hit.

    Attributes:
        audio: `[N]` float32, the clip with near-silence (and perhaps noise) around and under it.
        hit_from_s, hit_until_s: a detection in this closed span is a hit.
        clip_from_s, clip_until_s: where the clip itself lies.
    """

    audio: Float32Array
    hit_from_s: float
    hit_until_s: float
    clip_from_s: float
    clip_until_s: float


def positive_trial(
    audio: Float32Array,
    *,
    rng: np.random.Generator,
    word_end_s: float | None = None,
    lead_s: float = LEAD_S,
    tail_s: float = TAIL_S,
) -> Trial:
    """Surround a clip with near-silence (noise at -70 dBFS), as a detector that has been listening would meet it.

    Args:
        audio: `[N]` float32.
        rng: draws the near-silence.
        word_end_s: where in the clip the phrase ends; then a hit lies within [end - 0.1 s, end + 1.0 s], else anywhere
            between the clip's start and 1.0 s after its end.
        lead_s, tail_s: how much comes before and after.
    """
    seconds = len(audio) / SAMPLE_RATE
    before, after = round(lead_s * SAMPLE_RATE), round(tail_s * SAMPLE_RATE)
    around = rng.standard_normal(before + len(audio) + after).astype(np.float32) * np.float32(10 ** (SILENCE_DBFS / 20))
    around[before : before + len(audio)] += audio
    start_s = before / SAMPLE_RATE
    hit_from_s = start_s if word_end_s is None else start_s + word_end_s - HIT_BEFORE_S
    hit_until_s = start_s + (seconds if word_end_s is None else word_end_s) + HIT_AFTER_S
    return Trial(around, hit_from_s, hit_until_s, start_s, start_s + seconds)


def hit_score(smoothed: Float64Array, trial: Trial, *, step_s: float, first_s: float | None = None) -> float:
    """The highest smoothed score in the trial's hit window; 0 when no step ends inside it.

    `first_s` is when the first score is known; None for the end of the first step.
    """
    times_s = score_times(len(smoothed), step_s=step_s, first_s=first_s)
    inside = (times_s >= trial.hit_from_s - 1e-9) & (times_s <= trial.hit_until_s + 1e-9)
    return float(smoothed[inside].max()) if inside.any() else 0.0


def score_trial(
    trial: Trial, scorer: Scorer, *, step_s: float, smoothing_steps: int, first_s: float | None = None
) -> float:
    """The trial's score: a positive is missed at every threshold above it."""
    return hit_score(smooth(scorer(trial.audio), smoothing_steps), trial, step_s=step_s, first_s=first_s)


def stream_events(
    scores: NDArray[np.floating], *, step_s: float, smoothing_steps: int, refractory_s: float, floor: float = 0.0
) -> Events:
    """All events in the scores of a recording without the phrase: its false alarms at every threshold from `floor` up.

    Shape: `scores` `[T]`, unsmoothed
    """
    return find_events(smooth(scores, smoothing_steps), step_s=step_s, refractory_s=refractory_s, floor=floor)


def speech_level(audio: Float32Array) -> float:
    """Root mean square over the speech-active 20 ms frames: those at most 30 dB below the 95th percentile frame.

    Shape: `[N]`; 0 for digital silence.
    """
    frames = audio[: len(audio) // _FRAME * _FRAME].reshape(-1, _FRAME).astype(np.float64)
    if len(frames) == 0:
        return float(np.sqrt(np.mean(np.square(audio, dtype=np.float64)))) if len(audio) else 0.0
    power = np.mean(np.square(frames), axis=1)
    # The percentile of the frames that hold anything: padding with silence must not move the level.
    loud = power[power > 10 ** (SILENCE_DBFS / 10) * 4]
    if loud.size == 0:
        return float(np.sqrt(power.mean()))
    return float(np.sqrt(loud[loud >= np.quantile(loud, 0.95) / 1000].mean()))


def mix_at_snr(audio: Float32Array, noise: Float32Array, *, snr_db: float, speech_active: bool = True) -> Float32Array:
    """Add `noise` at `snr_db` below the clip's speech-active level; a sum that would clip is scaled down as a whole.

    Shape: `[N], [N] -> [N]`

    Args:
        audio: a clip or a trial.
        noise: as long as `audio`.
        snr_db: level of the speech over the noise.
        speech_active: measure the level over the active frames, else over the whole clip.

    Raises:
        DataError: the noise is silent, or shorter than the clip.
    """
    if len(noise) != len(audio):
        raise DataError(f"the noise has {len(noise)} samples, the clip {len(audio)}; cut both to the same length")
    noise_level = float(np.sqrt(np.mean(np.square(noise, dtype=np.float64))))
    if noise_level == 0:
        raise DataError("the noise is digital silence; choose other recordings with --noise")
    level = speech_level(audio) if speech_active else float(np.sqrt(np.mean(np.square(audio, dtype=np.float64))))
    mixed = audio + noise * np.float32(level * 10 ** (-snr_db / 20) / noise_level)
    peak = float(np.abs(mixed).max())
    return (mixed / np.float32(peak) if peak > 1 else mixed).astype(np.float32)


def coloured_noise(samples: int, *, exponent: float, rng: np.random.Generator) -> Float32Array:
    """Noise with a power spectrum of 1 / f^exponent (0 white, 1 pink, 2 brown), at -20 dBFS.

    Shape: `[samples]`
    """
    spectrum = np.fft.rfft(rng.standard_normal(samples))
    frequency = np.fft.rfftfreq(samples, 1 / SAMPLE_RATE)
    # Flat below 40 Hz: brown noise would otherwise be nothing but rumble that no loudspeaker plays.
    shaped = np.fft.irfft(spectrum * np.maximum(frequency, 40.0) ** (-exponent / 2), samples)
    shaped -= shaped.mean()
    return (shaped * (0.1 / np.sqrt(np.mean(np.square(shaped))))).astype(np.float32)


def draw_noise(
    recordings: Sequence[Int16Array], samples: int, *, coloured_share: float, rng: np.random.Generator
) -> Float32Array:
    """A piece of noise: a random audible part of a random recording, or coloured noise.

    Recordings are drawn in proportion to their length, shorter ones than `samples` are not used.

    Args:
        recordings: int16 arrays, memory-mapped or not; may be empty, then all noise is coloured.
        samples: how much is wanted.
        coloured_share: share of the draws that is coloured noise.
        rng: makes every choice.
    """
    long_enough = [recording for recording in recordings if len(recording) >= samples]
    if long_enough and rng.random() >= coloured_share:
        lengths = np.array([len(recording) for recording in long_enough], np.float64)
        for _ in range(20):
            recording = long_enough[rng.choice(len(long_enough), p=lengths / lengths.sum())]
            start = int(rng.integers(0, len(recording) - samples + 1))
            piece = to_float(np.asarray(recording[start : start + samples]))
            if np.mean(np.square(piece)) > 10 ** (-55 / 10):
                return piece
    return coloured_noise(samples, exponent=float(rng.uniform(0, 2)), rng=rng)
