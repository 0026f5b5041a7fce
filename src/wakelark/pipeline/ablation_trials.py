"""What every run of a phrase is tested on: clips with the phrase, clean and in noise, and recordings without it.

Features are computed once and kept; a student is then tested in seconds. Clips are placed and mixed exactly as
`wakelark evaluate` does it, with its default seed.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wakelark.audio import SAMPLE_RATE, BadAudio, to_int16
from wakelark.config import Config, EvaluationConfig
from wakelark.corpus.cache import cache_folder, content_key, write_atomically
from wakelark.errors import DataError
from wakelark.evaluation.events import Float64Array, smooth, smoothing_steps
from wakelark.evaluation.stream import stream_events
from wakelark.export.front_ends import LAG_FRAMES
from wakelark.pipeline.clip_lists import clip_source, read_clips
from wakelark.pipeline.corpus import Corpus
from wakelark.pipeline.development import clips_in_a_row
from wakelark.pipeline.evaluate import EVENT_FLOOR, test_noise
from wakelark.pipeline.networks import Features, Network, TinyNetwork
from wakelark.pipeline.scoring import clip_trial
from wakelark.pipeline.sources import ClipSource
from wakelark.training.clip_audio import ClipReader
from wakelark.training.clip_features import ClipFeatures, compute_clip_features
from wakelark.training.stream_features import FEATURE_VERSION, Progress, StreamFeatures, compute_stream_features

SNR_DB = 10.0
_NOISE_SEED = 0
_TRIAL_VERSION = 1


@dataclass(frozen=True, slots=True)
class HeldOutTrial:
    """Features of a clip with near-silence around it, and when a detection is a hit."""

    features: ClipFeatures
    hit_from_s: float
    hit_until_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldOutSet:
    """The test material of a phrase.

    Attributes:
        what: the positives in words.
        clean, noisy: the same clips.
        streams: recordings without the phrase.
        seconds: length of each recording, without the gaps between its files.
        key: of all of it.
    """

    what: str
    clean: Sequence[HeldOutTrial]
    noisy: Sequence[HeldOutTrial]
    streams: Sequence[StreamFeatures]
    seconds: Sequence[float]
    key: str

    @property
    def hours(self) -> float:
        """Length of all recordings."""
        return sum(self.seconds) / 3600


@dataclass(frozen=True, slots=True, eq=False)
class HeldOutScores:
    """What a network says of a test set.

    Shape: `clean`, `noisy` `[P]`; `recording`, `time_s`, `score` `[E]`, of all events from `EVENT_FLOOR` up
    """

    clean: Float64Array
    noisy: Float64Array
    recording: np.ndarray
    time_s: Float64Array
    score: Float64Array


def prepare_held_out(
    config: Config, corpus: Corpus, positives: Path | None, folder: Path, *, progress: Progress
) -> HeldOutSet:
    """Compute, or find in `folder`, the features of the test material.

    Args:
        config: of the phrase.
        corpus: its test recordings are the negatives; without any, its test sentences are, in a row.
        positives: a folder or a list of clips with the phrase; None for the corpus' own test clips, which are spoken by
            synthetic voices.
        folder: where the features of the clips are kept.
        progress: called with (done, total, what).

    Raises:
        DataError: no positives, or a file that cannot be read.
    """
    if positives is None:
        what = "synthetic voices held out of training"
        clips = [clip_source(clip) for clip in corpus.of("test") if clip.label == 1]
    else:
        what, clips = f"recordings in {positives.name}", read_clips(positives, split="test", label=1).sources
    if not clips:
        raise DataError(f"no test clips of {config.phrase!r}: give recordings with --positives")
    key = content_key(
        _TRIAL_VERSION, FEATURE_VERSION, _NOISE_SEED, SNR_DB,
        [(clip.name, _version(clip.path), clip.start, clip.samples, clip.word_end_s) for clip in clips],
        [stream.sha256 for stream in corpus.roles("test")],
    )  # fmt: skip
    file = folder / f"trials-{key[:12]}.npz"
    if not file.is_file():
        write_atomically(file, _packed(_trials(config, corpus, clips, progress)))
    trials = _unpacked(file)
    streams = _streams(config, corpus, progress)
    seconds = [stream.seconds for stream in corpus.roles("test")] or [streams[0].samples / SAMPLE_RATE]
    return HeldOutSet(
        what=what, clean=trials[: len(clips)], noisy=trials[len(clips) :], streams=streams, seconds=seconds, key=key
    )


def score_held_out(network: Network, test: HeldOutSet, evaluation: EvaluationConfig) -> HeldOutScores:
    """Score all trials and recordings; by the same rules as `wakelark evaluate`, from features."""
    listener = _Listener(network, smoothing_steps(step_s=network.step_s, smoothing_s=evaluation.smoothing_s))
    found = [
        stream_events(
            listener.scores(stream), step_s=network.step_s, smoothing_steps=listener.smoothing_steps,
            refractory_s=evaluation.refractory_s, floor=EVENT_FLOOR,
        )
        for stream in test.streams
    ]  # fmt: skip
    recordings = [np.full(len(events), number, np.int64) for number, events in enumerate(found)]
    # stream_events counts steps from the first score; that step ends at first_s.
    start_s = listener.first_s - network.step_s
    return HeldOutScores(
        clean=np.array([listener.hit_score(trial) for trial in test.clean]),
        noisy=np.array([listener.hit_score(trial) for trial in test.noisy]),
        recording=np.concatenate(recordings),
        time_s=np.concatenate([events.times_s + start_s for events in found]),
        score=np.concatenate([events.scores for events in found]),
    )


@dataclass(frozen=True, slots=True)
class _Frames:
    logmel: NDArray[np.float16]
    embeddings: NDArray[np.float16]


class _Listener:
    """A network whose steps lie where those of its file lie that listens from the start of the audio.

    A student is not the same at every phase of its 40 ms; the file's steps end at whole multiples of them. For the
    teacher, whose embeddings are computed from the start of the audio, the phase is left as it is.
    """

    def __init__(self, network: Network, smoothing_steps: int) -> None:
        self.network, self.smoothing_steps = network, smoothing_steps
        self.skipped, self.first_s = 0, network.first_s
        if isinstance(network, TinyNetwork):
            # Step n of the file ends with frame `stride (n + 1) - LAG_FRAMES - 1` of the audio.
            self.skipped = (-LAG_FRAMES - network.receptive) % network.stride
            steps = (self.skipped + network.receptive + LAG_FRAMES) // network.stride
            self.first_s = steps * network.step_s

    def scores(self, features: Features) -> Float64Array:
        return self.network.scores(_Frames(features.logmel[self.skipped :], features.embeddings))

    def hit_score(self, trial: HeldOutTrial) -> float:
        smoothed = smooth(self.scores(trial.features), self.smoothing_steps)
        times_s = self.first_s + np.arange(len(smoothed)) * self.network.step_s
        inside = (times_s >= trial.hit_from_s - 1e-9) & (times_s <= trial.hit_until_s + 1e-9)
        return float(smoothed[inside].max()) if inside.any() else 0.0


def _trials(config: Config, corpus: Corpus, clips: Sequence[ClipSource], progress: Progress) -> list[HeldOutTrial]:
    noise = test_noise(SNR_DB, corpus.roles("test"))
    beds = [np.load(path, mmap_mode="r") for path in noise.recordings]
    try:
        placed = [
            clip_trial(clip, noise=under, recordings=beds, seed=_NOISE_SEED)
            for under in (None, noise)
            for clip in clips
        ]
    except BadAudio as error:
        raise DataError(f"a test clip cannot be read: {error}; take it out and start again") from error
    features = compute_clip_features(
        [to_int16(trial.audio) for trial in placed], workers=config.training.processes, progress=progress,
        what="features of the test clips",
    )  # fmt: skip
    return [
        HeldOutTrial(found, trial.hit_from_s, trial.hit_until_s) for found, trial in zip(features, placed, strict=True)
    ]


def _streams(config: Config, corpus: Corpus, progress: Progress) -> list[StreamFeatures]:
    streams = [(stream.name, cache_folder() / stream.path) for stream in corpus.roles("test")]
    if streams:
        return compute_stream_features(streams, workers=config.training.processes, progress=progress)
    audio = clips_in_a_row(corpus.of("test", "sentence"), ClipReader(cache_folder()), seed=[7])
    if not audio.size:
        raise DataError(
            "no test recordings and no test sentences: false alarms cannot be counted; run `wakelark fetch`"
        )
    found = compute_clip_features([audio], workers=1, progress=progress, what="synthetic test sentences")[0]
    return [StreamFeatures("synthetic sentences", len(audio), found.logmel, found.embeddings)]


def _version(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns


def _packed(trials: Sequence[HeldOutTrial]) -> bytes:
    buffer = io.BytesIO()
    np.savez(
        buffer,
        logmel=np.concatenate([trial.features.logmel for trial in trials]),
        embeddings=np.concatenate([trial.features.embeddings for trial in trials]),
        frames=np.array([len(trial.features.logmel) for trial in trials]),
        steps=np.array([len(trial.features.embeddings) for trial in trials]),
        hits=np.array([(trial.hit_from_s, trial.hit_until_s) for trial in trials]),
    )
    return buffer.getvalue()


def _unpacked(file: Path) -> list[HeldOutTrial]:
    with np.load(file) as data:
        logmel = np.split(data["logmel"], np.cumsum(data["frames"])[:-1])
        embeddings = np.split(data["embeddings"], np.cumsum(data["steps"])[:-1])
        return [
            HeldOutTrial(ClipFeatures(mel, embedded), float(first), float(last))
            for mel, embedded, (first, last) in zip(logmel, embeddings, data["hits"], strict=True)
        ]
