"""Likely wrong labels among the user's clips, and synthesised voices that do not say the phrase.

No judge learned from the clip. A positive is judged by the head of the accurate model that was trained without its
voice (`pipeline.teacher.in_fold`), and by how much it sounds like the synthesised phrase. On negatives, which are in
every fold, and on everything where nothing is synthesised, the nearest known clips vote.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from wakelark.audio import SAMPLE_RATE
from wakelark.corpus.clip import Clip
from wakelark.corpus.speech_span import speech_span
from wakelark.evaluation.label_check import ODD_BELOW, WRONG_BELOW, cross_entropy, odd_ones, own_votes
from wakelark.models.heads import HeadEnsemble
from wakelark.pipeline.health.findings import LISTED, Finding
from wakelark.pipeline.health.own import Material
from wakelark.pipeline.known_sounds import KnownSounds, describe, stretch_ending_at
from wakelark.pipeline.teacher import in_fold
from wakelark.training.view_store import ViewStore

FEWEST = 8
"""With fewer clips of a label nothing can be said about one of them."""
DOUBTED_LOSS = -float(np.log(0.1))
"""Even the best view of the clip has the phrase with a probability of at most 0.1."""
FEWEST_VOICES = 3
SPOKEN_PHRASE = ("alone", "in_sentence")
FEWEST_SPOKEN = 20
UNLIKE_SPOKEN = 0.38
"""Mean similarity to the five nearest synthesised clips of the phrase below which a recording is hardly the phrase."""
_NEAREST_SPOKEN = 5
_BAD_VOICE, _FEWEST_OF_A_VOICE = 0.5, 3


@dataclass(frozen=True, slots=True)
class Doubt:
    """A clip whose label is doubted: how strongly (higher is worse), and why."""

    clip: Clip
    strength: float
    detail: str


def left_out_losses(store: ViewStore, heads: HeadEnsemble) -> dict[str, float]:
    """Loss of the positives' best views under the head that was trained without their voice: clip id -> loss.

    Empty when no head was trained without any voice.
    """
    losses: dict[str, float] = {}
    folds = len(heads.heads)
    for number, head in enumerate(heads.heads):
        rows = np.flatnonzero(~in_fold(store, number, folds))
        if not rows.size:
            continue
        part = store.select(rows)
        with torch.inference_mode():
            steps = head(torch.from_numpy(part.embeddings()).float())
        calibrated = steps / heads.temperatures[number] + heads.biases[number]
        logits = calibrated.max(dim=1).values.numpy()
        for clip, loss in zip(part.clip.tolist(), cross_entropy(logits, part.labels), strict=True):
            key = store.clips[clip].id
            losses[key] = min(losses.get(key, np.inf), float(loss))
    return losses


def doubted_by_heads(material: Material, losses: Mapping[str, float]) -> list[Doubt]:
    """Own positives that the heads without their voice do not take for the phrase."""
    return [
        Doubt(clip, 1 - float(np.exp(-losses[clip.id])), f"the phrase with probability {np.exp(-losses[clip.id]):.1%}")
        for clip in material.own if losses.get(clip.id, 0.0) >= DOUBTED_LOSS
    ]  # fmt: skip


def doubted_by_speech(material: Material, known: KnownSounds) -> list[Doubt]:
    """Own positives that sound unlike the phrase as the synthesis says it. The own ones have no say in this.

    So errors that come together (a whole folder of other words) are found, which no judge that learned from the others
    would doubt.
    """
    spoken = np.array([clip.kind in SPOKEN_PHRASE for clip in known.clips])
    if spoken.sum() < FEWEST_SPOKEN:
        return []
    doubts = []
    for clip in material.own:
        if clip.label == 1:
            alike = float(np.sort(_similarities(material, known, clip)[spoken])[-_NEAREST_SPOKEN:].mean())
            if alike < UNLIKE_SPOKEN:
                doubts.append(Doubt(clip, 1 - alike, f"similarity {alike:.2f} to the phrase as it is synthesised"))
    return doubts


def doubted_by_neighbours(material: Material, known: KnownSounds, copies: Sequence[Sequence[Clip]]) -> list[Doubt]:
    """Own clips whose nearest known clips have the other label.

    Args:
        material: with the audio of the own clips.
        known: clips of both labels, the own ones among them.
        copies: groups of own clips that are one take, which may not vote on each other.
    """
    labels, own = known.labels, material.own
    if min((labels == 1).sum(), (labels == 0).sum()) < FEWEST or not own:
        return []
    similarities = np.stack([_similarities(material, known, clip) for clip in own])
    own_labels = np.array([clip.label for clip in own])
    shares = own_votes(similarities, labels, own_labels, excluded=_excluded(own, known, copies))
    return [
        Doubt(clip, 1 - share, f"{share:.0%} of the nearest clips have its label")
        for clip, share in zip(own, shares.tolist(), strict=True) if share < WRONG_BELOW
    ]  # fmt: skip


def doubted_as_odd(material: Material, known: KnownSounds, copies: Sequence[Sequence[Clip]]) -> list[Doubt]:
    """Own positives that sound unlike all the others, where there is nothing else to compare with."""
    own = [clip for clip in known.clips if clip.kind == "own_positive"]
    if len(own) < FEWEST or len(own) != len(known.clips):
        return []
    similarities = np.stack([_similarities(material, known, clip) for clip in own])
    shares = odd_ones(similarities, excluded=_excluded(own, known, copies))
    return [
        Doubt(clip, 1 - share, f"{share:.0%} as similar to its nearest as usual")
        for clip, share in zip(own, shares.tolist(), strict=True) if share < ODD_BELOW
    ]  # fmt: skip


def label_findings(material: Material, doubts: Sequence[Doubt]) -> list[Finding]:
    """The doubted clips as one finding per label, each clip once, the worst first."""
    found = []
    for label, words in ((1, ("with the phrase do not sound like it")), (0, ("without the phrase sound like it"))):
        worst: dict[str, Doubt] = {}
        for doubt in sorted(doubts, key=lambda doubt: (-doubt.strength, doubt.clip.id)):
            if doubt.clip.label == label:
                worst.setdefault(doubt.clip.id, doubt)
        if not worst:
            continue
        judged = sum(clip.label == label for clip in material.own)
        found.append(
            Finding(
                check="label", level="warn", count=len(worst), of=judged,
                what=f"{len(worst)} of {judged} own recordings {words}",
                remedy="listen to them; remove them, or move them to the other folder, if they are wrong",
                items=tuple(
                    {"file": material.name(doubt.clip), "detail": doubt.detail, "split": doubt.clip.split}
                    for doubt in list(worst.values())[:LISTED]
                ),
            )
        )  # fmt: skip
    return found


def bad_voices(material: Material, losses: Mapping[str, float]) -> list[Finding]:
    """Synthesised voices of which most clips are not taken for the phrase: a mispronunciation, or a broken voice."""
    by_voice: dict[str, list[float]] = {}
    for clip in material.spoken:
        if clip.label == 1 and clip.id in losses:
            by_voice.setdefault(clip.voice, []).append(losses[clip.id])
    bad = {
        voice: share
        for voice, found in by_voice.items()
        if len(found) >= _FEWEST_OF_A_VOICE and (share := float(np.mean(np.array(found) >= DOUBTED_LOSS))) >= _BAD_VOICE
    }
    if not bad:
        return []
    worst = sorted(bad, key=lambda voice: (-bad[voice], voice))
    return [
        Finding(
            check="voice-label", level="note", count=len(bad), of=len(by_voice),
            what=f"{len(bad)} of {len(by_voice)} synthesised voices do not seem to say the phrase",
            remedy="hear them with `wakelark say`; other spellings with --pronunciation may help",
            items=tuple(
                {"voice": voice, "detail": f"{bad[voice]:.0%} of its clips are doubted"} for voice in worst[:LISTED]
            ),
        )
    ]  # fmt: skip


def _similarities(material: Material, known: KnownSounds, clip: Clip) -> NDArray[np.float32]:
    """Of the 1.5 s up to the end of what is said; of longer ones, of what is most like it. Shape: `-> [clips]`"""
    audio = material.audio[clip.id]
    sequence = describe(audio)
    end = clip.phrase_end if clip.phrase_end is not None else (speech_span(audio) or (0, None))[1]
    if end is not None:
        return known.index.similarities(stretch_ending_at(known.index, sequence, end / SAMPLE_RATE))[0]
    alike = known.index.similarities(known.index.stretches(sequence))
    return alike[int(alike[:, known.labels == 1].max(axis=1).argmax())]


def _excluded(own: Sequence[Clip], known: KnownSounds, copies: Sequence[Sequence[Clip]]) -> list[list[int]]:
    """Per own clip, the known ones that may not vote: itself, copies of it, and its voice where others are left."""
    groups = {clip.id: {other.id for other in group} for group in copies for clip in group}
    spread = {label: _spread_voices([clip for clip in own if clip.label == label]) for label in (0, 1)}
    return [
        [
            number for number, other in enumerate(known.clips)
            if other.id == clip.id or other.id in groups.get(clip.id, ())
            or (other.voice == clip.voice and clip.voice in spread[clip.label])
        ]
        for clip in own
    ]  # fmt: skip


def _spread_voices(clips: Sequence[Clip]) -> set[str]:
    """Voices without which most clips of a label are left; none where there are not several voices."""
    counts = Counter(clip.voice for clip in clips)
    if len(counts) < FEWEST_VOICES:
        return set()
    return {voice for voice, count in counts.items() if count <= len(clips) / 2}
