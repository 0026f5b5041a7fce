"""What a smaller form of a model costs: misses and false alarms of two files on the same clips and recordings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from wakelark.corpus.cache import cache_folder
from wakelark.corpus.streams import read_stream
from wakelark.errors import DataError
from wakelark.peers.listener import Listener
from wakelark.pipeline.backgrounds import stream_source
from wakelark.pipeline.scoring import Progress, score_clips, score_streams
from wakelark.pipeline.sources import ClipSource, StreamSource
from wakelark.pipeline.targets.finished_run import FinishedRun

MOST_HOURS = 1.0
"""Of recordings, unless asked otherwise."""
_FLOOR = 0.05
"""Quieter events decide nothing here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """Two forms of a model on the same audio, each at its own threshold.

    Attributes:
        clips: development and test clips with the phrase.
        missed, missed_before: of them, by the new form and by the one it was made from.
        hours: of test recordings without the phrase.
        alarms, alarms_before: false alarms in them.
    """

    clips: int
    missed: int
    missed_before: int
    hours: float
    alarms: int
    alarms_before: int

    @property
    def points(self) -> float:
        """How much more it misses, in percentage points; below 0 where it misses less."""
        return 100 * (self.missed - self.missed_before) / self.clips

    def facts(self) -> dict[str, object]:
        """Ready for JSON; of the false alarms only where recordings were heard."""
        clips: dict[str, object] = {
            "clips": self.clips, "missed": self.missed, "missed_before": self.missed_before,
            "miss_rate_points": round(self.points, 3),
        }  # fmt: skip
        if self.hours == 0:
            return clips
        return clips | {
            "hours": round(self.hours, 3), "false_alarms": self.alarms, "false_alarms_before": self.alarms_before,
        }  # fmt: skip


def compare(
    run: FinishedRun,
    before: Path,
    after: Path,
    *,
    progress: Progress,
    most_clips: int | None = None,
    most_hours: float = MOST_HOURS,
) -> Change:
    """Let two model files hear the run's development and test clips of the phrase, and its test recordings.

    Args:
        run: whose clips are still in the cache.
        before, after: any files that `Listener` takes.
        progress: called with (done, total, what).
        most_clips: so many, evenly spread over all; None for all.
        most_hours: recordings are heard, the shortest first, until this is reached; 0 for none.

    Raises:
        DataError: a clip or a recording cannot be read.
    """
    clips = run.positives("dev", "test")
    if most_clips is not None and len(clips) > most_clips:
        clips = [clips[round(place)] for place in np.linspace(0, len(clips) - 1, most_clips)]
    streams = _recordings(run, most_hours) if most_hours > 0 else []
    old, new = (_heard(run, path, clips, streams, progress) for path in (before, after))
    return Change(clips=old[0], missed=new[1], missed_before=old[1], hours=old[2], alarms=new[3], alarms_before=old[3])


def _heard(
    run: FinishedRun, model: Path, sources: Sequence[ClipSource], streams: Sequence[StreamSource], progress: Progress
) -> tuple[int, int, float, int]:
    """(clips, missed, hours, false alarms) of one file."""
    listener, workers = Listener(model=model), run.config.training.processes
    threshold = listener.load().facts.threshold

    def named(done: int, total: int, what: str) -> None:
        progress(done, total, f"{model.name}: {what}")

    clips, refused = score_clips(listener, sources, noise=None, seed=run.config.seed, workers=workers, progress=named)
    heard, unheard = score_streams(listener, streams, floor=_FLOOR, workers=workers, progress=named)
    if refused or unheard:
        raise DataError(f"a clip of the run cannot be read: {(refused or unheard)[0]}; run with --resume to make it")
    alarms = sum(int(np.count_nonzero(stream.events.scores >= threshold)) for stream in heard)
    missed = sum(clip.score < threshold for clip in clips)
    return len(clips), missed, sum(stream.seconds for stream in heard) / 3600, alarms


def _recordings(run: FinishedRun, most_hours: float) -> list[StreamSource]:
    """Test recordings of the run, the shortest first, up to about `most_hours`."""
    paths = {cache_folder() / clip.path for clip in run.clips if clip.is_stream and clip.split == "test"}
    found = [read_stream(path.with_suffix(".json")) for path in sorted(paths)]
    streams = [stream_source(stream) for stream in found if stream is not None]
    taken: list[StreamSource] = []
    for stream in sorted(streams, key=lambda stream: stream.seconds or 0.0):
        taken.append(stream)
        if sum(item.seconds or 0.0 for item in taken) >= most_hours * 3600:
            break
    return taken
