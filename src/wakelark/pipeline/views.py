"""Stage "views": training windows with features, and the development set. All phrases share the recordings' part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from wakelark.audio import SAMPLE_RATE, Int16Array, to_float, to_int16
from wakelark.augment.beds import BedLibrary
from wakelark.augment.chain import Chain
from wakelark.config import Config
from wakelark.corpus.cache import cache_folder, content_key
from wakelark.corpus.clip import Clip
from wakelark.corpus.streams import Stream
from wakelark.evaluation.stream import HIT_AFTER_S, HIT_BEFORE_S
from wakelark.pipeline.corpus import Corpus
from wakelark.pipeline.development import DevelopmentSet, PositiveTrial, clips_in_a_row, trial_audio
from wakelark.pipeline.development_gate import DevelopmentGate
from wakelark.pipeline.mining import TrainStream
from wakelark.training.clip_audio import ClipReader
from wakelark.training.clip_features import compute_clip_features
from wakelark.training.recording_windows import recording_windows
from wakelark.training.render import bed_sources, render_views
from wakelark.training.stream_features import Progress, StreamFeatures, compute_stream_features
from wakelark.training.view_store import ViewStore

LEAD_S = 2.2
TAIL_S = 1.3
_SHARED_SEED = 0
"""Recordings are cut and augmented alike in every run, so that all phrases share them."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """What training and selection work on."""

    store: ViewStore
    development: DevelopmentSet
    train_streams: Sequence[TrainStream]
    data_key: str


def prepare(config: Config, corpus: Corpus, folder: Path, *, progress: Progress) -> Prepared:
    """Render all training views and compute the features of the development set; what is there already is kept."""
    store = ViewStore.concat(
        [_phrase_views(config, corpus, folder, progress), recording_views(config, corpus, progress)]
    )
    streams = [stream for stream in corpus.streams if stream.role in ("train", "dev")]
    features = compute_stream_features(
        [(stream.name, cache_folder() / stream.path) for stream in streams],
        workers=config.training.processes, progress=progress,
    )  # fmt: skip
    lines = {clip.path: clip for clip in corpus.clips if clip.is_stream}
    train = [
        TrainStream(lines[stream.path], found)
        for stream, found in zip(streams, features, strict=True) if stream.role == "train"
    ]  # fmt: skip
    dev = [(found, stream) for stream, found in zip(streams, features, strict=True) if stream.role == "dev"]
    return Prepared(
        store=store,
        development=_development(config, corpus, dev, progress),
        train_streams=train,
        data_key=content_key([path.name for path in store.shards], store.clip.tolist()[-1:], len(store)),
    )


def recording_views(config: Config, corpus: Corpus, progress: Progress) -> ViewStore:
    """The windows of the training recordings, in the shared cache."""
    windows = recording_windows(corpus.roles("train"), seed=_SHARED_SEED, speed_range=config.augment.speed_range)
    return render_views(
        windows, neighbours=[], beds=bed_sources(corpus.roles("train")), config=config.augment, seed=_SHARED_SEED,
        out=cache_folder() / "views", workers=config.training.processes,
        progress=lambda done, total, _: progress(done, total, "views of the recordings"),
    )  # fmt: skip


def _phrase_views(config: Config, corpus: Corpus, folder: Path, progress: Progress) -> ViewStore:
    clips = corpus.of("train")
    return render_views(
        clips, neighbours=clips, beds=bed_sources(corpus.roles("train")), config=config.augment, seed=config.seed,
        out=folder, workers=config.training.processes,
        progress=lambda done, total, _: progress(done, total, "views of the phrase"),
    )  # fmt: skip


def mined_views(
    config: Config, corpus: Corpus, mined: Sequence[Clip], folder: Path, *, progress: Progress
) -> ViewStore:
    """Views of mined clips: as many per event as `mining.views_per_event`."""
    augment = config.augment.model_copy(update={"views_per_negative": config.mining.views_per_event})
    return render_views(
        mined, neighbours=[], beds=bed_sources(corpus.roles("train")), config=augment, seed=config.seed, out=folder,
        workers=config.training.processes,
        progress=lambda done, total, _: progress(done, total, "views of mined events"),
    )  # fmt: skip


def development_positives(config: Config, corpus: Corpus) -> tuple[list[Clip], list[Int16Array]]:
    """The clips that development hears, and two trials of each, one after the other: as it is, and augmented.

    In every trial the clip starts after `LEAD_S` of near-silence.
    """
    clips = [clip for clip in corpus.of("dev") if clip.label == 1]
    if not clips:
        # One voice, or own recordings of one person: better the training voices than no selection at all.
        clips = [clip for clip in corpus.of("train") if clip.label == 1][:: max(1, len(corpus.of("train")) // 60)]
    reader = ClipReader(cache_folder())
    beds = BedLibrary(
        [(np.load(cache_folder() / bed.path, mmap_mode="r"), bed.kind) for bed in bed_sources(corpus.roles("train"))]
    )
    chain = Chain(config.augment, beds=beds)
    audio: list[Int16Array] = []
    for number, clip in enumerate(clips):
        for augmented in (False, True):
            rng = np.random.default_rng([config.seed, 2, number, augmented])
            trial = trial_audio(to_int16(reader.read(clip)), rng=rng, lead_s=LEAD_S, tail_s=TAIL_S)
            audio.append(_augment(trial, clip, chain, rng) if augmented else trial)
    return clips, audio


def phrase_end_s(clip: Clip) -> float:
    """When the phrase ends in a trial of `development_positives`."""
    return LEAD_S + (clip.samples if clip.phrase_end is None else clip.phrase_end) / SAMPLE_RATE


def development_row(config: Config, corpus: Corpus) -> Int16Array:
    """What stands in for development recordings where there are none: synthetic sentences and near misses of held-out
    voices, one after the other. Shape: `-> [N]`"""
    negatives = [clip for clip in corpus.of("dev") if clip.label == 0]
    return clips_in_a_row(negatives, ClipReader(cache_folder()), seed=[config.seed, 3])


def _development(
    config: Config, corpus: Corpus, recordings: Sequence[tuple[StreamFeatures, Stream]], progress: Progress
) -> DevelopmentSet:
    if not any(clip.label == 1 for clip in corpus.of("dev")):
        corpus.warnings.append("no voices are left for development: models are selected on training voices")
    clips, audio = development_positives(config, corpus)
    features = compute_clip_features(
        audio, workers=config.training.processes, progress=progress, what="features of the development clips"
    )
    trials = []
    for index, found in enumerate(features):
        end_s = phrase_end_s(clips[index // 2])
        trials.append(PositiveTrial(found, end_s - HIT_BEFORE_S, end_s + HIT_AFTER_S, index // 2, bool(index % 2)))
    negatives = [found for found, _ in recordings]
    heard: Sequence[Int16Array | Path] = [cache_folder() / stream.path for _, stream in recordings]
    if not recordings and (joined := development_row(config, corpus)).size:
        negatives, heard = [_synthetic_negatives(joined, progress)], [joined]
    rule = config.evaluation
    gate = None
    if rule.gate_db > 0:
        gate = DevelopmentGate(gate_db=rule.gate_db, hold_s=rule.gate_hold_s, trials=audio, negatives=heard)
    return DevelopmentSet(trials, negatives, rule, gate)


def _augment(trial: Int16Array, clip: Clip, chain: Chain, rng: np.random.Generator) -> Int16Array:
    start = round(LEAD_S * SAMPLE_RATE)
    params = chain.draw(rng)
    return to_int16(chain.apply(to_float(trial), params, speech=slice(start, start + clip.samples)))


def _synthetic_negatives(joined: Int16Array, progress: Progress) -> StreamFeatures:
    features = compute_clip_features([joined], workers=1, progress=progress, what="synthetic development negatives")[0]
    return StreamFeatures("synthetic", len(joined), features.logmel, features.embeddings)
