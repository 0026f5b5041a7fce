"""Rendering all views of a set of clips, in several processes, shard by shard, so that an interrupted run goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from wakelark.audio import to_float
from wakelark.augment.beds import BedLibrary
from wakelark.corpus.cache import cache_folder, content_key, write_atomically
from wakelark.corpus.clip import Clip
from wakelark.corpus.streams import Stream, read_stream
from wakelark.corpus.worker_pool import run_in_processes
from wakelark.errors import DataError
from wakelark.training.clip_audio import ClipReader, Neighbours
from wakelark.training.view_store import RECORD, ViewStore, shard_bytes, shard_is_complete
from wakelark.training.views import FULL_WINDOW, WINDOW_SAMPLES, render_view

if TYPE_CHECKING:
    from wakelark.config import AugmentConfig

VIEW_VERSION = 2
"""Raise it when views or front ends change, so that shards in the caches are made anew."""
SHARD_VIEWS = 128
_FEATURE_BATCH = 16

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True, slots=True)
class BedSource:
    """A recording to make beds of: its stream's file below the cache folder, and "music" or "speech"."""

    path: str
    kind: str


def bed_sources(streams: Sequence[Stream]) -> list[BedSource]:
    """The streams of the role "train" as sources of beds."""
    return [BedSource(stream.path, stream.kind) for stream in streams if stream.role == "train"]


@dataclass(frozen=True, slots=True)
class _Shard:
    path: Path
    items: tuple[tuple[Clip, int], ...]


def views_of(clip: Clip, config: AugmentConfig) -> int:
    """How many views a clip gets: recordings, of which there are many, one; the others what the configuration says."""
    if clip.kind in FULL_WINDOW and clip.kind != "mined":
        return 1
    return config.views_per_positive if clip.label == 1 else config.views_per_negative


def render_views(
    clips: Sequence[Clip],
    *,
    neighbours: Sequence[Clip],
    beds: Sequence[BedSource],
    config: AugmentConfig,
    seed: int,
    out: Path,
    workers: int,
    progress: Progress,
) -> ViewStore:
    """Render every view of every clip, with features, into shards below `out`; those that are there already are kept.

    A shard's name is the key of all that it depends on, so `out` may be shared by runs and phrases.

    Args:
        clips: what to render; `views_of` says how often.
        neighbours: clips whose sentences are put before and after others.
        beds: sound to put under them.
        config: the augmentation.
        seed: of the run.
        out: folder of the shards.
        workers: processes; 1 renders in this one.
        progress: called with the number of views done.

    Raises:
        DataError: a clip cannot be read.
        SetupError: the disk is full.
    """
    plan = list(_plan(clips, neighbours=neighbours, beds=beds, config=config, seed=seed, out=out))
    todo = [shard for shard in plan if not shard_is_complete(shard.path, len(shard.items))]
    total = sum(len(shard.items) for shard in plan)
    done = total - sum(len(shard.items) for shard in todo)
    if total:
        progress(done, total, "views")

    def count(_: int, views: int) -> None:
        nonlocal done
        done += views
        progress(done, total, "views")

    make = partial(_Renderer, cache_folder(), tuple(neighbours), tuple(beds), config.model_dump_json(), seed)
    if todo and (workers <= 1 or len(todo) == 1):
        renderer = make()
        for number, shard in enumerate(todo):
            count(number, renderer.render(shard))
    else:
        run_in_processes(_render_in_worker, todo, workers=workers, start=partial(_start_worker, make), on_result=count)
    return _store(clips, plan)


