"""The clips of a corpus as something that other audio can be compared with: a few of every text, by their embeddings.

The embeddings are kept in the cache (`neighbours/<key>.npz`), so that a second question costs nothing.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wakelark.audio import SAMPLE_RATE, Int16Array, to_int16
from wakelark.corpus.cache import cache_folder, content_key, write_atomically
from wakelark.corpus.clip import Clip
from wakelark.evaluation.neighbours import STEPS, SoundIndex
from wakelark.training.clip_audio import ClipReader

Progress = Callable[[int, int, str], None]

PAD_S = 0.75
"""Silence around a clip, so that the first and the last word have whole embeddings."""
LONGEST_S = 10.0
_VERSION = 1
_MOST = {"alone": 60, "in_sentence": 20, "own_positive": 200, "own_negative": 300, "mined": 200, "sentence": 60}
"""So many clips of a kind at most; of the others so many per text."""
OF_A_TEXT = 4

SAID_AS = {
    "alone": "the phrase", "in_sentence": "the phrase in a sentence", "own_positive": "own recording of the phrase",
    "near_miss": "near miss", "partial": "part of the phrase", "swap": "its words swapped",
    "sentence": "another sentence", "own_negative": "own recording without the phrase", "mined": "mined false alarm",
}  # fmt: skip
"""What a clip of a kind is, in words."""


@dataclass(frozen=True, slots=True)
class KnownSounds:
    """Clips and the index over them, in the same order."""

    clips: Sequence[Clip]
    index: SoundIndex

    @property
    def labels(self) -> NDArray[np.int64]:
        """1 for clips with the phrase. Shape: `-> [clips]`"""
        return np.array([clip.label for clip in self.clips], np.int64)


def choose_known(clips: Sequence[Clip], *, of_a_text: int) -> list[Clip]:
    """A part of a corpus that stands for it: every text, many voices, the same choice for the same clips.

    Args:
        clips: of a corpus.
        of_a_text: so many clips of each near miss at most.
    """
    groups: dict[tuple[str, str], list[Clip]] = {}
    for clip in clips:
        if clip.is_stream or clip.samples > LONGEST_S * SAMPLE_RATE or clip.kind not in SAID_AS:
            continue
        groups.setdefault((clip.kind, "" if clip.kind in _MOST else clip.text), []).append(clip)
    chosen = []
    for (kind, _), members in groups.items():
        # One clip per voice before a second one; which ones, their content decides.
        turns: dict[str, int] = {}
        order = []
        for clip in sorted(members, key=lambda clip: clip.id):
            turns[clip.voice] = turns.get(clip.voice, 0) + 1
            order.append((turns[clip.voice], clip.id, clip))
        chosen += [clip for *_, clip in sorted(order, key=lambda item: item[:2])[: _MOST.get(kind, of_a_text)]]
    return chosen


def index_sounds(clips: Sequence[Clip], *, progress: Progress) -> KnownSounds:
    """The embeddings of clips of the cache, computed where they are not known yet.

    Raises:
        DataError: the audio of a clip is gone.
        SetupError: the package with the embedding is missing.
        ModuleNotFoundError: torch is missing.
    """
    path = cache_folder() / "neighbours" / f"{content_key(_VERSION, [clip.id for clip in clips])}.npz"
    sequences = _read(path)
    if sequences is None:
        reader = ClipReader(cache_folder())
        sequences = []
        for number, clip in enumerate(clips, 1):
            sequences.append(describe(to_int16(reader.read(clip))))
            progress(number, len(clips), "clips to compare with")
        buffer = io.BytesIO()
        np.savez(buffer, rows=np.concatenate(sequences), lengths=np.array([len(rows) for rows in sequences]))
        write_atomically(path, buffer.getvalue())
    return KnownSounds(clips, SoundIndex(sequences))


def describe(audio: Int16Array) -> NDArray[np.float16]:
    """The embeddings of a clip with silence around it. Shape: `[N] -> [E, 96]`"""
    from wakelark.training.front_ends import embeddings

    return embeddings(np.pad(audio, round(PAD_S * SAMPLE_RATE)))


def stretch_ending_at(index: SoundIndex, sequence: NDArray[np.float16], end_s: float) -> NDArray[np.float32]:
    """The 1.5 s of a described clip that end `end_s` after its start. Shape: `[E, 96] -> [1, STEPS, 96]`"""
    from wakelark.features.embedding import EMBEDDING_HOP_SAMPLES, EMBEDDING_SPAN_SAMPLES

    last = round(((PAD_S + end_s) * SAMPLE_RATE - EMBEDDING_SPAN_SAMPLES) / EMBEDDING_HOP_SAMPLES)
    stretches = index.stretches(sequence)
    place = min(max(last - STEPS + 1, 0), len(stretches) - 1)
    return stretches[place : place + 1]


def _read(path: Path) -> list[NDArray[np.float16]] | None:
    """Kept sequences; None when there are none, or damaged ones."""
    try:
        with np.load(path) as kept:
            return np.split(kept["rows"], np.cumsum(kept["lengths"])[:-1])
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
