"""The same audio twice: in two splits, under two labels, or counted double."""

from __future__ import annotations

from collections.abc import Sequence

from wakelark.corpus.clip import Clip
from wakelark.corpus.streams import Stream
from wakelark.evaluation.repeats import find_repeats
from wakelark.pipeline.health.findings import LISTED, Finding, Level
from wakelark.pipeline.health.own import Material

MOST_COMPARED = 1500
"""So many own clips are compared with one another; of more, every n-th."""


def check_equal(material: Material) -> list[Finding]:
    """Clips of equal content, among all clips, and recordings that are in streams of two roles."""
    groups: dict[str, list[Clip]] = {}
    for clip in material.clips:
        groups.setdefault(clip.id, []).append(clip)
    repeated = [group for group in groups.values() if len(group) > 1]
    return [*_findings(repeated, material, len(material.clips), near=False), *_shared_files(material.streams)]


def check_near(material: Material) -> tuple[list[Finding], list[list[Clip]], int]:
    """Own clips that are one take (trimmed, converted, turned down); the groups; and how many were compared."""
    own = material.own
    compared = own[:: -(-len(own) // MOST_COMPARED)] if own else []
    groups = [
        [compared[number] for number in group] for group in find_repeats([material.audio[clip.id] for clip in compared])
    ]
    unequal = [group for group in groups if len({clip.id for clip in group}) > 1]
    return _findings(unequal, material, len(compared), near=True), groups, len(compared)


def _findings(groups: Sequence[list[Clip]], material: Material, of: int, *, near: bool) -> list[Finding]:
    """Each group under the worst of what it is: two labels, two splits, or double."""
    sorts: dict[str, list[list[Clip]]] = {}
    for group in groups:
        labels, splits = {clip.label for clip in group}, {clip.split for clip in group}
        sorts.setdefault("labels" if len(labels) > 1 else "splits" if len(splits) > 1 else "double", []).append(group)
    same = "sound like one take" if near else "are equal"
    words: dict[str, tuple[str, Level, str, str]] = {
        "labels": (
            "repeats-across-labels", "warn", f"{same} to clips under the other label",
            "one of the two labels is wrong: remove the wrong copies",
        ),
        "splits": (
            "repeats-across-splits", "warn", f"{same} in more than one split, so what is measured has been trained on",
            "keep one copy of each, or put all copies into the folder of one speaker",
        ),
        "double": (
            "repeats", "note", f"{same} within a split and count more than once", "keep one copy of each",
        ),
    }  # fmt: skip
    found = []
    for sort, members in sorts.items():
        check, level, what, remedy = words[sort]
        count = sum(len(group) for group in members)
        found.append(
            Finding(
                check=f"near-{check}" if near else check, level=level, count=count, of=of,
                what=f"{count} clips in {len(members)} groups {what}", remedy=remedy,
                items=tuple(
                    {"file": material.name(group[0]), "same": [material.name(clip) for clip in group[1:LISTED]],
                     "splits": sorted({clip.split for clip in group})}
                    for group in members[:LISTED]
                ),
            )
        )  # fmt: skip
    return found


def _shared_files(streams: Sequence[Stream]) -> list[Finding]:
    """Files of equal content in streams of different roles."""
    heard: dict[str, tuple[Stream, str]] = {}
    shared: list[dict[str, object]] = []
    total = 0
    for stream in streams:
        for file in stream.files:
            total += 1
            other, name = heard.setdefault(file.digest, (stream, file.name))
            if other.role != stream.role:
                shared.append(
                    {"file": file.name, "same": [f"{other.name}: {name}"], "splits": sorted({other.role, stream.role})}
                )
    if not shared:
        return []
    return [
        Finding(
            check="recordings-across-splits", level="warn", count=len(shared), of=total,
            what=f"{len(shared)} recordings without the phrase are in more than one split",
            remedy="remove the copies: false alarms are measured on what was trained on", items=tuple(shared[:LISTED]),
        )
    ]  # fmt: skip
