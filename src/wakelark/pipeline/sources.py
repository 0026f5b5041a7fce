"""What is played to a detector: clips as trials, long recordings, noise to put under the clips."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from wakelark.audio import SAMPLE_RATE, Float32Array, Int16Array, read_audio, stream_audio, to_float, to_int16
from wakelark.evaluation.distance import at_distance
from wakelark.evaluation.stream import Trial, draw_noise, mix_at_snr, positive_trial

MAX_CLIP_S = 60.0
STREAM_BLOCK = 60 * SAMPLE_RATE
"""Samples of a long recording that are read at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipSource:
    """A clip to be scored.

    Attributes:
        name: shown in results.
        path: an audio file, or a `.npy` int16 array of which `start` and `samples` cut the clip.
        word_end_s: where in the clip the phrase ends, when known.
        speaker, engine, kind, text: as in `ScoredClip`.
        distance_m: how far away its speaker is put, in a simulated room; None leaves it as it is.
    """

    name: str
    path: Path
    start: int = 0
    samples: int | None = None
    word_end_s: float | None = None
    speaker: str = ""
    engine: str = "recording"
    kind: str = "own_positive"
    text: str = ""
    distance_m: float | None = None

    def load(self) -> Float32Array:
        """The clip's audio. Shape: `[n]`

        Raises:
            BadAudio: the file cannot be used.
        """
        if self.path.suffix == ".npy":
            array = np.load(self.path, mmap_mode="r")
            return to_float(np.asarray(array[self.start : None if self.samples is None else self.start + self.samples]))
        return read_audio(self.path, max_seconds=MAX_CLIP_S)


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamSource:
    """A recording without the phrase, to be scored.

    Attributes:
        name: shown in results.
        path: a `.npy` int16 array, or an audio file of any length.
        kind: "speech", "music", ...
        seconds: its length for the hours; None to count while reading.
        synthetic: made by a synthesis engine.
        parts: (start in seconds, file name) of what it consists of.
    """

    name: str
    path: Path
    kind: str
    seconds: float | None = None
    synthetic: bool = False
    parts: tuple[tuple[float, str], ...] = ()

    def blocks(self) -> Iterator[Int16Array | Float32Array]:
        """Its audio, a minute or less at a time."""
        if self.path.suffix == ".npy":
            array = np.load(self.path, mmap_mode="r")
            for start in range(0, len(array), STREAM_BLOCK):
                yield np.asarray(array[start : start + STREAM_BLOCK])
        else:
            yield from stream_audio(self.path, max_seconds=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class NoiseSource:
    """Noise to put under clips.

    Attributes:
        snr_db: below the clip's speech-active level.
        recordings: `.npy` int16 arrays to draw from.
        coloured_share: share of the clips that get generated coloured noise instead.
    """

    snr_db: float
    recordings: tuple[Path, ...]
    coloured_share: float


def clip_trial(clip: ClipSource, *, noise: NoiseSource | None, recordings: Sequence[Int16Array], seed: int) -> Trial:
    """A clip as it is played to a detector: near-silence around it, noise under it.

    Args:
        clip: its audio and `seed` alone decide what is drawn.
        noise: None for clean.
        recordings: those of `noise`, opened.
        seed: of the near-silence and the noise.

    Raises:
        BadAudio: the file cannot be used.
    """
    audio = clip.load()
    # By what is heard, not by its name: the same recordings in another folder give the same figures.
    own = zlib.crc32(to_int16(audio).tobytes())
    rng = np.random.default_rng([seed, own])
    trial = positive_trial(audio, rng=rng, word_end_s=clip.word_end_s)
    if clip.distance_m is not None:
        trial = replace(
            trial, audio=at_distance(trial.audio, clip.distance_m, rng=np.random.default_rng([seed, own, 1]))
        )
    if noise is None:
        return trial
    bed = draw_noise(recordings, len(trial.audio), coloured_share=noise.coloured_share, rng=rng)
    return replace(trial, audio=mix_at_snr(trial.audio, bed, snr_db=noise.snr_db))
