"""The recordings without the phrase that an evaluation hears, and the noise that it puts under the clips."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from wakelark.audio import SAMPLE_RATE, BadAudio, printable, stream_audio, to_int16
from wakelark.corpus import recordings
from wakelark.corpus.cache import cache_folder
from wakelark.corpus.packages import kind_of_audio
from wakelark.corpus.streams import Stream
from wakelark.errors import DataError
from wakelark.pipeline.clip_lists import listed_files
from wakelark.pipeline.sources import NoiseSource, StreamSource


def negative_sources(place: Path | None) -> list[StreamSource]:
    """Recordings of a folder or a list; None for the test-role recordings in the cache."""
    if place is None:
        return [stream_source(stream) for stream in recordings.streams("test")]
    # A sub-folder says what is heard in it: dialogue/, music/, noise/ or whatever the user calls it.
    return [
        StreamSource(name=name, path=path, kind=name.partition("/")[0] if "/" in name else "own")
        for name, path in listed_files(place)
    ]


def stream_source(stream: Stream) -> StreamSource:
    """A cached recording as something to be scored."""
    return StreamSource(
        name=stream.name,
        path=cache_folder() / stream.path,
        kind=kind_of_audio(stream.name, stream.kind),
        seconds=stream.seconds,
        parts=tuple((file.start / SAMPLE_RATE, file.name) for file in stream.files),
    )


def noise_source(place: Path | None, snr_db: float | None, folder: Path) -> tuple[NoiseSource | None, list[BadAudio]]:
    """Noise to put under clips, and the files that cannot be read.

    Args:
        place: a folder or a list of recordings; None for `test_noise`.
        snr_db: level of the speech over it; None for no noise.
        folder: where the joined recordings are kept while the noise is in use.

    Raises:
        DataError: not one file can be read.
    """
    if snr_db is None:
        return None, []
    if place is None:
        return test_noise(snr_db, recordings.streams("test")), []
    pieces, refused = [], []
    for _, path in listed_files(place):
        try:
            pieces += [to_int16(block) for block in stream_audio(path, max_seconds=None)]
        except BadAudio as error:
            refused.append(error)
    if not pieces:
        raise DataError(f"none of the noise files in {printable(place)} can be used: {refused[0]}")
    joined = np.concatenate(pieces)
    shortest = 60 * SAMPLE_RATE  # longer than any trial, so that a piece can always be cut
    np.save(folder / "noise.npy", np.tile(joined, -(-shortest // len(joined))) if len(joined) < shortest else joined)
    return NoiseSource(snr_db=snr_db, recordings=(folder / "noise.npy",), coloured_share=0.0), refused


def test_noise(snr_db: float, streams: Sequence[Stream]) -> NoiseSource:
    """The noise of reported figures: the music of test-role streams for one half of the clips, coloured noise for the
    other; all coloured where there is no such music (below the thorough set).
    """
    music = tuple(cache_folder() / stream.path for stream in streams if stream.kind == "music")
    return NoiseSource(snr_db=snr_db, recordings=music, coloured_share=0.5 if music else 1.0)
