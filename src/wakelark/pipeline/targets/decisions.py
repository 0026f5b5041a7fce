"""What a smaller form of a model costs: misses and false alarms of two files on the same clips and recordings."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from wakelark.audio import BadAudio
from wakelark.corpus.cache import cache_folder
from wakelark.corpus.streams import read_stream
from wakelark.errors import DataError
from wakelark.evaluation.groups import ScoredClip
from wakelark.peers.listener import Listener
from wakelark.pipeline.backgrounds import stream_source
from wakelark.pipeline.evaluate import EVENT_FLOOR, summary
from wakelark.pipeline.scoring import Progress, score_clips, score_streams
from wakelark.pipeline.sources import StreamSource
from wakelark.pipeline.targets.finished_run import FinishedRun

MOST_HOURS = 1.0
"""Of recordings, unless asked otherwise."""
MOST_POINTS = 1.0
"""A smaller form of a model may miss at most this many percentage points more than what it was made from."""
_FLOOR = 0.05
"""Quieter events decide nothing here."""
_EXPECTED = (
    "positives", "missed", "miss_rate", "miss_rate_ci", "hours", "false_alarms", "fa_per_hour", "fa_per_hour_ci",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Decisions:
    """What a model file did at its own threshold.

    Attributes:
        clips: with the phrase.
        missed: of them.
        hours: of recordings without it.
        alarms: false ones in them.
    """

    clips: int
    missed: int
    hours: float
    alarms: int


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


def allowed_points(clips: int) -> float:
    """How many points of miss rate more are allowed on so many clips: `MOST_POINTS`, or one clip where that is more.

    >>> allowed_points(250), allowed_points(25)
    (1.0, 4.0)
    """
    return max(MOST_POINTS, 100 / clips)


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
    old, new = (
        hear(run, path, most_clips=most_clips, most_hours=most_hours, progress=progress) for path in (before, after)
    )
    return Change(
        clips=old.clips, missed=new.missed, missed_before=old.missed, hours=old.hours, alarms=new.alarms,
        alarms_before=old.alarms,
    )  # fmt: skip


def hear(
    run: FinishedRun,
    model: Path,
    *,
    progress: Progress,
    most_clips: int | None = None,
    most_hours: float = MOST_HOURS,
) -> Decisions:
    """Let a model file hear what `compare` lets two hear.

    Raises:
        DataError: a clip or a recording cannot be read.
    """
    listener, workers = Listener(model=model), run.config.training.processes
    threshold = listener.load().facts.threshold

    def named(done: int, total: int, what: str) -> None:
        progress(done, total, f"{model.name}: {what}")

    sources = run.positives("dev", "test")
    if most_clips is not None and len(sources) > most_clips:
        sources = [sources[round(place)] for place in np.linspace(0, len(sources) - 1, most_clips)]
    streams = _recordings(run, most_hours) if most_hours > 0 else []
    clips, refused = score_clips(listener, sources, noise=None, seed=run.config.seed, workers=workers, progress=named)
    heard, unheard = score_streams(listener, streams, floor=_FLOOR, workers=workers, progress=named)
    _check_read([*refused, *unheard])
    return Decisions(
        clips=len(clips), missed=sum(clip.score < threshold for clip in clips),
        hours=sum(stream.seconds for stream in heard) / 3600,
        alarms=sum(int(np.count_nonzero(stream.events.scores >= threshold)) for stream in heard),
    )  # fmt: skip


def expect(run: FinishedRun, model: Path, *, progress: Progress) -> tuple[Decisions, dict[str, object]]:
    """What a file does that the run's report does not know: on the development and test clips together, and what to
    expect of it, on the test clips and all test recordings alone.

    Returns:
        The second has the keys of "realised" in report.json.

    Raises:
        DataError: a clip or a recording cannot be read.
    """
    listener, workers, seed = Listener(model=model), run.config.training.processes, run.config.seed
    threshold = listener.load().facts.threshold
    scored: dict[str, list[ScoredClip]] = {}
    for split in ("dev", "test"):
        scored[split], refused = score_clips(
            listener, run.positives(split), noise=None, seed=seed, workers=workers, progress=progress
        )
        _check_read(refused)
    streams, refused = score_streams(
        listener, _recordings(run, float("inf")), floor=EVENT_FLOOR, workers=workers, progress=progress
    )
    _check_read(refused)
    figures = summary(scored["test"], streams, threshold=threshold, seed=seed) if scored["test"] else {}
    clips = [*scored["dev"], *scored["test"]]
    found = Decisions(
        clips=len(clips), missed=sum(clip.score < threshold for clip in clips), hours=figures.get("hours", 0.0),
        alarms=figures.get("false_alarms", 0),
    )  # fmt: skip
    return found, {name: figures[name] for name in _EXPECTED if name in figures}


def _check_read(refused: list[BadAudio]) -> None:
    if refused:
        raise DataError(f"a clip of the run cannot be read: {refused[0]}; run with --resume to make it")


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
