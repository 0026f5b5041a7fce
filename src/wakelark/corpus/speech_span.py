"""Where in a short recording somebody speaks, by its energy."""

from __future__ import annotations

import numpy as np

from wakelark.audio import HOP_SAMPLES, SAMPLE_RATE, Int16Array

MAX_SPAN_S = 2.0  # the longest phrase a training window holds
_MEDIAN_FRAMES = 5  # over so many frames: a click is not speech
_PAUSE_FRAMES = 35  # a longer pause ends the phrase: a door or a breath before it is not part of it
_MARGIN_FRAMES = 3
_BELOW_PEAK_DB = 35.0
_FLOOR_PERCENTILE = 25
_CONTRAST_DB = 6.0
_ABOVE_FLOOR = (0.4, 0.5, 0.6, 0.7)  # of the way from the room's level to the peak


def speech_span(audio: Int16Array) -> tuple[int, int] | None:
    """The samples between which the phrase is spoken, or None when no stretch of at most 2 s stands out.

    Frames of 10 ms count as speech within 35 dB of the loudest and 40 % of the way (in dB) from the room's level up to
    it; in a loud room, where that gives too long a stretch, 50 to 70 %. The stretch is the one around the loudest
    frame, over pauses of up to 0.35 s. A recording of at most 2 s without contrast counts whole.

    Shape: `[n] -> (start, end)`, 0 <= start < end <= n

    >>> tone = (8000 * np.sin(np.arange(16000) * 0.3)).astype(np.int16)
    >>> speech_span(np.concatenate([np.zeros(16000, np.int16), tone, np.zeros(8000, np.int16)]))
    (15520, 32480)
    """
    count = len(audio) // HOP_SAMPLES
    if count < _MEDIAN_FRAMES:
        return None
    frames = audio[: count * HOP_SAMPLES].reshape(count, HOP_SAMPLES).astype(np.float64)
    power = np.mean((frames - frames.mean(axis=1, keepdims=True)) ** 2, axis=1)
    padded = np.pad(10 * np.log10(power + 1.0), _MEDIAN_FRAMES // 2, mode="edge")
    level_db = np.median(np.lib.stride_tricks.sliding_window_view(padded, _MEDIAN_FRAMES), axis=1)
    peak_db, floor_db = level_db.max(), np.percentile(level_db, _FLOOR_PERCENTILE)
    if peak_db - floor_db < _CONTRAST_DB:
        return (0, len(audio)) if len(audio) <= MAX_SPAN_S * SAMPLE_RATE else None
    for share in _ABOVE_FLOOR:
        loud = np.flatnonzero(level_db >= max(peak_db - _BELOW_PEAK_DB, floor_db + share * (peak_db - floor_db)))
        start, end = _stretch(loud, int(level_db.argmax()))
        if (end - start) * HOP_SAMPLES <= MAX_SPAN_S * SAMPLE_RATE:
            start, end = max(start - _MARGIN_FRAMES, 0), min(end + _MARGIN_FRAMES, count)
            return start * HOP_SAMPLES, end * HOP_SAMPLES
    return None


def _stretch(loud: np.ndarray, loudest: int) -> tuple[int, int]:
    """First and last-plus-one frame of the run of `loud` frames around `loudest`, over short pauses."""
    runs = np.split(loud, np.flatnonzero(np.diff(loud) > _PAUSE_FRAMES) + 1)
    run = next(run for run in runs if run[0] <= loudest <= run[-1])
    return int(run[0]), int(run[-1]) + 1
