"""Which clips an evaluation hears, and what is known about them: from a folder, a list of files or a manifest.

Beside the recordings of a folder there may be `speakers.csv` or `speakers.jsonl`: one line per file or sub-folder with
who speaks and whatever else the figures are to be told apart by.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from wakelark.audio import SAMPLE_RATE, find_audio_files, printable
from wakelark.corpus.cache import cache_folder
from wakelark.corpus.clip import Clip
from wakelark.corpus.manifest import read_manifest
from wakelark.corpus.voice_split import speaker_of
from wakelark.errors import DataError
from wakelark.pipeline.sources import ClipSource

NEAR_MISS_KINDS = ("near_miss", "partial", "swap")
SIDECARS = ("speakers.csv", "speakers.jsonl")
_SAID = {"alone": "phrase alone", "in_sentence": "in a sentence", "own_positive": "own recording"}
_AGES = ((13, "child, below 13"), (20, "13 to 19"), (40, "20 to 39"), (60, "40 to 59"), (200, "60 and above"))

Traits = Mapping[str, Mapping[str, str]]
"""trait -> name of the clip -> value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipList:
    """Clips to be heard.

    Attributes:
        sources: in order.
        traits: what they are grouped by; a clip may be missing from a trait.
        notes: what the user should know.
    """

    sources: Sequence[ClipSource]
    traits: Traits = field(default_factory=dict)
    notes: Sequence[str] = ()


def read_clips(place: Path, *, split: str, label: int) -> ClipList:
    """Clips of a folder, of a text file with one path per line, or of a manifest (`.jsonl`).

    Args:
        place: a sub-folder's name stands for the group of its clips.
        split: which split of a manifest.
        label: what is taken from a manifest: 1 the clips with the phrase, 0 the near misses.

    Raises:
        DataError: no such place, nothing in it, or a sidecar or manifest with a mistake.
    """
    if place.suffix == ".jsonl" and place.is_file():
        return _of_manifest(place, split=split, label=label)
    sources = [ClipSource(name=name, path=path) for name, path in listed_files(place)]
    sidecar = _sidecar(place if place.is_dir() else place.parent)
    return ClipList(sources=sources) if sidecar is None else _with_sidecar(sources, sidecar)


def clip_source(clip: Clip) -> ClipSource:
    """A clip of the manifest as something to be scored."""
    return ClipSource(
        name=clip_name(clip),
        path=cache_folder() / clip.path,
        start=clip.start,
        samples=clip.samples,
        word_end_s=None if clip.phrase_end is None else clip.phrase_end / SAMPLE_RATE,
        speaker=speaker_of(clip.voice),
        engine=clip.engine,
        kind=clip.kind,
        text=clip.text,
    )


def listed_files(place: Path) -> list[tuple[str, Path]]:
    """(name, path) of the audio files in a folder, or of the lines of a text file.

    Raises:
        DataError: there is no such place, or nothing in it.
    """
    if place.is_dir():
        found = [(printable(path.relative_to(place)), path) for path in find_audio_files(place)]
    elif place.is_file():
        found = _read_list(place)
    else:
        raise DataError(f"{printable(place)} is neither a folder nor a list of files; check the path")
    if not found:
        raise DataError(f"no audio files in {printable(place)}; WAV, FLAC, Ogg and MP3 are read")
    return found


def _read_list(place: Path) -> list[tuple[str, Path]]:
    try:
        lines = place.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise DataError(
            f"{printable(place)} is not a text file; give a folder, or a list with one file per line"
        ) from error
    return [(line.strip(), place.parent / line.strip()) for line in lines if line.strip() and not line.startswith("#")]


def _of_manifest(place: Path, *, split: str, label: int) -> ClipList:
    kinds = () if label else NEAR_MISS_KINDS
    clips = [
        clip for clip in read_manifest(place)
        if clip.label == label and clip.split == split and not clip.is_stream and (not kinds or clip.kind in kinds)
    ]  # fmt: skip
    if label and not clips:
        raise DataError(f"{printable(place)} has no clips of the phrase in its {split} split; choose another --split")
    return ClipList(sources=[clip_source(clip) for clip in clips], traits={**_kinds(clips), **voice_traits(clips)})


