"""Recordings that are the same take: copied, trimmed, turned down, converted, or with a little noise added.

Two looks. Log-mel fingerprints of the loudest second, compared at every shift of up to 0.12 s, name the pairs that may
be; the waveforms decide: two takes of one person saying one phrase correlate by 0.2 to 0.3 at the best shift, copies
of one take by more than 0.9 as a rule (docs/data_health.md).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from wakelark.audio import HOP_SAMPLES, SAMPLE_RATE, Float32Array, Int16Array, to_float
from wakelark.features.logmel import LOG_SCALE, logmel

MAY_BE = 0.9
IS = 0.7
_FRAMES = 100
_SHIFTS = range(-12, 13, 2)
_RANGE = 30 / (10 * np.log10(np.e)) / LOG_SCALE
"""30 dB in units of the log-mel: what is quieter is the room's and the codec's."""
_MARGIN = max(_SHIFTS)
_LONGEST = 3 * SAMPLE_RATE
_EVERY = 4
_QUERIES_AT_ONCE = 64


def find_repeats(clips: Sequence[Int16Array]) -> list[list[int]]:
    """Groups of clips that are one take, each group and the groups in ascending order.

    Clips are short recordings; of a long one the loudest second counts.
    """
    prints = [_fingerprints(_at_full_scale(clip)) for clip in clips]
    group = list(range(len(clips)))

    def root(number: int) -> int:
        while group[number] != number:
            group[number] = group[group[number]]
            number = group[number]
        return number

    for first, second in _pairs(prints):
        if root(first) != root(second) and same_take(clips[first], clips[second]):
            group[max(root(first), root(second))] = min(root(first), root(second))
    found: dict[int, list[int]] = {}
    for number in range(len(clips)):
        found.setdefault(root(number), []).append(number)
    return [members for members in found.values() if len(members) > 1]


def same_take(first: Int16Array, second: Int16Array) -> bool:
    """Whether two waveforms correlate, at the best shift and either polarity, as only copies of one take do."""
    a, b = (_low(clip) for clip in (first, second))
    length = 1 << (len(a) + len(b) - 1).bit_length()
    energy = float(np.sqrt((a @ a) * (b @ b)))
    if energy == 0:
        return False
    correlation = np.fft.irfft(np.fft.rfft(a, length) * np.conj(np.fft.rfft(b, length)), length)
    return float(np.abs(correlation).max()) >= IS * energy


def _at_full_scale(clip: Int16Array) -> Float32Array:
    """The clip at a peak of 1: the log-mel has a floor, above which a quiet copy must lie as its loud one does."""
    audio = to_float(clip)
    return audio / np.float32(max(float(np.abs(audio).max(initial=0.0)), 1e-4))


def _low(clip: Int16Array) -> NDArray[np.float64]:
    """The loudest three seconds at 4 kHz: speech has its energy there. Shape: `[N] -> [at most 12,000]`"""
    samples = clip.astype(np.float64)
    if len(samples) > _LONGEST:
        power = np.concatenate([[0.0], np.cumsum(np.square(samples))])
        start = int(np.argmax(power[_LONGEST:] - power[:-_LONGEST]))
        samples = samples[start : start + _LONGEST]
    usable = samples[: len(samples) // _EVERY * _EVERY].reshape(-1, _EVERY).mean(axis=1)
    return usable - usable.mean() if len(usable) else usable


def _fingerprints(audio: Float32Array) -> NDArray[np.float32]:
    """The loudest second at every shift, 50 x 20 values of mean 0 and length 1. Shape: `[N] -> [shifts, 1000]`"""
    pad = _MARGIN * HOP_SAMPLES
    frames = logmel(np.pad(audio, (pad, pad + (_FRAMES + 3) * HOP_SAMPLES)))
    frames = np.maximum(frames, frames.max() - _RANGE)
    energy = np.concatenate([[0.0], np.cumsum(frames.mean(axis=1))])
    windows = energy[_FRAMES:] - energy[:-_FRAMES]
    start = int(np.argmax(windows[_MARGIN : len(windows) - _MARGIN])) + _MARGIN
    found = []
    for shift in _SHIFTS:
        part = frames[start + shift : start + shift + _FRAMES].reshape(_FRAMES // 2, 2, -1, 2).mean(axis=(1, 3))
        part = part - part.mean()
        found.append((part / max(float(np.linalg.norm(part)), 1e-9)).ravel())
    return np.array(found, np.float32)


def _pairs(prints: Sequence[NDArray[np.float32]]) -> list[tuple[int, int]]:
    """Pairs whose fingerprints are alike at some shift, the most alike first."""
    if len(prints) < 2:
        return []
    middle = np.stack([shifted[len(_SHIFTS) // 2] for shifted in prints])
    pairs: list[tuple[float, int, int]] = []
    for first in range(0, len(prints), _QUERIES_AT_ONCE):
        queries = np.stack(prints[first : first + _QUERIES_AT_ONCE])
        alike = (queries.reshape(-1, queries.shape[2]) @ middle.T).reshape(len(queries), len(_SHIFTS), -1).max(axis=1)
        for query, other in np.argwhere(alike >= MAY_BE).tolist():
            if first + query < other:
                pairs.append((-float(alike[query, other]), first + query, other))
    return [(first, second) for _, first, second in sorted(pairs)]
