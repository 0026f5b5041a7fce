"""`wakelark mine`: a run's models listen to the user's long audio; what fools them goes into a folder to be heard."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from wakelark.audio import SAMPLE_RATE, Int16Array, printable, to_int16, write_wav
from wakelark.config import Config
from wakelark.config_file import load_config
from wakelark.corpus.cache import cache_folder
from wakelark.corpus.clip import Clip
from wakelark.corpus.ingest import IngestReport, ingest
from wakelark.corpus.manifest import read_manifest
from wakelark.corpus.streams import read_stream
from wakelark.errors import ModelError
from wakelark.models.saved import load_heads, load_student
from wakelark.pipeline.cards import card_of
from wakelark.pipeline.corpus import stream_line
from wakelark.pipeline.development import trial_audio
from wakelark.pipeline.harvest_folder import KEEP, QUARANTINE, FoundSound, harvest_folders, new_folder, read_list
from wakelark.pipeline.harvest_folder import write_list as write_harvest_list
from wakelark.pipeline.mining import Catch, Harvest, MinedEvent, TrainStream, Witness, harvest, mined_clips
from wakelark.pipeline.networks import AccurateNetwork, Network, ShiftedNetwork, TinyNetwork
from wakelark.pipeline.run_folder import RunFolder
from wakelark.training.clip_audio import ClipReader
from wakelark.training.clip_features import compute_clip_features
from wakelark.training.stream_features import Progress, StreamFeatures, compute_stream_features

LEAD_S = 2.2
TAIL_S = 0.5
"""Near-silence around files of at most 30 s: the models must have listened for a while before they say anything."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mining:
    """What `wakelark mine` did.

    Attributes:
        folder: with the WAV files and the list; None when nothing was found.
        recordings: files that were heard.
        hours: of them.
        harvest: what was found in them.
        sounds: the lines of the list.
        refused: (file, why) of those that were not heard.
        duplicates: (file, the file it repeats).
    """

    folder: Path | None
    recordings: int
    hours: float
    harvest: Harvest
    sounds: Sequence[FoundSound]
    refused: Sequence[tuple[str, str]]
    duplicates: Sequence[tuple[str, str]]

    def counted(self, status: str) -> int:
        """How many lines have this status."""
        return sum(sound.status == status for sound in self.sounds)


@dataclass(slots=True)
class _Heard:
    """The user's recordings, side by side: manifest lines with features, samples, and how much silence precedes."""

    streams: list[TrainStream] = field(default_factory=list)
    audio: list[Int16Array] = field(default_factory=list)
    lead_s: list[float] = field(default_factory=list)


def mine_audio(folder: RunFolder, audio: Path, *, workers: int, progress: Progress) -> Mining:
    """Let a run's models listen to a folder of recordings and keep what fools them.

    Args:
        folder: of the run; its models must have been trained.
        audio: folder with recordings of any length in which nobody says the phrase.
        workers: processes.
        progress: called with (done, total, what).

    Raises:
        ConfigError: there is no run, or no such folder.
        DataError: the folder holds no audio that can be used.
        ModelError: the run has no trained models yet.
        BusyError: the run is being trained.
    """
    folder.check_run()
    with folder.hold(resume=True):
        config = load_config(folder.config, overrides=[], preset=None)
        finders, witnesses = _networks(folder, config)
        taken = ingest(
            audio, label=0, dev_share=0.0, test_share=0.0, split_seed=0, voice_from="file", workers=workers,
            progress=progress,
        )  # fmt: skip
        names = {key: printable(path.relative_to(audio)) for key, path in taken.files.items()}
        held_out = _held_out(folder)
        refused = [(printable(item.path.relative_to(audio)), item.detail) for item in taken.skipped]
        refused += [(names[key], why) for key, digest in _digests(taken).items() if (why := held_out.get(digest))]
        heard = _hear(taken, names, held_out, workers=workers, progress=progress)
        found = harvest(
            finders, heard.streams, witnesses=witnesses, mining=config.mining,
            evaluation=config.evaluation, known=_known(folder, heard),
        )  # fmt: skip
        target = new_folder(folder.harvests, audio.resolve().name)
        sounds = _write(found, heard, target, source=audio.resolve().name)
    return Mining(
        folder=target if sounds else None, recordings=len(heard.streams),
        hours=sum(map(len, heard.audio)) / SAMPLE_RATE / 3600, harvest=found, sounds=sounds, refused=refused,
        duplicates=[(printable(a.relative_to(audio)), printable(b.relative_to(audio))) for a, b in taken.duplicates],
    )  # fmt: skip


def _networks(folder: RunFolder, config: Config) -> tuple[list[Network], list[Witness]]:
    """The accurate and the tiny network of a run, and when they may be hearing the phrase itself.

    The heads are calibrated. The student is not: as a witness it is asked at the threshold of its file, whose scores
    are shifted.
    """
    if not (folder.saved_heads.is_file() and folder.saved_student.is_file()):
        raise ModelError(
            f"{folder.root} has no trained models to mine with (checkpoints/heads.safetensors and student.safetensors "
            f"are missing): finish the run with {folder.resume_command}; a run of an older version must be made anew"
        )
    said = card_of(folder.tiny)
    heads, student = load_heads(folder.saved_heads), load_student(folder.saved_student)
    finders = [AccurateNetwork(heads), TinyNetwork(student)]
    sure = [config.mining.quarantine_score, said.threshold]
    asked = [finders[0], ShiftedNetwork(finders[1], said.logit_shift)]
    return finders, [Witness(network, score) for network, score in zip(asked, sure, strict=True)]


