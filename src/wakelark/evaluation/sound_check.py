"""What is wrong with a recording as sound, whatever is said in it: level, clipping, noise, bandwidth, cut edges.

The limits were set on recordings of people (figures in docs/data_health.md), on prompts that were
recorded at 8 kHz, and on clipped copies of both.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from wakelark.audio import SAMPLE_RATE, Float32Array
from wakelark.evaluation.stream import speech_level

LOWEST_DBFS = -120.0
"""Digital silence, and whatever is quieter than any converter."""
SILENT_DBFS = -60.0
QUIET_DBFS = -45.0
"""Speech below this is quieter than training makes it (`augment.gain_db_min` below a peak of -3 dB)."""
CLIPPED_SHARE = 1e-3
OFFSET = 0.02
NOISY_DB = 10.0
NARROW_DB = 45.0
EDGE_DB = -10.0

_FRAME = SAMPLE_RATE // 50
_FFT = 512
_BELOW_4_KHZ = (2000.0, 3300.0)
_ABOVE_4_KHZ = (4300.0, 5500.0)
_TOP = 0.985
_GAP = SAMPLE_RATE // 200
_GAP_EDGE = 0.1

FaultCode = Literal["silent", "quiet", "clipped", "offset", "noisy", "narrow", "cut_start", "cut_end", "dropouts"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SoundFigures:
    """What a piece of audio measures. Levels are dB of full scale, never below `LOWEST_DBFS`.

    Attributes:
        seconds: its length.
        peak_dbfs, rms_dbfs: of everything.
        speech_dbfs: of the speech-active 20 ms frames (`evaluation.stream.speech_level`).
        background_dbfs: the tenth percentile of the 20 ms frames: what is heard between the words.
        snr_db: speech over background, -10 to 100; an estimate, too low where nobody pauses.
        clipped_share: samples on flat tops: three or more in a row at the peak.
        offset: mean of all samples, 1 is full scale.
        band_drop_db: how much less there is just above 4 kHz than just below, in the louder half.
        start_db, end_db: the first and the last 20 ms, relative to the speech.
        dropouts: how often the sound breaks off into 5 ms or more of zeros.
    """

    seconds: float
    peak_dbfs: float
    rms_dbfs: float
    speech_dbfs: float
    background_dbfs: float
    snr_db: float
    clipped_share: float
    offset: float
    band_drop_db: float
    start_db: float
    end_db: float
    dropouts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Something that keeps a recording from being heard, or from being worth training on.

    Attributes:
        code: what is wrong.
        what: the same in words, with the figure.
        remedy: what to do.
    """

    code: FaultCode
    what: str
    remedy: str


def measure_sound(audio: Float32Array) -> SoundFigures:
    """Measure a recording.

    Shape: `[N]`, float32 in [-1, 1], N >= 1
    """
    frames = _frames(audio)
    power = np.mean(np.square(frames), axis=1)
    peak = float(np.abs(audio).max())
    speech = float(speech_level(audio)) ** 2
    background = float(np.quantile(power, 0.1))
    return SoundFigures(
        seconds=len(audio) / SAMPLE_RATE,
        peak_dbfs=_db(peak**2),
        rms_dbfs=_db(float(np.mean(np.square(audio, dtype=np.float64)))),
        speech_dbfs=_db(speech),
        background_dbfs=_db(background),
        snr_db=float(np.clip(_db(max(speech - background, 0.0)) - _db(background), -10.0, 100.0)),
        clipped_share=_flat_samples(audio, peak) / len(audio),
        offset=float(np.mean(audio, dtype=np.float64)),
        band_drop_db=_band_drop(audio),
        start_db=_db(float(power[0])) - _db(speech),
        end_db=_db(float(power[-1])) - _db(speech),
        dropouts=_dropouts(audio, peak),
    )


def sound_faults(figures: SoundFigures) -> list[Fault]:
    """What is wrong, the worst first; a silent recording has no other fault."""
    if figures.speech_dbfs < SILENT_DBFS:
        return [_fault("silent", figures)]
    return [_fault(code, figures) for code, applies in _APPLIES.items() if applies(figures)]


def _is_cut(edge_db: float, figures: SoundFigures) -> bool:
    """Loud to the very edge, and louder there than the room."""
    return edge_db >= EDGE_DB and figures.speech_dbfs + edge_db >= figures.background_dbfs + 10.0


_APPLIES: dict[FaultCode, Callable[[SoundFigures], bool]] = {
    "clipped": lambda f: f.clipped_share > CLIPPED_SHARE,
    "quiet": lambda f: f.speech_dbfs < QUIET_DBFS,
    "noisy": lambda f: f.snr_db < NOISY_DB,
    "cut_end": lambda f: _is_cut(f.end_db, f),
    "cut_start": lambda f: _is_cut(f.start_db, f),
    "dropouts": lambda f: f.dropouts > 0,
    "narrow": lambda f: f.band_drop_db > NARROW_DB,
    "offset": lambda f: abs(f.offset) > OFFSET,
}
"""In the order in which they matter."""