def _plan(
    clips: Sequence[Clip],
    *,
    neighbours: Sequence[Clip],
    beds: Sequence[BedSource],
    config: AugmentConfig,
    seed: int,
    out: Path,
) -> Iterator[_Shard]:
    """The shards. Recordings are kept apart, because they do not depend on the phrase's other clips."""
    surroundings = content_key([clip.id for clip in neighbours if clip.kind == "sentence"])
    # How many views there are says nothing about one of them, so presets share the views of the recordings.
    how = config.model_dump(exclude={"views_per_positive", "views_per_negative"})
    common = content_key(VIEW_VERSION, how, seed, [(source.kind, _digest(source)) for source in beds])
    for alone in (True, False):
        items = [
            (clip, view)
            for clip in clips
            if (clip.kind in FULL_WINDOW) == alone
            for view in range(views_of(clip, config))
        ]
        for first in range(0, len(items), SHARD_VIEWS):
            part = tuple(items[first : first + SHARD_VIEWS])
            key = content_key(common, "" if alone else surroundings, [[_identity(clip), view] for clip, view in part])
            yield _Shard(out / f"{key}.npy", part)


def _identity(clip: Clip) -> list[object]:
    """What a view depends on of its clip."""
    known = asdict(clip)
    for irrelevant in ("text", "licence", "source", "engine", "sex", "accent"):
        del known[irrelevant]
    return list(known.values())


def _digest(source: BedSource) -> str:
    stream = read_stream((cache_folder() / source.path).with_suffix(".json"))
    if stream is None:
        raise DataError(f"the recording {cache_folder() / source.path} is not there or not whole; run `wakelark fetch`")
    return stream.sha256


class _Renderer:
    """What one process needs to render shards."""

    def __init__(
        self, cache: Path, neighbours: tuple[Clip, ...], beds: tuple[BedSource, ...], config_json: str, seed: int
    ) -> None:
        from wakelark.config import AugmentConfig
        from wakelark.features.embedding import SpeechEmbedding
        from wakelark.features.logmel_torch import LogMel

        self._config = AugmentConfig.model_validate_json(config_json)
        self._seed = seed
        self._reader = ClipReader(cache)
        self._neighbours = Neighbours(neighbours, reader=self._reader)
        self._beds = BedLibrary([(np.load(cache / source.path, mmap_mode="r"), source.kind) for source in beds])
        self._logmel = LogMel()
        self._embedding = SpeechEmbedding()

    def render(self, shard: _Shard) -> int:
        """Make and write one shard; gives its number of views."""
        records = np.zeros(len(shard.items), RECORD)
        for index, (clip, view) in enumerate(shard.items):
            records["audio"][index] = render_view(
                self._reader.read(clip),
                clip=clip,
                view=view,
                seed=self._seed,
                beds=self._beds,
                config=self._config,
                neighbour=self._neighbours,
            )
        for first in range(0, len(records), _FEATURE_BATCH):
            self._add_features(records[first : first + _FEATURE_BATCH])
        write_atomically(shard.path, shard_bytes(records))
        return len(records)

    def _add_features(self, records: NDArray) -> None:
        import torch

        audio = to_float(records["audio"])
        with torch.inference_mode():
            records["logmel"] = self._logmel(torch.from_numpy(audio)).numpy()
        records["embeddings"] = self._embedding.embed(audio)


_worker: list[_Renderer] = []


def _start_worker(make: Callable[[], _Renderer]) -> None:
    import torch

    torch.set_num_threads(1)
    _worker.append(make())


def _render_in_worker(shard: _Shard) -> int:
    return _worker[0].render(shard)


def _store(clips: Sequence[Clip], plan: list[_Shard]) -> ViewStore:
    position = {clip: index for index, clip in enumerate(clips)}
    places = [
        (number, row, position[clip], view)
        for number, shard in enumerate(plan)
        for row, (clip, view) in enumerate(shard.items)
    ]
    columns = np.array(places, np.int32).reshape(-1, 4).T
    return ViewStore(
        shards=tuple(shard.path for shard in plan),
        shard=columns[0],
        row=columns[1],
        clips=tuple(clips),
        clip=columns[2],
        view=columns[3],
    )


assert RECORD["audio"].shape == (WINDOW_SAMPLES,)
