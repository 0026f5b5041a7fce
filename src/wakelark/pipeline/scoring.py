"""Scores clips and recordings with a model file, or with two of them, on all cores: what evaluation, report and
benchmark are made from.

The model may be another project's (`wakelark.peers.load`): everything but the scores is the same for all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np

from wakelark.audio import SAMPLE_RATE, BadAudio, Int16Array
from wakelark.corpus.worker_pool import run_in_processes
from wakelark.evaluation.events import find_events, live_alarms
from wakelark.evaluation.groups import ScoredClip, ScoredStream
from wakelark.evaluation.stream import hit_score
from wakelark.evaluation.trace import trace_of
from wakelark.peers.listener import Listener
from wakelark.peers.own import judge_of
from wakelark.peers.scorer import Scorer
from wakelark.pipeline.sources import STREAM_BLOCK, ClipSource, NoiseSource, StreamSource, clip_trial

Progress = Callable[[int, int, str], None]
Task = TypeVar("Task")
Result = TypeVar("Result")

_CLIPS_PER_TASK = 24


def score_clips(
    listener: Listener,
    sources: Sequence[ClipSource],
    *,
    noise: NoiseSource | None,
    seed: int,
    workers: int,
    progress: Progress,
) -> tuple[list[ScoredClip], list[BadAudio]]:
    """Score clips, each surrounded by near-silence, in the order given; what cannot be read is returned beside.

    Args:
        listener: what hears them.
        sources: the clips.
        noise: put under every clip; None for clean.
        seed: of the near-silence and the noise; a clip's draw depends on it and on the clip's audio alone.
        workers: processes.
        progress: called with (clips done, clips, what).
    """
    tasks = [list(sources[start : start + _CLIPS_PER_TASK]) for start in range(0, len(sources), _CLIPS_PER_TASK)]
    jobs = [_ClipJob(task, noise, seed) for task in tasks]
    scored: list[ScoredClip] = []
    refused: list[BadAudio] = []
    label = "clips scored" if noise is None else f"clips scored at {noise.snr_db:g} dB"
    for results in _in_processes(
        listener, _score_clip_job, jobs, [len(task) for task in tasks], workers, progress, label
    ):
        scored += [result for result in results if isinstance(result, ScoredClip)]
        refused += [result for result in results if isinstance(result, BadAudio)]
    return scored, refused


def score_streams(
    listener: Listener, sources: Sequence[StreamSource], *, floor: float, workers: int, progress: Progress
) -> tuple[list[ScoredStream], list[BadAudio]]:
    """Find all events of `floor` or more in recordings, in the order given; what cannot be read is returned beside."""
    # Short files go together: a task costs more than a few seconds of audio.
    tasks = _packed(sources)
    jobs = [_StreamJob(task, floor) for task in tasks]
    scored: list[ScoredStream] = []
    refused: list[BadAudio] = []
    weights = [len(task) for task in tasks]
    for results in _in_processes(listener, _score_stream_job, jobs, weights, workers, progress, "recordings scored"):
        scored += [result for result in results if isinstance(result, ScoredStream)]
        refused += [result for result in results if isinstance(result, BadAudio)]
    return scored, refused


@dataclass(frozen=True, slots=True)
class _ClipJob:
    clips: list[ClipSource]
    noise: NoiseSource | None
    seed: int


@dataclass(frozen=True, slots=True)
class _StreamJob:
    streams: list[StreamSource]
    floor: float


def _score_clip_job(scorer: Scorer, job: _ClipJob) -> list[ScoredClip | BadAudio]:
    recordings = [np.load(path, mmap_mode="r") for path in job.noise.recordings] if job.noise else []
    return [_score_clip(scorer, clip, job.noise, recordings, job.seed) for clip in job.clips]


def _score_clip(
    scorer: Scorer, clip: ClipSource, noise: NoiseSource | None, recordings: list[Int16Array], seed: int
) -> ScoredClip | BadAudio:
    try:
        trial = clip_trial(clip, noise=noise, recordings=recordings, seed=seed)
    except BadAudio as error:
        return error
    scorer.reset()
    scores = np.array(scorer.follow(trial.audio))
    step_s, first_s = scorer.facts.step_s, scorer.facts.first_s
    return ScoredClip(
        file=clip.name, score=hit_score(scores, trial, step_s=step_s, first_s=first_s), speaker=clip.speaker,
        engine=clip.engine, kind=clip.kind, text=clip.text,
        trace=trace_of(scores, trial, step_s=step_s, first_s=first_s),
    )  # fmt: skip


def _score_stream_job(scorer: Scorer, job: _StreamJob) -> list[ScoredStream | BadAudio]:
    return [_score_stream(scorer, stream, job.floor) for stream in job.streams]


def _score_stream(scorer: Scorer, stream: StreamSource, floor: float) -> ScoredStream | BadAudio:
    scorer.reset()
    decisive: list[np.ndarray] = [np.zeros(0)]
    samples = 0
    try:
        for block in stream.blocks():
            samples += len(block)
            decisive.append(np.array(scorer.follow(block)))
    except BadAudio as error:
        return error
    scores = np.concatenate(decisive)
    facts, judge = scorer.facts, judge_of(scorer)
    rule = {"step_s": facts.step_s, "refractory_s": facts.event_gap_s}
    return ScoredStream(
        name=stream.name,
        kind=stream.kind,
        seconds=samples / SAMPLE_RATE if stream.seconds is None else stream.seconds,
        events=find_events(scores, floor=floor, first_s=facts.first_s, **rule),
        synthetic=stream.synthetic,
        live_alarms=len(live_alarms(scores, threshold=facts.threshold, **rule)),
        judge_wakes=judge.wakes if judge else 0,
        judge_heard_s=judge.heard_s if judge else 0.0,
        parts=stream.parts,
    )


_scorer: Scorer | None = None
"""Of a worker process: loaded once when the process starts."""


def _start_worker(listener: Listener) -> None:
    global _scorer
    _scorer = listener.load()


def _run_in_worker(function: Callable[[Scorer, Task], Result], task: Task) -> Result:
    assert _scorer is not None, "the pool starts every worker with _start_worker"
    return function(_scorer, task)


def _in_processes(
    listener: Listener,
    function: Callable[[Scorer, Task], Result],
    tasks: Sequence[Task],
    weights: Sequence[int],
    workers: int,
    progress: Progress,
    label: str,
) -> Iterable[Result]:
    """`function(scorer, task)` of every task, in order; in this process when one worker is enough."""
    total = sum(weights)
    if total:
        progress(0, total, label)
    found: dict[int, Result] = {}
    done = 0

    def keep(number: int, result: Result) -> None:
        nonlocal done
        found[number] = result
        done += weights[number]
        progress(done, total, label)

    if workers <= 1 or len(tasks) <= 1:
        scorer = listener.load()
        for number, task in enumerate(tasks):
            keep(number, function(scorer, task))
    else:
        run_in_processes(
            partial(_run_in_worker, function), tasks, workers=workers, start=partial(_start_worker, listener),
            on_result=keep,
        )  # fmt: skip
    return [found[number] for number in range(len(tasks))]


def _packed(sources: Sequence[StreamSource]) -> list[list[StreamSource]]:
    tasks: list[list[StreamSource]] = []
    size = 0
    for source in sources:
        length = _length(source.path)
        if not tasks or size + length > 10 * STREAM_BLOCK or len(tasks[-1]) >= 100:
            tasks.append([])
            size = 0
        tasks[-1].append(source)
        size += length
    return tasks


def _length(path: Path) -> int:
    """About how many samples a file holds, from its size."""
    try:
        return path.stat().st_size // 2
    except OSError:
        return 0
