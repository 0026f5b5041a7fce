"""What a trunk learns from: pieces of audio of 8.4 s with log-mel (its input) and speech embeddings (its target).

Each piece is used as it is and in variants with another speed, room and microphone. Noise is not rendered: it is added
to the student's input alone, in training, so that the target stays the embedding of the clean piece.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from wakelark.audio import HOP_SAMPLES, SAMPLE_RATE, Float32Array, Int16Array, to_float, to_int16
from wakelark.augment.beds import BedLibrary, coloured_noise
from wakelark.augment.chain import Chain
from wakelark.augment.signal import active_rms, db_to_gain
from wakelark.augment.speed import Speed
from wakelark.corpus.cache import content_key, write_atomically
from wakelark.corpus.worker_pool import run_in_processes
from wakelark.features.embedding import EMBEDDING_HOP_SAMPLES, EMBEDDING_SIZE, EMBEDDING_SPAN_SAMPLES
from wakelark.features.logmel import BANDS, frame_count
from wakelark.training.front_ends import embeddings, log_mel, start_feature_worker
from wakelark.training.views import view_rng

if TYPE_CHECKING:
    from wakelark.config import AugmentConfig

EMBEDDINGS = 96
"""Embeddings in a piece."""
# 8.4 s, and one hop more: the trunk's last step hears 48 samples beyond the last embedding.
PIECE_SAMPLES = EMBEDDING_SPAN_SAMPLES + (EMBEDDINGS - 1) * EMBEDDING_HOP_SAMPLES + HOP_SAMPLES
PIECE_FRAMES = frame_count(PIECE_SAMPLES)
PIECE = np.dtype(
    [("logmel", np.float16, (BANDS, PIECE_FRAMES)), ("embeddings", np.float16, (EMBEDDINGS, EMBEDDING_SIZE))]
)
NOISE = "noise"
"""Kind of the pieces of coloured noise that are put under others."""
NOISE_PIECES = 120
SPEED_RANGE = 0.2
_NOISE_SLOPE_DB = (-9.0, 3.0)
_SILENT_DBFS = -60.0
_SHARD_PIECES = 64
_VERSION = 1

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True, slots=True)
class Source:
    """Audio to cut pieces from: an int16 `.npy` file, what identifies it, and its kind ("speech", "music")."""

    path: Path
    digest: str
    kind: str


@dataclass(frozen=True, slots=True)
class Pieces:
    """Rendered pieces, memory-mapped shard by shard.

    Attributes:
        shards: arrays of `PIECE`.
        shard, row: where each piece lies. Shape: `[P]`
        kinds: "speech", "music" or "noise". Shape: `[P]`
    """

    shards: Sequence[NDArray]
    shard: NDArray[np.int32]
    row: NDArray[np.int32]
    kinds: NDArray[np.str_]

    @property
    def hours(self) -> dict[str, float]:
        """Of each kind, variants included."""
        kinds, counts = np.unique(self.kinds, return_counts=True)
        hours_per_piece = PIECE_SAMPLES / SAMPLE_RATE / 3600
        return {str(kind): round(int(n) * hours_per_piece, 2) for kind, n in zip(kinds, counts, strict=True)}

    def logmel(self, chosen: NDArray[np.int64]) -> Float32Array:
        """Shape: `[B] -> [B, 40, 837]`"""
        return self._column("logmel", chosen)

    def embeddings(self, chosen: NDArray[np.int64]) -> Float32Array:
        """Shape: `[B] -> [B, 96, 96]`"""
        return self._column("embeddings", chosen)

    def _column(self, name: str, chosen: NDArray[np.int64]) -> Float32Array:
        places = zip(self.shard[chosen].tolist(), self.row[chosen].tolist(), strict=True)
        return np.stack([self.shards[shard][row][name] for shard, row in places]).astype(np.float32)


@dataclass(frozen=True, slots=True)
class _Item:
    """One piece: where it starts in its source (None: coloured noise of that number) and which variant."""

    source: Source | None
    start: int
    variant: int


@dataclass(frozen=True, slots=True)
class _Shard:
    path: Path
    items: tuple[_Item, ...]
    augment_json: str


def render_pieces(
    sources: Sequence[Source], *, variants: int, augment: AugmentConfig, out: Path, workers: int, progress: Progress
) -> Pieces:
    """Render all pieces below `out`; shards that are there are kept.

    Args:
        sources: recordings and speech.
        variants: of each piece; the first is the audio as it is.
        augment: probabilities and strengths of room, microphone and codec. Its noise is not used.
        out: folder of the shards.
        workers: processes.
        progress: called with the number of pieces done.

    Raises:
        OSError: a source cannot be read.
        SetupError: the disk is full.
    """
    dry = augment.model_copy(update={"noise_probability": 0.0, "gain_db_min": -20.0}).model_dump_json()
    items = [item for source in sources for item in _items(source, variants)]
    items += [_Item(None, number, 0) for number in range(NOISE_PIECES)]
    shards = []
    for first in range(0, len(items), _SHARD_PIECES):
        part = tuple(items[first : first + _SHARD_PIECES])
        named = [[item.source.digest if item.source else NOISE, item.start, item.variant] for item in part]
        shards.append(_Shard(out / f"{content_key(_VERSION, dry, named)}.npy", part, dry))
    todo = [shard for shard in shards if not shard.path.is_file()]
    done = sum(len(shard.items) for shard in shards) - sum(len(shard.items) for shard in todo)

    def count(_: int, pieces: int) -> None:
        nonlocal done
        done += pieces
        progress(done, len(items), "pieces of audio for the trunk")

    if workers > 1:
        run_in_processes(_render, todo, workers=workers, start=start_feature_worker, on_result=count)
    else:
        for number, shard in enumerate(todo):
            count(number, _render(shard))
    return Pieces(
        shards=[np.load(shard.path, mmap_mode="r") for shard in shards],
        shard=np.repeat(np.arange(len(shards), dtype=np.int32), [len(shard.items) for shard in shards]),
        row=np.concatenate([np.arange(len(shard.items), dtype=np.int32) for shard in shards]),
        kinds=np.array([item.source.kind if item.source else NOISE for item in items]),
    )


def _items(source: Source, variants: int) -> list[_Item]:
    audio: Int16Array = np.load(source.path, mmap_mode="r")
    items = []
    for variant in range(variants):
        phase = variant * PIECE_SAMPLES // variants  # so that no variant is cut where another is
        for start in range(phase, audio.size - PIECE_SAMPLES + 1, PIECE_SAMPLES):
            loud = active_rms(to_float(np.asarray(audio[start : start + PIECE_SAMPLES]))) >= db_to_gain(_SILENT_DBFS)
            if loud:
                items.append(_Item(source, start, variant))
    return items


def _render(shard: _Shard) -> int:
    from wakelark.config import AugmentConfig

    chain = Chain(AugmentConfig.model_validate_json(shard.augment_json), beds=BedLibrary([]))
    records = np.zeros(len(shard.items), PIECE)
    for record, item in zip(records, shard.items, strict=True):
        audio = _audio(item, chain)
        record["logmel"] = log_mel(audio).T
        record["embeddings"] = embeddings(audio)
    write_atomically(shard.path, _npy(records))
    return len(records)


def _audio(item: _Item, chain: Chain) -> Int16Array:
    digest = item.source.digest if item.source else NOISE
    rng = view_rng(seed=0, view=item.variant, clip_id=f"trunk/{digest}/{item.start}")
    if item.source is None:
        noise = coloured_noise(rng.uniform(*_NOISE_SLOPE_DB), PIECE_SAMPLES, seed=int(rng.integers(2**31)))
        return to_int16(noise * np.float32(0.05))
    audio: Int16Array = np.load(item.source.path, mmap_mode="r")
    if item.variant == 0:
        return np.asarray(audio[item.start : item.start + PIECE_SAMPLES])
    speed = Speed(speed_range=SPEED_RANGE)
    drawn = speed.draw(rng)
    samples = int(np.ceil(PIECE_SAMPLES * (1 + SPEED_RANGE))) + 1
    piece = speed.apply(to_float(np.asarray(audio[item.start : item.start + samples])), drawn)
    piece = np.pad(piece, (0, max(0, PIECE_SAMPLES - piece.size)))[:PIECE_SAMPLES]
    return to_int16(chain.apply(piece, chain.draw(rng)))


def _npy(records: NDArray) -> bytes:
    import io

    buffer = io.BytesIO()
    np.save(buffer, records, allow_pickle=False)
    return buffer.getvalue()
