"""Who and what dominates, and recordings of the phrase that are much longer or shorter than the others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from wakelark.audio import SAMPLE_RATE
from wakelark.corpus.clip import Clip
from wakelark.pipeline.health.findings import LISTED, Finding, Level
from wakelark.pipeline.health.own import Material

VOICE_SHARE = 0.2
"""No voice should have more than this share of the phrase's training clips."""
OWN_VOICE_SHARE = 0.6
ENGINE_SHARE = 0.8
SOURCE_SHARE = 0.6
FEWEST_VOICES = 20
FEWEST_TO_COMPARE = 8
LONG, SHORT = 1.8, 0.55
LONGEST_S = 5.0


def check_balance(material: Material, *, complete: bool) -> list[Finding]:
    """Voices, engines and sources that dominate the training split; too few voices.

    Args:
        material: of a run, or of folders before it.
        complete: whether this is all that will be trained on; else only the own recordings are compared.
    """
    positives = [clip for clip in material.clips if clip.label == 1 and clip.split == "train"]
    own = [clip for clip in positives if clip.kind == "own_positive"]
    found: list[Finding] = []
    found += _dominant(
        positives if complete else [], "voice", VOICE_SHARE, "warn", "the training clips of the phrase",
        "record more speakers, or install further voices (`wakelark doctor` lists the engines)",
    )  # fmt: skip
    found += _dominant(
        own, "own-voice", OWN_VOICE_SHARE, "note", "the own recordings of the phrase in training",
        "let other people record it too; their recordings count more than further ones of the same voice",
    )  # fmt: skip
    found += _engines([clip for clip in positives if clip.kind != "own_positive"])
    voices = {clip.voice for clip in positives}
    if complete and len(voices) < FEWEST_VOICES:
        found.append(
            Finding(
                check="few-voices", level="warn", count=len(voices), of=FEWEST_VOICES,
                what=f"only {len(voices)} voices say the phrase in training: other people will be missed more often",
                remedy="use more engines (`wakelark doctor`), or record more people",
            )
        )  # fmt: skip
    return found + _sources(material)


def check_lengths(material: Material) -> list[Finding]:
    """Own recordings of the phrase in which what is said takes much longer or shorter than in the others."""
    own = [clip for clip in material.own if clip.label == 1]
    found = []
    long = [clip for clip in own if clip.samples > LONGEST_S * SAMPLE_RATE]
    if long:
        found.append(
            _odd(
                material, long, own, "long", f"are longer than {LONGEST_S:g} s", "cut them to the phrase: one per file"
            )
        )
    spoken_s = {
        clip.id: (clip.phrase_end - clip.phrase_start) / SAMPLE_RATE
        for clip in own if clip.phrase_end is not None and clip.phrase_start is not None
    }  # fmt: skip
    if len(spoken_s) < FEWEST_TO_COMPARE:
        return found
    usual_s = float(np.median(list(spoken_s.values())))
    odd = [clip for clip in own if not SHORT * usual_s <= spoken_s.get(clip.id, usual_s) <= LONG * usual_s]
    if odd:
        what = f"hold speech much longer or shorter than the usual {usual_s:.2f} s"
        remedy = "listen to them: they may hold more than the phrase, or only a part of it"
        found.append(_odd(material, odd, own, "odd-length", what, remedy))
    return found


def _odd(material: Material, odd: Sequence[Clip], own: Sequence[Clip], check: str, what: str, remedy: str) -> Finding:
    return Finding(
        check=check, level="warn" if len(odd) > 0.1 * len(own) else "note", count=len(odd), of=len(own),
        what=f"{len(odd)} of {len(own)} own recordings of the phrase {what}", remedy=remedy,
        items=tuple(
            {"file": material.name(clip), "detail": f"{clip.samples / SAMPLE_RATE:.2f} s", "split": clip.split}
            for clip in odd[:LISTED]
        ),
    )  # fmt: skip


def _dominant(clips: Sequence[Clip], check: str, share: float, level: Level, what: str, remedy: str) -> list[Finding]:
    counts = Counter(clip.voice for clip in clips)
    if len(counts) < 2:
        return []
    (voice, count), *_ = counts.most_common(1)
    if count <= share * len(clips):
        return []
    return [
        Finding(
            check=f"dominant-{check}", level=level, count=count, of=len(clips),
            what=f"one voice of {len(counts)} has {count / len(clips):.0%} of {what}", remedy=remedy,
            items=({"voice": voice},),
        )
    ]  # fmt: skip


def _engines(spoken: Sequence[Clip]) -> list[Finding]:
    counts = Counter(clip.engine for clip in spoken)
    if not counts:
        return []
    (engine, count), *_ = counts.most_common(1)
    if count <= ENGINE_SHARE * len(spoken):
        return []
    return [
        Finding(
            check="dominant-engine", level="note", count=count, of=len(spoken),
            what=f"{count / len(spoken):.0%} of the synthesised clips of the phrase are by {engine}",
            remedy="install a further engine (`wakelark doctor`), or raise its number of positives",
            items=({"voice": engine},),
        )
    ]  # fmt: skip


def _sources(material: Material) -> list[Finding]:
    seconds: dict[str, float] = {}
    for stream in material.streams:
        if stream.role == "train":
            seconds[stream.package] = seconds.get(stream.package, 0.0) + stream.seconds
    total = sum(seconds.values())
    if len(seconds) < 2 or total == 0:
        return []
    source, longest = max(seconds.items(), key=lambda item: item[1])
    if longest <= SOURCE_SHARE * total:
        return []
    return [
        Finding(
            check="dominant-source", level="note", count=round(longest), of=round(total),
            what=f"{longest / total:.0%} of the recordings without the phrase in training come from {source}",
            remedy="batches hold no more of a source than training.source_share; recordings of other places help more "
            "than further hours of this one",
            items=({"file": source},),
        )
    ]  # fmt: skip
