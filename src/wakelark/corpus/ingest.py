"""The user's own recordings: folders of any audio become clips, and long negatives become streams."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import re
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from wakelark.audio import (
    SAMPLE_RATE,
    BadAudio,
    Int16Array,
    check_regular,
    find_audio_files,
    find_other_files,
    printable,
)
from wakelark.corpus.cache import cache_folder, content_key, write_atomically
from wakelark.corpus.clip import Clip
from wakelark.corpus.decode import Decoded, decode_all, refused_if_changed, stamp_of
from wakelark.corpus.speech_span import speech_span
from wakelark.corpus.streams import Piece, Stream, read_stream, write_stream
from wakelark.errors import ConfigError, DataError

Progress = Callable[[int, int, str], None]
VoiceFrom = Literal["auto", "folder", "name", "file"]

MAX_POSITIVE_S = 10.0
MIN_CLIP_S = 0.2
STREAM_S = 30.0  # a longer negative is a stream
_STREAM_DEV_SHARE = 0.2
_INGEST_VERSION = 1


@dataclass(frozen=True, slots=True)
class IngestReport:
    """What became of a folder.

    Attributes:
        clips: one per usable file (files of equal content once).
        streams: long negatives, with role "train" or "dev"; empty for positives.
        skipped: files that are not used, each with its reason; printing one gives a sentence.
        duplicates: (file, the file it repeats).
        notes: what the user should know about the split.
        files: the file of every clip (by its id) and of every stream (by its name).
    """

    clips: tuple[Clip, ...]
    streams: tuple[Stream, ...]
    skipped: tuple[BadAudio, ...]
    duplicates: tuple[tuple[Path, Path], ...]
    notes: tuple[str, ...]
    files: Mapping[str, Path]


def ingest(
    folder: Path, *, label: int, dev_share: float, test_share: float, split_seed: int, voice_from: VoiceFrom,
    workers: int, progress: Progress,
) -> IngestReport:  # fmt: skip
    """Take a folder of recordings into the cache.

    Decoded audio is kept in the cache (`own/`) under the content of its source file, so a second run only reads.

    Args:
        folder: searched with its sub-folders.
        label: 1: every file is one utterance of the phrase, at most 10 s; 0: none of them holds it, any length.
        dev_share, test_share: shares of the voices that go to those splits.
        split_seed: another seed gives another split.
        voice_from: who speaks: the sub-"folder", the file "name" without its number ("anna_01.wav" is anna), or every
            "file" for itself; "auto" takes the folder when there are sub-folders, else the name.
        workers: processes that decode.
        progress: called with (files done, files in all, what).

    Raises:
        ConfigError: no such folder.
        DataError: it holds no audio, or none that can be used; the message lists why.
    """
    if not folder.is_dir():
        raise ConfigError(f"{printable(folder)}: no such folder; name a folder with recordings")
    paths = find_audio_files(folder)
    if not paths:
        raise DataError(
            f"{printable(folder)} holds no audio files; WAV, FLAC, Ogg, Opus, MP3, AIFF, AU and CAF are read"
        )
    report = ingest_files(
        paths, folder, label=label, dev_share=dev_share, test_share=test_share, split_seed=split_seed,
        voice_from=voice_from, workers=workers, progress=progress,
    )  # fmt: skip
    report = dataclasses.replace(report, skipped=(*report.skipped, *find_other_files(folder)))
    if not report.files:
        shown = "\n  ".join(str(error) for error in report.skipped[:10])
        raise DataError(f"none of the {len(paths)} files in {printable(folder)} can be used:\n  {shown}")
    return report


def ingest_files(
    paths: Sequence[Path], folder: Path, *, label: int, dev_share: float, test_share: float, split_seed: int,
    voice_from: VoiceFrom, workers: int, progress: Progress,
) -> IngestReport:  # fmt: skip
    """`ingest` of some files of a folder. That none of them can be used is no error here."""
    store = _Store(folder, label=label, workers=workers, progress=progress)
    store.fill(paths)
    voices = _voices(list(store.audio), folder, voice_from)
    splits = _split(voices, dev_share=dev_share, test_share=test_share, seed=split_seed)
    clips, streams, files = [], [], {}
    for path, key in store.audio.items():
        if store.is_stream(key):
            streams.append(_stream(key, path, folder, seed=split_seed))
            files[streams[-1].name] = path
        else:
            clips.append(store.clip(path, key, voice=voices[path], split=splits[voices[path]]))
            files[clips[-1].id] = path
    return IngestReport(
        tuple(clips), tuple(streams), tuple(store.skipped), tuple(store.duplicates), tuple(_notes(voices, splits)),
        files,
    )  # fmt: skip


class _Store:
    """Decodes what is not in the cache yet, checks it, and knows where it lies."""

    def __init__(self, folder: Path, *, label: int, workers: int, progress: Progress) -> None:
        self.audio: dict[Path, str] = {}
        self.skipped: list[BadAudio] = []
        self.duplicates: list[tuple[Path, Path]] = []
        self._spans: dict[Path, tuple[int, int]] = {}
        self._stamps: dict[Path, tuple[int, int]] = {}
        self._own = cache_folder() / "own"
        self._folder, self._label, self._workers, self._progress = folder, label, workers, progress

    def fill(self, paths: Sequence[Path]) -> None:
        keys: dict[Path, str] = {}
        for path in paths:
            try:
                check_regular(path)
                self._stamps[path] = stamp_of(path)
                keys[path] = _source_key(path)
            except BadAudio as error:
                self.skipped.append(error)
            except OSError as error:
                reason = "permission-denied" if isinstance(error, PermissionError) else "unreadable"
                self.skipped.append(BadAudio(path, reason, f"it cannot be read: {error.strerror}"))
        new = {key: path for path, key in reversed(keys.items()) if not self._in_cache(key)}
        refused = self._decode(list(new.items())[::-1])
        first: dict[str, Path] = {}
        for path, key in keys.items():
            if key in refused:
                self.skipped.append(BadAudio(path, refused[key].reason, refused[key].detail))
            else:
                self._take(path, key, first)

    def is_stream(self, key: str) -> bool:
        return (self._own / f"{key}.json").is_file()

    def clip(self, path: Path, key: str, *, voice: str, split: str) -> Clip:
        audio = self._load(key)
        start, end = self._spans.get(path, (None, None))
        return Clip(
            id=_digest(audio), path=f"own/{key}.flac", samples=len(audio), label=self._label,
            kind="own_positive" if self._label else "own_negative", voice=f"own/{voice}", source=self._folder.name,
            licence="own recording", split=split, phrase_start=start, phrase_end=end,
        )  # fmt: skip

    def _take(self, path: Path, key: str, first: dict[str, Path]) -> None:
        """Put a decoded file among the usable ones, or among the refused or the duplicates."""
        stream = self.is_stream(key)
        if stream and self._label:
            detail = f"longer than {MAX_POSITIVE_S:g} s; record the phrase once per file"
            self.skipped.append(BadAudio(path, "too-long", detail))
            return
        audio = np.zeros(0, np.int16) if stream else self._load(key)
        digest = key if stream else _digest(audio)
        if digest in first:
            self.duplicates.append((path, first[digest]))
            return
        try:
            if not stream:
                self._check(path, audio)
        except BadAudio as error:
            self.skipped.append(error)
            return
        first[digest] = path
        self.audio[path] = key

    def _check(self, path: Path, audio: Int16Array) -> None:
        seconds = len(audio) / SAMPLE_RATE
        if seconds < MIN_CLIP_S:
            raise BadAudio(path, "too-short", f"{seconds:.2f} s; at least {MIN_CLIP_S:g} s are needed")
        if self._label == 0:
            return
        if seconds > MAX_POSITIVE_S:
            raise BadAudio(path, "too-long", f"{seconds:.1f} s; record the phrase once per file")
        span = speech_span(audio)
        if span is None:
            detail = "the phrase does not stand out, or it is said more than once; record it once, in a quiet place"
            raise BadAudio(path, "unclear", detail)
        self._spans[path] = span

    def _in_cache(self, key: str) -> bool:
        return (self._own / f"{key}.flac").is_file() or read_stream(self._own / f"{key}.json") is not None

    def _load(self, key: str) -> Int16Array:
        import soundfile

        return np.asarray(soundfile.read(self._own / f"{key}.flac", dtype="int16")[0], np.int16)

    def _decode(self, new: list[tuple[str, Path]]) -> dict[str, Decoded]:
        """Decode new files into the cache; returns the refused ones by key."""
        if not new:
            return {}
        self._own.mkdir(parents=True, exist_ok=True)
        what = f"reading {self._folder.name}"
        with tempfile.TemporaryDirectory(prefix=".tmp-", dir=self._own) as scratch:
            results = decode_all(
                [path for _, path in new], Path(scratch),
                max_seconds=MAX_POSITIVE_S if self._label else None, workers=self._workers,
                progress=lambda done: self._progress(done, len(new), what),
            )  # fmt: skip
            # What was decoded must be what the key stands for, or the cache would hold a wrong sound for ever.
            results = [refused_if_changed(result, self._stamps[result.path]) for result in results]
            for (key, _), result in zip(new, results, strict=True):
                if result.pcm is not None:
                    self._keep(key, result)
        return {key: result for (key, _), result in zip(new, results, strict=True) if result.pcm is None}

    def _keep(self, key: str, decoded: Decoded) -> None:
        audio = decoded.load()
        if decoded.samples > STREAM_S * SAMPLE_RATE:
            write_stream(
                [Piece(printable(decoded.path.relative_to(self._folder)), decoded.digest, audio)],
                name=f"own-{key}", path=f"own/{key}.npy", role="train", kind="speech", licence="own recording",
                package=self._folder.name, version="", skipped=[],
            )  # fmt: skip
            return
        import soundfile

        buffer = io.BytesIO()
        soundfile.write(buffer, audio, SAMPLE_RATE, "PCM_16", format="FLAC")
        write_atomically(self._own / f"{key}.flac", buffer.getvalue())


def _source_key(path: Path) -> str:
    with open(path, "rb") as file:
        return content_key(_INGEST_VERSION, hashlib.file_digest(file, "sha256").hexdigest())


def _digest(audio: Int16Array) -> str:
    return hashlib.sha256(audio.tobytes()).hexdigest()[:16]


def _stream(key: str, path: Path, folder: Path, *, seed: int) -> Stream:
    """The cached stream under this run's name and role: 80 % of the files train, 20 % are for development."""
    stream = read_stream(cache_folder() / "own" / f"{key}.json")
    assert stream is not None, key
    role = "dev" if _position(seed, key) < _STREAM_DEV_SHARE else "train"
    return dataclasses.replace(stream, role=role, package=folder.name)