def voice_traits(clips: Iterable[Clip]) -> Traits:
    """`sex` and `accent` of a manifest's clips, as far as they are known."""
    listed = list(clips)
    # espeak's name without its family of languages: "en-US" for "gmw/en-US".
    return _told(listed, {"sex": lambda clip: clip.sex, "accent": lambda clip: clip.accent.rpartition("/")[2]})


def _kinds(clips: Sequence[Clip]) -> Traits:
    return _told(clips, {"engine": lambda clip: clip.engine, "said": lambda clip: _SAID.get(clip.kind, clip.kind)})


def _told(clips: Sequence[Clip], tell: Mapping[str, Callable[[Clip], str]]) -> Traits:
    traits = {name: {clip_name(clip): value for clip in clips if (value := of(clip))} for name, of in tell.items()}
    return {name: values for name, values in traits.items() if values}


def clip_name(clip: Clip) -> str:
    """What results call a clip of the manifest."""
    return f"{clip.voice}: {clip.text} [{clip.id}]"


@dataclass(frozen=True, slots=True)
class _Sidecar:
    path: Path
    rows: list[dict[str, str]]


def _sidecar(folder: Path) -> _Sidecar | None:
    found = [folder / name for name in SIDECARS if (folder / name).is_file()]
    if not found:
        return None
    if len(found) > 1:
        raise DataError(f"{printable(folder)} holds both {' and '.join(SIDECARS)}; keep one of them")
    try:
        text = found[0].read_text(encoding="utf-8-sig")
        rows = _csv_rows(text) if found[0].suffix == ".csv" else [json.loads(line) for line in text.splitlines()]
    except (UnicodeDecodeError, csv.Error, json.JSONDecodeError) as error:
        raise DataError(f"{printable(found[0])} cannot be read ({error}); correct it or remove it") from error
    for number, row in enumerate(rows, 1):
        if not isinstance(row, dict) or not str(row.get("file") or ""):
            raise DataError(
                f"{printable(found[0])}, entry {number}: every entry names a `file` (or sub-folder), relative to "
                "the folder, and may tell speaker, sex, age, accent and more"
            )
    return _Sidecar(found[0], [{str(k): str(v) for k, v in row.items() if v not in (None, "")} for row in rows])


def _csv_rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(text.splitlines(), strict=True, restval=""))


def _with_sidecar(sources: Sequence[ClipSource], sidecar: _Sidecar) -> ClipList:
    """The sources with what the sidecar says: of a file itself, else of the nearest folder that it names."""
    rows = {row["file"].strip().rstrip("/"): row for row in sidecar.rows}
    used: set[str] = set()
    traits: dict[str, dict[str, str]] = {}
    labelled = []
    for source in sources:
        places = [source.name, *(printable(folder) for folder in Path(source.name).parents)]
        place = next((place for place in places if place in rows), None)
        row = {} if place is None else rows[place]
        used |= set() if place is None else {place}
        for trait, value in row.items():
            if trait not in ("file", "speaker"):
                traits.setdefault(trait, {})[source.name] = age_group(value) if trait == "age" else value
        labelled.append(replace(source, speaker=row.get("speaker", "")))
    notes = []
    if unused := sorted(set(rows) - used):
        notes.append(f"{printable(sidecar.path)}: {len(unused)} entries name no recording there, such as {unused[0]}")
    if nameless := sum(not source.speaker for source in labelled):
        notes.append(
            f"{printable(sidecar.path)} names no speaker for {nameless} of {len(labelled)} recordings: the bootstrap "
            "is by recording"
        )
    return ClipList(sources=labelled, traits=traits, notes=notes)


def age_group(age: str) -> str:
    """The group of an age in years; other words are groups of their own.

    >>> age_group("7"), age_group("34.5"), age_group("adult")
    ('child, below 13', '20 to 39', 'adult')
    """
    try:
        years = float(age)
    except ValueError:
        return age
    return next((name for below, name in _AGES if 0 <= years < below), age)
