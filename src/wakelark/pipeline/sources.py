"""What is scored: clips with the phrase, recordings without it, and the noise to put under clips."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from wakelark.audio import SAMPLE_RATE, Float32Array, Int16Array, read_audio, stream_audio, to_float

MAX_CLIP_S = 60.0
STREAM_BLOCK = 60 * SAMPLE_RATE


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipSource:
    """A clip to be scored.

    Attributes:
        name: shown in results, and seeds the clip's noise: a clip gets the same noise in whatever company.
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
