"""Reading the audio of clips, and choosing the speech that surrounds them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

import numpy as np

from wakelark.audio import SAMPLE_RATE, Float32Array, Int16Array, to_float
from wakelark.corpus.clip import Clip
from wakelark.errors import DataError

SAME_VOICE_SHARE = 0.85
_RECENT_CLIPS = 256


class ClipReader:
    """Reads clips from the cache. Long arrays are memory-mapped once; short files are remembered for their next views.

    Args:
        cache: the folder that `Clip.path` is relative to.
    """

    def __init__(self, cache: Path) -> None:
        self._cache = cache
        self._streams: dict[str, Int16Array] = {}
        self._file = lru_cache(maxsize=_RECENT_CLIPS)(self._read_file)

    def read(self, clip: Clip) -> Float32Array:
        """The samples of a clip.

        Shape: `-> [clip.samples]`

        Raises:
            DataError: the file is missing, shorter than the manifest says, or not 16 kHz mono.
        """
        audio = self._stream(clip.path) if clip.is_stream else self._file(clip.path)
        part = audio[clip.start : clip.start + clip.samples]
        if part.size != clip.samples:
            place, asked = self._cache / clip.path, clip.start + clip.samples
            remedy = "the cache was changed; delete that file and run again"
            raise DataError(f"{place} holds {audio.size} samples, but the manifest says {asked}: {remedy}")
        return to_float(part)

    def _stream(self, path: str) -> Int16Array:
        if path not in self._streams:
            try:
                self._streams[path] = np.load(self._cache / path, mmap_mode="r")
            except (OSError, ValueError) as error:
                raise DataError(f"{self._cache / path} cannot be read ({error}); delete it and run again") from error
        return self._streams[path]

    def _read_file(self, path: str) -> Int16Array:
        import soundfile

        try:
            audio, rate = soundfile.read(self._cache / path, dtype="int16")
        except (OSError, soundfile.LibsndfileError) as error:
            raise DataError(f"{self._cache / path} cannot be read ({error}); delete it and run again") from error
        if rate != SAMPLE_RATE or audio.ndim != 1:
            raise DataError(f"{self._cache / path} is not 16 kHz mono; delete it and run again")
        return np.asarray(audio, np.int16)


class Neighbours:
    """Speech to put before or after a clip: mostly of the same voice, always of the same split.

    Args:
        clips: where to take it from; only ordinary sentences are used.
        reader: reads them.
    """

    def __init__(self, clips: Iterable[Clip], *, reader: ClipReader) -> None:
        self._reader = reader
        self._by_voice: dict[tuple[str, str], list[Clip]] = defaultdict(list)
        self._by_split: dict[str, list[Clip]] = defaultdict(list)
        for clip in clips:
            if clip.kind == "sentence":
                self._by_voice[clip.split, clip.voice].append(clip)
                self._by_split[clip.split].append(clip)

    def __call__(self, clip: Clip, rng: np.random.Generator) -> Float32Array | None:
        """Draw one, or None when there is no sentence at all. Shape: `-> [N]`"""
        same_voice = rng.random() < SAME_VOICE_SHARE
        choices = self._by_voice.get((clip.split, clip.voice), []) if same_voice else []
        choices = choices or self._by_split.get(clip.split, [])
        return self._reader.read(choices[int(rng.integers(len(choices)))]) if choices else None
