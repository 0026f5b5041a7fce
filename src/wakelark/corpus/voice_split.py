"""Which voices train, which choose the threshold, and which test; voices of one speaker stay together."""

from __future__ import annotations

from collections.abc import Sequence

from wakelark.corpus.cache import content_key
from wakelark.corpus.engines import Voice

FEWEST_SPEAKERS_TO_SPLIT = 4
"""An engine with fewer speakers goes to training as a whole: giving one away would cost more than it tells."""


def split_voices(
    voices: Sequence[Voice],
    *,
    dev_share: float,
    test_share: float,
    held_out_engine: str | None,
) -> tuple[dict[str, str], list[str]]:
    """Give every voice a split, per engine and speaker: the same one for every phrase and seed.

    The order is that of a hash of the speaker, from whose ends development and test take theirs. So a voice that tests
    one phrase trains no other and no trunk, and a model may be measured on voices that none of its parts has heard.

    Each engine with at least `FEWEST_SPEAKERS_TO_SPLIT` speakers has one or more speakers in every split. All voices
    of the held-out engine are for testing. Mixed voices must be made afterwards, from voices of one split.

    Returns:
        Voice name -> "train", "dev" or "test", and remarks for the user.
    """
    found: dict[str, str] = {}
    remarks: list[str] = []
    for engine in dict.fromkeys(voice.engine for voice in voices):
        own = [voice for voice in voices if voice.engine == engine]
        groups = _speakers(own)
        if engine == held_out_engine:
            found.update({voice.name: "test" for voice in own})
            remarks.append(f"{engine}: held out, all {len(own)} voices test and none trains")
            continue
        if len(groups) < FEWEST_SPEAKERS_TO_SPLIT:
            found.update({voice.name: "train" for voice in own})
            remarks.append(
                f"{engine}: {len(groups)} speaker(s) only, all for training; nothing is tested on this engine"
            )
            continue
        dev = max(1, round(dev_share * len(groups)))
        test = max(1, round(test_share * len(groups)))
        order = sorted(groups, key=_rank)
        for index, group in enumerate(order):
            split = "dev" if index < dev else "test" if index >= len(order) - test else "train"
            found.update({voice.name: split for voice in group})
    return found, remarks


def _rank(group: Sequence[Voice]) -> str:
    return content_key("speaker", sorted({base for voice in group for base in voice.bases}))


def _speakers(voices: Sequence[Voice]) -> list[list[Voice]]:
    """Voices grouped so that no base voice is in two groups."""
    groups: list[tuple[set[str], list[Voice]]] = []
    for voice in voices:
        bases, members = set(voice.bases), [voice]
        apart: list[tuple[set[str], list[Voice]]] = []
        for other_bases, other_members in groups:
            if bases & other_bases:
                bases, members = bases | other_bases, other_members + members
            else:
                apart.append((other_bases, other_members))
        groups = [*apart, (bases, members)]
    return [members for _, members in groups]


def speaker_of(voice: str) -> str:
    """Who speaks, from a voice's name: an espeak variant in any accent, an engine's voice at any pitch is one speaker;
    a mix counts as the first of its two. Other names stay as they are.

    >>> speaker_of("espeak/en-gb-scotland+linda"), speaker_of("flite/slt@1.09"), speaker_of("own/anna")
    ('espeak/linda', 'flite/slt', 'own/anna')
    >>> speaker_of("kokoro/af_alloy+am_fenrir@0.44")
    'kokoro/af_alloy'
    """
    engine, _, name = voice.partition("/")
    if engine == "espeak":
        return f"espeak/{name.rpartition('+')[2]}"
    return f"{engine}/{name.partition('@')[0].partition('+')[0]}" if engine in ("flite", "kokoro", "piper") else voice
