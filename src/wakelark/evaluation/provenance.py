"""What a corpus is made of: counts, and sources with their licences."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from wakelark.audio import SAMPLE_RATE
from wakelark.corpus.clip import Clip


def corpus_counts(clips: Iterable[Clip]) -> list[dict[str, Any]]:
    """Rows `split, kind, engine, clips, voices, hours`, sorted."""
    groups: dict[tuple[str, str, str], list[Clip]] = {}
    for clip in clips:
        groups.setdefault((clip.split, clip.kind, clip.engine), []).append(clip)
    return [
        {
            "split": split,
            "kind": kind,
            "engine": engine,
            "clips": len(members),
            "voices": len({clip.voice for clip in members}),
            "hours": _hours(members),
        }
        for (split, kind, engine), members in sorted(groups.items())
    ]


def provenance(clips: Iterable[Clip]) -> list[dict[str, Any]]:
    """Rows `source, licence, clips, hours, splits` of where the audio comes from, sorted."""
    groups: dict[tuple[str, str], list[Clip]] = {}
    for clip in clips:
        groups.setdefault((clip.source, clip.licence), []).append(clip)
    return [
        {
            "source": source or "unknown",
            "licence": licence or "not stated",
            "clips": len(members),
            "hours": _hours(members),
            "splits": sorted({clip.split for clip in members}),
        }
        for (source, licence), members in sorted(groups.items())
    ]


def _hours(clips: Iterable[Clip]) -> float:
    return sum(clip.samples for clip in clips) / SAMPLE_RATE / 3600
