"""Speak many utterances on all cores, each once: results lie in the cache under the key of what was asked for."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from dataclasses import asdict, dataclass
from functools import cache, partial
from pathlib import Path

import numpy as np
import soundfile

from wakelark.audio import SAMPLE_RATE, Int16Array, to_int16
from wakelark.corpus.cache import cache_folder, content_key, write_once
from wakelark.corpus.clip import Clip
from wakelark.corpus.engines import ENGINES, Engine, Utterance, Voice, make_engine
from wakelark.corpus.engines.session import ORT_ERRORS
from wakelark.corpus.worker_pool import results_of
from wakelark.corpus.worker_process import prepare_worker
from wakelark.errors import DataError

_PROCESSING = 1  # counts changes of trimming, shifting and level that change the audio
_MOST_FAILED = 0.1
_CHUNK = {"kokoro": 2, "piper": 8, "flite": 12, "espeak": 32}  # jobs per trip to a worker: about a second
_MOST_CRASHES = 8

Progress = Callable[[int, int, str], None]
"""Called with how many are done, of how many, and what is being made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One clip to be spoken.

    Attributes:
        utterance, voice: what and by whom.
        kind: of the clip, see `clip.POSITIVE_KINDS` and `clip.NEGATIVE_KINDS`.
        label: 1 when the phrase is said.
        text: what the manifest says was said.
        split: "train", "dev" or "test", from the voice.
        hard_negative: 1 for what sounds like the phrase.
    """

    utterance: Utterance
    voice: Voice
    kind: str
    label: int
    text: str
    split: str
    hard_negative: int = 0


@dataclass(frozen=True, slots=True)
class Failure:
    """A clip that could not be made, and why."""

    text: str
    voice: str
    reason: str


@dataclass(frozen=True, slots=True)
class Spoken:
    """The clips, in the order of their jobs, and what failed."""

    clips: list[Clip]
    failed: list[Failure]


@dataclass(frozen=True, slots=True)
class _Sound:
    """A cached clip: what the manifest needs of it."""

    id: str
    samples: int


def synthesise(
    jobs: Sequence[Job], *, voices_dir: str | None, workers: int, progress: Progress, folder: Path | None = None
) -> Spoken:
    """Make every job's clip that is not in the cache yet.

    May be interrupted at any time and run again; what is done stays done.

    Args:
        jobs: what to speak; two equal ones make one clip.
        voices_dir: the user's folder of voices, or None.
        workers: processes; 1 works in this one.
        progress: called after each finished chunk.
        folder: the cache; `cache_folder()` when None.

    Raises:
        DataError: more than 10 % of the clips failed.
        SetupError: the cache cannot be written, or an engine's model does not load.
    """
    root = cache_folder() if folder is None else folder
    engines = {name: make_engine(name, voices_dir=voices_dir) for name in {job.voice.engine for job in jobs}}
    keys = [_key(job, engines[job.voice.engine]) for job in jobs]
    unique = dict(zip(keys, jobs, strict=True))
    sounds: dict[str, _Sound] = {}
    for key in unique:
        if (sound := _read_sound(root / speech_path(key))) is not None:
            sounds[key] = sound
    todo = {key: job for key, job in unique.items() if key not in sounds}
    progress(len(sounds), len(unique), "speech")
    reasons: dict[str, str] = {}
    for key, result in _speak_all(todo, voices_dir=voices_dir, root=root, workers=workers):
        if isinstance(result, _Sound):
            sounds[key] = result
        else:
            reasons[key] = result
        progress(len(sounds) + len(reasons), len(unique), "speech")
    failed = [Failure(unique[key].text, unique[key].voice.name, reason) for key, reason in reasons.items()]
    _check_failures(failed, total=len(unique))
    return Spoken(clips=_clips(unique, sounds, engines), failed=failed)


def speech_path(key: str) -> str:
    """Where a clip lies, relative to the cache.

    >>> speech_path("ab12")
    'speech/ab/ab12.flac'
    """
    return f"speech/{key[:2]}/{key}.flac"


def _key(job: Job, engine: Engine) -> str:
    voice = asdict(job.voice) | {"weight": 0, "sex": ""}  # what does not change the sound
    return content_key(_PROCESSING, engine.source, engine.identity(job.voice), voice, asdict(job.utterance))


def _check_failures(failed: list[Failure], *, total: int) -> None:
    if len(failed) > _MOST_FAILED * total:
        first = failed[0]
        raise DataError(
            f"{len(failed)} of {total} clips could not be spoken, for instance {first.text!r} by {first.voice}: "
            f"{first.reason}; listen with `wakelark say`, give another spelling with --pronunciation, or set that "
            "engine's number of positives to 0"
        )


def _speak_all(
    todo: dict[str, Job], *, voices_dir: str | None, root: Path, workers: int
) -> Iterator[tuple[str, _Sound | str]]:
    """Yield (key, clip or reason of failure) in the order of completion; survives workers that die."""
    if workers <= 1:
        for key, job in todo.items():
            yield key, _speak(job, key, voices_dir=voices_dir, root=root)
        return
    left = dict(todo)
    crashes = 0
    while left:
        # After a crash one worker goes on with one job at a time, so that the next crash names its job.
        careful = crashes > 0
        chunks = _chunks(left, single=careful)
        try:
            for key, result in _run_pool(chunks, voices_dir=voices_dir, root=root, workers=1 if careful else workers):
                del left[key]
                yield key, result
        except BrokenProcessPool as error:
            crashes += 1
            if crashes > _MOST_CRASHES:
                raise DataError(
                    f"synthesis processes died {crashes} times, most likely for lack of memory; close other programs, "
                    "or set corpus.kokoro_positives to 0, and run the same command again"
                ) from error
            if careful:
                key = next(iter(left))
                del left[key]
                yield key, "the synthesis process died"


def _chunks(jobs: dict[str, Job], *, single: bool) -> list[list[tuple[str, Job]]]:
    """Chunks of one engine each, slow engines first, so that no core waits at the end."""
    chunks: list[list[tuple[str, Job]]] = []
    for engine in ENGINES:
        own = [(key, job) for key, job in jobs.items() if job.voice.engine == engine]
        size = 1 if single else _CHUNK[engine]
        chunks += [own[start : start + size] for start in range(0, len(own), size)]
    return [list(jobs.items())[i : i + 1] for i in range(len(jobs))] if single else chunks


def _run_pool(
    chunks: list[list[tuple[str, Job]]], *, voices_dir: str | None, root: Path, workers: int
) -> Iterator[tuple[str, _Sound | str]]:
    speak = partial(_speak_chunk, voices_dir=voices_dir, root=root)
    # On Ctrl-C the chunks at work are finished (seconds) and kept.
    with closing(results_of(speak, chunks, workers=workers, start=prepare_worker)) as results:
        for _, spoken in results:
            yield from spoken


def _speak_chunk(chunk: list[tuple[str, Job]], *, voices_dir: str | None, root: Path) -> list[tuple[str, _Sound | str]]:
    return [(key, _speak(job, key, voices_dir=voices_dir, root=root)) for key, job in chunk]


@cache
def _worker_engine(name: str, voices_dir: str | None) -> Engine:
    return make_engine(name, voices_dir=voices_dir)


def _speak(job: Job, key: str, *, voices_dir: str | None, root: Path) -> _Sound | str:
    """Speak one job into the cache; a text that cannot be spoken gives the reason instead."""
    path = root / speech_path(key)
    if (sound := _read_sound(path)) is not None:
        return sound  # another run has spoken it since
    path.unlink(missing_ok=True)  # damaged
    engine = _worker_engine(job.voice.engine, voices_dir)
    try:
        audio = to_int16(engine.speak(job.utterance, job.voice))
    except (DataError, *ORT_ERRORS) as error:
        return str(error)
    file = io.BytesIO()
    soundfile.write(file, audio, SAMPLE_RATE, format="FLAC", subtype="PCM_16")
    write_once(path, file.getvalue())
    return _read_sound(path) or _sound(audio)  # engines do not repeat bit for bit: what lies there counts


def _sound(audio: Int16Array) -> _Sound:
    return _Sound(id=hashlib.sha256(audio.tobytes()).hexdigest()[:16], samples=audio.size)


def _read_sound(path: Path) -> _Sound | None:
    """A clip of the cache; None when it is absent or damaged, so that it is made again."""
    if not path.is_file():
        return None
    try:
        audio, rate = soundfile.read(path, dtype="int16")
    except soundfile.LibsndfileError:
        return None
    usable = rate == SAMPLE_RATE and audio.ndim == 1 and audio.size
    return _sound(np.asarray(audio, np.int16)) if usable else None


def _clips(unique: dict[str, Job], sounds: dict[str, _Sound], engines: dict[str, Engine]) -> list[Clip]:
    lengths = _alone_lengths(unique, sounds)
    clips: list[Clip] = []
    for key, job in unique.items():
        if key not in sounds:
            continue
        sound, engine = sounds[key], engines[job.voice.engine]
        start, end = _phrase_span(job, sound.samples, lengths)
        clips.append(
            Clip(
                id=sound.id,
                path=speech_path(key),
                samples=sound.samples,
                label=job.label,
                kind=job.kind,
                hard_negative=job.hard_negative,
                text=job.text,
                voice=job.voice.name,
                engine=job.voice.engine,
                source=engine.source,
                licence=engine.licence_of(job.voice),
                split=job.split,
                phrase_start=start,
                phrase_end=end,
                sex=job.voice.sex,
                accent=job.voice.accent,
            )
        )
    return clips


def _alone_lengths(unique: dict[str, Job], sounds: dict[str, _Sound]) -> dict[str, float]:
    """Per voice (and per engine, under its name) the mean length of the phrase alone at speed 1, in samples."""
    found: dict[str, list[float]] = {}
    for key, job in unique.items():
        if job.kind == "alone" and key in sounds:
            length = sounds[key].samples * job.utterance.speed
            found.setdefault(job.voice.name, []).append(length)
            found.setdefault(job.voice.engine, []).append(length)
    return {name: sum(lengths) / len(lengths) for name, lengths in found.items()}


def _phrase_span(job: Job, samples: int, lengths: dict[str, float]) -> tuple[int | None, int | None]:
    """Where the phrase is. Trimming left 20 ms around the speech, which count as a part of it here.

    At the end of a sentence the phrase ends with the clip; it starts about as much earlier as the same voice, else the
    same engine, takes for the phrase alone. Without such a clip the start is unknown.
    """
    if job.label == 0:
        return None, None
    if job.kind == "alone":
        return 0, samples
    length = lengths.get(job.voice.name, lengths.get(job.voice.engine))
    if length is None:
        return None, samples
    return max(0, samples - round(length / job.utterance.speed)), samples
