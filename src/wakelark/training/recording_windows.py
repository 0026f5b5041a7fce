"""Windows of the training recordings, as clips that can be rendered like any other."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

import numpy as np

from wakelark.audio import to_float
from wakelark.augment.signal import active_rms, db_to_gain
from wakelark.corpus.clip import Clip
from wakelark.corpus.streams import Stream
from wakelark.training.views import WINDOW_SAMPLES

SILENT_DBFS = -60.0
MUSIC_EVERY = 2
"""Of the music, which is more uniform than speech, only every second window is taken."""


def recording_windows(streams: Sequence[Stream], *, seed: int, speed_range: float) -> list[Clip]:
    """Windows of 2 s, one after the other, over all speech of the streams and half of the music.

    They begin at a random phase of each stream. A clip reaches a little beyond its window, as much as the fastest speed
    needs. Windows that are nearly silent (below -60 dBFS) are left out.

    Args:
        streams: recordings; their roles become the splits.
        seed: of the phases.
        speed_range: of the augmentation.

    Raises:
        OSError: a stream's file cannot be read.
    """
    samples = int(np.ceil(WINDOW_SAMPLES * (1 + speed_range)))
    return [clip for stream in streams for clip in _windows(stream, seed=seed, samples=samples)]


def _windows(stream: Stream, *, seed: int, samples: int) -> Iterator[Clip]:
    audio = stream.load()
    digest = hashlib.sha256(f"{seed}/{stream.sha256}".encode()).digest()
    phase = int(np.random.default_rng(np.frombuffer(digest, np.uint32)).integers(WINDOW_SAMPLES))
    every = MUSIC_EVERY if stream.kind == "music" else 1
    for start in range(phase, audio.size - WINDOW_SAMPLES + 1, every * WINDOW_SAMPLES):
        if active_rms(to_float(audio[start : start + WINDOW_SAMPLES])) < db_to_gain(SILENT_DBFS):
            continue
        yield Clip(
            id=hashlib.sha256(f"{stream.sha256}/{start}".encode()).hexdigest()[:16],
            path=stream.path,
            start=start,
            samples=min(samples, audio.size - start),
            label=0,
            kind="music" if stream.kind == "music" else "recording",
            voice=f"recording/{stream.name}",
            source=stream.package,
            licence=stream.licence,
            split=stream.role,
        )