def _held_out(folder: RunFolder) -> Mapping[str, str]:
    """Digest of the samples -> why it is not mined, for everything that models are chosen or judged by."""
    reasons: dict[str, str] = {}
    for clip in read_manifest(folder.manifest) if folder.manifest.is_file() else []:
        if clip.label == 1:
            reasons[clip.id] = "it is a clip of the phrase in this run's corpus"
        elif clip.split != "train":
            role = "development" if clip.split == "dev" else "test"
            why = f"it is {role} audio of this run, which is never trained on"
            stream = read_stream((cache_folder() / clip.path).with_suffix(".json")) if clip.is_stream else None
            reasons |= dict.fromkeys([clip.id, *(file.digest for file in (stream.files if stream else ()))], why)
    return reasons


def _digests(taken: IngestReport) -> dict[str, str]:
    """Key in `taken.files` -> digest of the samples."""
    return {clip.id: clip.id for clip in taken.clips} | {
        stream.name: stream.files[0].digest for stream in taken.streams
    }


def _hear(
    taken: IngestReport, names: Mapping[str, str], held_out: Mapping[str, str], *, workers: int, progress: Progress
) -> _Heard:
    """Samples and features of all recordings that may be mined."""
    digests = _digests(taken)
    streams = [stream for stream in taken.streams if digests[stream.name] not in held_out]
    clips = [clip for clip in taken.clips if clip.id not in held_out]
    reader = ClipReader(cache_folder())
    heard = _Heard(audio=[stream.load() for stream in streams], lead_s=[0.0] * len(streams))
    features = compute_stream_features(
        [(stream.name, cache_folder() / stream.path) for stream in streams], workers=workers, progress=progress
    )
    lines = [dataclasses.replace(stream_line(stream), id=digests[stream.name]) for stream in streams]
    heard.streams = [
        TrainStream(dataclasses.replace(line, source=names[stream.name]), found)
        for stream, line, found in zip(streams, lines, features, strict=True)
    ]
    padded = [
        trial_audio(to_int16(reader.read(clip)), rng=np.random.default_rng(0), lead_s=LEAD_S, tail_s=TAIL_S)
        for clip in clips
    ]
    short = compute_clip_features(padded, workers=workers, progress=progress, what="features of the short files")
    for clip, audio, found in zip(clips, padded, short, strict=True):
        line = dataclasses.replace(clip, samples=len(audio), source=names[clip.id])
        features = StreamFeatures(clip.id, len(audio), found.logmel, found.embeddings)
        heard.streams.append(TrainStream(line, features))
        heard.audio.append(audio)
        heard.lead_s.append(LEAD_S)
    return heard


def _known(folder: RunFolder, heard: _Heard) -> list[Clip]:
    """What earlier harvests of the run list, as clips of these streams."""
    place = {stream.clip.id: index for index, stream in enumerate(heard.streams)}
    listed = [sound for path in harvest_folders(folder.harvests) for sound in read_list(path)]
    found = [(place[sound.digest], sound.time_s) for sound in listed if sound.digest in place]
    return mined_clips([MinedEvent(index, time_s + heard.lead_s[index], 0.0) for index, time_s in found], heard.streams)


def _write(found: Harvest, heard: _Heard, target: Path, *, source: str) -> list[FoundSound]:
    """The WAV files and, last, the list; returns its lines, by recording and time."""
    statuses = [(KEEP, catch) for catch in found.kept] + [(QUARANTINE, catch) for catch in found.quarantined]
    statuses.sort(key=lambda item: (heard.streams[item[1].event.stream].clip.source, item[1].event.time_s))
    if not statuses:
        return []
    target.mkdir(parents=True)
    try:
        sounds = []
        for number, (status, catch) in enumerate(statuses, 1):
            sounds.append(_write_sound(number, status, catch, heard, target, source=source))
        write_harvest_list(sounds, target)
    except BaseException:
        shutil.rmtree(target, ignore_errors=True)  # half a harvest is none
        raise
    return sounds


def _write_sound(number: int, status: str, catch: Catch, heard: _Heard, target: Path, *, source: str) -> FoundSound:
    event = catch.event
    (clip,) = mined_clips([event], heard.streams)
    name = f"{number:04d}-{status}.wav"
    audio = heard.audio[event.stream][clip.start : clip.start + clip.samples]
    write_wav(target / name, np.asarray(audio))
    parent = heard.streams[event.stream].clip
    return FoundSound(
        file=name, status=status, recording=parent.source, time_s=round(event.time_s - heard.lead_s[event.stream], 2),
        accurate=round(catch.witnesses[0], 4), tiny=round(catch.witnesses[1], 4), group=catch.group, source=source,
        digest=parent.id,
    )  # fmt: skip


def mining_facts(mining: Mining, next_command: str) -> dict[str, object]:
    """The result as plain data."""
    return {
        "folder": None if mining.folder is None else str(mining.folder),
        "recordings": mining.recordings,
        "hours": round(mining.hours, 4),
        "events": mining.harvest.loud,
        "groups": mining.harvest.groups,
        "kept": mining.counted(KEEP),
        "quarantined": mining.counted(QUARANTINE),
        "look_alikes": mining.harvest.look_alikes,
        "over_share": mining.harvest.over_share,
        "known": mining.harvest.known,
        "refused": [{"file": file, "reason": reason} for file, reason in mining.refused],
        "duplicates": [list(pair) for pair in mining.duplicates],
        "next": next_command,
    }