SAID: dict[FaultCode, str] = {
    "silent": "all but silent",
    "quiet": "very quiet",
    "clipped": "clipped",
    "offset": "shifted off zero (DC offset)",
    "noisy": "noisy",
    "narrow": "without any sound above 4 kHz",
    "cut_start": "cut at the start",
    "cut_end": "cut at the end",
    "dropouts": "broken by dropouts",
}
"""Every fault as an adjective: "3 of 20 recordings are ..."."""

REMEDIES: dict[FaultCode, str] = {
    "silent": "check that the microphone is on, chosen and not muted",
    "quiet": "raise the microphone's gain, or speak closer to it",
    "clipped": "lower the microphone's gain or step back, and record again; clipping cannot be undone",
    "offset": "a fault of the sound card or the recorder: try another input, or filter below 50 Hz",
    "noisy": "record in a quieter place or closer to the microphone",
    "narrow": "it was recorded or sent at 8 kHz (telephone, Bluetooth headset); record at 16 kHz or more",
    "cut_start": "begin to record half a second before speaking",
    "cut_end": "go on recording for half a second after the last word",
    "dropouts": "the recorder lost audio: close other programs, try a larger buffer or another cable",
}


def _fault(code: FaultCode, figures: SoundFigures) -> Fault:
    figure = {
        "silent": f"its loudest speech lies at {figures.speech_dbfs:.0f} dB of full scale",
        "quiet": f"the speech lies at {figures.speech_dbfs:.0f} dB of full scale",
        "clipped": f"{100 * figures.clipped_share:.1f} % of the samples lie on flat tops",
        "offset": f"the mean is {100 * figures.offset:+.1f} % of full scale",
        "noisy": f"the speech lies only {max(figures.snr_db, 0):.0f} dB above the background",
        "narrow": f"{figures.band_drop_db:.0f} dB less above 4 kHz than below",
        "cut_start": "it begins in the middle of a sound",
        "cut_end": "it ends in the middle of a sound",
        "dropouts": f"the sound breaks off {figures.dropouts} times",
    }[code]
    return Fault(code=code, what=f"{SAID[code]}: {figure}", remedy=REMEDIES[code])


def _frames(audio: Float32Array) -> NDArray[np.float64]:
    """The whole 20 ms frames; a shorter recording is one frame with zeros behind it. Shape: `[N] -> [F, 320]`"""
    if len(audio) < _FRAME:
        audio = np.pad(audio, (0, _FRAME - len(audio)))
    return audio[: len(audio) // _FRAME * _FRAME].reshape(-1, _FRAME).astype(np.float64)


def _db(power: float) -> float:
    return max(LOWEST_DBFS, 10 * float(np.log10(power))) if power > 0 else LOWEST_DBFS


def _flat_samples(audio: Float32Array, peak: float) -> int:
    """Samples in runs of three or more of one sign within 1.5 % of the peak.

    Relative to the peak, because a recording may have been turned down after it was clipped. Above about 200 Hz three
    samples of a pure tone do not stay so near its peak more often than a clipped one does.
    """
    if peak < 1e-3:
        return 0
    top = np.where(np.abs(audio) >= _TOP * peak, np.sign(audio), 0).astype(np.int8)
    run = (top[:-2] != 0) & (top[:-2] == top[1:-1]) & (top[1:-1] == top[2:])
    flat = np.zeros(len(audio), bool)
    for lag in range(3):
        flat[lag : lag + len(run)] |= run
    return int(flat.sum())


def _band_drop(audio: Float32Array) -> float:
    """dB between the bands just below and just above 4 kHz, over the louder half of 32 ms frames; 0 for silence."""
    count = len(audio) // _FFT
    if count == 0:
        return 0.0
    windowed = audio[: count * _FFT].reshape(count, _FFT) * np.hanning(_FFT).astype(np.float32)
    power = np.square(np.abs(np.fft.rfft(windowed, axis=1)))
    total = power.sum(axis=1)
    spectrum = power[total >= np.median(total)].mean(axis=0)
    below, above = (
        float(spectrum[round(low * _FFT / SAMPLE_RATE) : round(high * _FFT / SAMPLE_RATE)].mean())
        for low, high in (_BELOW_4_KHZ, _ABOVE_4_KHZ)
    )
    return 10 * float(np.log10((below + 1e-12) / (above + 1e-12)))


def _dropouts(audio: Float32Array, peak: float) -> int:
    """Runs of exact zeros that begin right after, and end right before, a sample of at least a tenth of the peak."""
    if peak == 0 or len(audio) < _GAP + 2:
        return 0
    zero = np.concatenate([[False], audio == 0, [False]])
    change = np.flatnonzero(np.diff(zero.astype(np.int8)))
    starts, stops = change[::2], change[1::2]
    inside = (stops - starts >= _GAP) & (starts > 0) & (stops < len(audio))
    starts, stops = starts[inside], stops[inside]
    loud = np.maximum(np.abs(audio[starts - 1]), np.abs(audio[np.minimum(stops, len(audio) - 1)]))
    return int((loud >= _GAP_EDGE * peak).sum())
