"""The user's material of a run: what `wakelark add` brought, and what is kept of what `wakelark mine` found."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from wakelark.audio import printable
from wakelark.corpus.cache import cache_folder, content_key
from wakelark.corpus.clip import Clip
from wakelark.corpus.ingest import ingest_files
from wakelark.corpus.manifest import read_manifest
from wakelark.corpus.streams import Stream, read_stream
from wakelark.errors import DataError
from wakelark.pipeline.harvest_folder import KEEP, FoundSound, harvest_folders, read_list
from wakelark.pipeline.run_folder import RunFolder
from wakelark.training.stream_features import Progress

MINED = "mined"
"""The kind of a mined clip."""


@dataclass(slots=True)
class Material:
    """What the user brought to a run after its settings were made.

    Attributes:
        clips: short ones: added, and mined and kept.
        streams: added recordings of more than 30 s.
        facts: for the report: how many of each, and what was left out.
        warnings: what was left out and why.
        files: id of a mined clip -> its file.
    """

    clips: list[Clip] = field(default_factory=list)
    streams: list[Stream] = field(default_factory=list)
    facts: dict[str, object] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """16 hex digits of all that is trained on; "" for nothing."""
        return self._key(self.clips)

    @property
    def added_key(self) -> str:
        """The same of what was added by hand alone."""
        return self._key([clip for clip in self.clips if clip.kind != MINED])

    @property
    def mined(self) -> frozenset[str]:
        """Ids of the sounds that `wakelark mine` found."""
        return frozenset(clip.id for clip in self.clips if clip.kind == MINED)

    def with_mined(self, ids: Collection[str]) -> Material:
        """The same, of the mined sounds only these."""
        clips = [clip for clip in self.clips if clip.kind != MINED or clip.id in ids]
        return dataclasses.replace(self, clips=clips)

    def _key(self, clips: Sequence[Clip]) -> str:
        lines = [dataclasses.asdict(clip) for clip in clips]
        recordings = [[stream.sha256, stream.role, stream.package] for stream in self.streams]
        return content_key(lines, recordings)[:16] if lines or recordings else ""


def read_material(folder: RunFolder, *, workers: int, progress: Progress) -> Material:
    """The material of a run, its audio in the cache.

    Raises:
        DataError: a line of a list is wrong, or the audio of an added clip is gone.
    """
    material = Material()
    added = read_manifest(folder.added) if folder.added.is_file() else []
    for clip in added:
        _check_audio(clip, folder)
    material.clips = [clip for clip in added if not clip.is_stream]
    material.streams = [_stream(clip, folder) for clip in added if clip.is_stream]
    folders = harvest_folders(folder.harvests)
    if added or folders:
        material.facts["added"] = _counts(added)
        material.facts["mined"] = _add_mined(material, folders, workers=workers, progress=progress)
    return material


def _add_mined(material: Material, folders: Sequence[Path], *, workers: int, progress: Progress) -> dict[str, object]:
    """Kept sounds whose files are still there become hard negatives; returns the counts."""
    seen = {clip.id for clip in material.clips}
    kept = quarantined = deleted = repeated = 0
    refused: list[str] = []
    for folder in folders:
        listed = read_list(folder)
        quarantined += sum(sound.status != KEEP for sound in listed)
        wanted = {folder / sound.file: sound for sound in listed if sound.status == KEEP}
        there = [path for path in wanted if path.is_file()]
        deleted += len(wanted) - len(there)
        report = ingest_files(
            there, folder, label=0, dev_share=0.0, test_share=0.0, split_seed=0, voice_from="file", workers=workers,
            progress=progress,
        )  # fmt: skip
        refused += [str(problem) for problem in report.skipped]
        clips = [_mined_clip(clip, wanted[report.files[clip.id]]) for clip in report.clips if clip.id not in seen]
        seen |= {clip.id for clip in clips}
        material.files |= {clip.id: printable(report.files[clip.id]) for clip in clips}
        material.clips += clips
        kept += len(clips)
        repeated += len(report.duplicates) + len(report.clips) - len(clips)
    material.warnings += [f"skipped {problem}" for problem in refused]
    return {"kept": kept, "quarantined": quarantined, "deleted": deleted, "repeated": repeated, "refused": refused}


def _mined_clip(clip: Clip, sound: FoundSound) -> Clip:
    return dataclasses.replace(
        clip, kind=MINED, hard_negative=1, source=sound.source, voice=f"recording/{sound.recording}"
    )


def _counts(added: Sequence[Clip]) -> dict[str, int]:
    return {
        "positive": sum(clip.label == 1 for clip in added),
        "negative": sum(clip.label == 0 and not clip.hard_negative for clip in added),
        "hard_negative": sum(clip.hard_negative for clip in added),
    }


def _check_audio(clip: Clip, folder: RunFolder) -> None:
    if not (cache_folder() / clip.path).is_file():
        raise DataError(
            f"{folder.added}: the audio of {clip.id} (from {clip.source!r}) is no longer in the cache "
            f"{cache_folder()}; give that folder to `wakelark add` again, or delete the line"
        )


def _stream(clip: Clip, folder: RunFolder) -> Stream:
    """The cached recording under the role and the source that its line says."""
    stream = read_stream((cache_folder() / clip.path).with_suffix(".json"))
    if stream is None:
        raise DataError(
            f"{folder.added}: the recording {clip.id} (from {clip.source!r}) is damaged in the cache "
            f"{cache_folder()}; give that folder to `wakelark add` again, or delete the line"
        )
    return dataclasses.replace(stream, role=clip.split, package=clip.source)