def _voices(paths: Sequence[Path], folder: Path, voice_from: VoiceFrom) -> dict[Path, str]:
    """Who speaks in each file."""
    by_folder = voice_from == "folder" or (voice_from == "auto" and any(path.parent != folder for path in paths))
    if by_folder:
        return {path: printable(path.parent.relative_to(folder)) for path in paths}
    if voice_from == "file":
        return {path: printable(path.name) for path in paths}
    return {path: voice_of_name(path.stem) for path in paths}


def voice_of_name(stem: str) -> str:
    """The speaker in a file name: what is left without the number of the take.

    >>> [voice_of_name(name) for name in ("anna_01", "anna-2", "Bob (3)", "007", "take12")]
    ['anna', 'anna', 'Bob', '', 'take']
    """
    return printable(re.sub(r"[\s_.\-(\[#]*\d+[\s)\]]*$", "", stem))


def _position(seed: int, voice: str) -> float:
    """A number in [0, 1) that depends on the voice and the seed alone, so that new files do not move old ones."""
    return int(content_key("own split", seed, voice)[:12], 16) / 16**12


def _split(voices: dict[Path, str], *, dev_share: float, test_share: float, seed: int) -> dict[str, str]:
    """Split of every voice. Training is never left empty: the voice with the most files goes there."""
    counts = Counter(voices.values())
    splits = {}
    for voice in counts:
        position = _position(seed, voice)
        splits[voice] = "test" if position < test_share else "dev" if position < test_share + dev_share else "train"
    if counts and "train" not in splits.values():
        splits[max(counts, key=lambda voice: (counts[voice], voice))] = "train"
    return splits


def _notes(voices: dict[Path, str], splits: dict[str, str]) -> list[str]:
    if len(splits) != 1:
        return []
    return [
        f"all {len(voices)} recordings count as one voice, so all of them are trained on and none is left for testing; "
        "put each speaker into a sub-folder to change that"
    ]
