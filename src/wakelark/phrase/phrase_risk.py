"""Is this a good wake phrase? Said before minutes are spent on training it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from wakelark.phrase.distance import _VOWELS, flatten
from wakelark.phrase.lexicon import lexicon, word_code, zipf
from wakelark.phrase.near_misses import too_close
from wakelark.phrase.pronounce import Pronunciation

_FEWEST_SEGMENTS = 5
_FEWEST_SYLLABLES = 3
_COMMON_ZIPF = 4.5  # about 30 times in a million words: several times a day in a home with a television
_KNOWN_ZIPF = 3.5
_CONFUSABLE_ZIPF = 3.0
_CONFUSABLE_SLACK = 0.1  # beyond `too_close`
_MOST_NAMED = 5


@dataclass(frozen=True, slots=True)
class Risk:
    """A reason why the phrase may disappoint.

    Attributes:
        level: "warning" for what will cost false alarms or misses, "info" for what to know.
        what: one short statement.
        why: what follows from it.
        remedy: what to do.
    """

    level: Literal["warning", "info"]
    what: str
    why: str
    remedy: str


def risk(phrase: str, pronunciations: Sequence[Pronunciation], *, language: str) -> list[Risk]:
    """All risks of a phrase, warnings first; empty for a good one.

    Raises:
        ConfigError: espeak does not speak the language.
    """
    found = [*_short(pronunciations), *_common(phrase, language), *_confusable(phrase, pronunciations, language)]
    if word_code(language) is None:
        found.append(
            Risk(
                "info",
                f"there is no word list for {language}",
                "near misses are parts of the phrase and the phrase with exchanged phonemes, without real words",
                "bring speech of the language without the phrase: --negatives DIR",
            )
        )
    return sorted(found, key=lambda risk: risk.level == "info")


def _short(pronunciations: Sequence[Pronunciation]) -> list[Risk]:
    rows = [flatten(p.sounds.flat) for p in pronunciations]
    row = min(rows, key=len)
    syllables = min(sum(segment[0] in _VOWELS for segment in r) for r in rows)
    if len(row) >= _FEWEST_SEGMENTS and syllables >= _FEWEST_SYLLABLES:
        return []
    much = len(row) < _FEWEST_SEGMENTS or syllables < 2
    return [
        Risk(
            "warning" if much else "info",
            f"the phrase is short: {len(row)} phonemes, {syllables} syllable(s)",
            "parts of ordinary speech sound like it, which costs false alarms or misses",
            'take one of three or more syllables, for instance with "hey" or "okay" before it',
        )
    ]


def _common(phrase: str, language: str) -> list[Risk]:
    words = phrase.casefold().split()
    # The phrase as a whole is no more common than its rarest word.
    rarest = min((zipf(word, language=language) for word in words), default=0.0)
    if len(words) > 2 or rarest < (_COMMON_ZIPF if len(words) == 1 else _COMMON_ZIPF + 0.8):
        if len(words) == 1 and rarest >= _KNOWN_ZIPF:
            remedy = 'put "hey" or "okay" before it if that bothers you'
            return [Risk("info", f"{phrase!r} is an ordinary word", "it wakes whenever somebody says it", remedy)]
        return []
    times = 10 ** (rarest - 3)
    what = f"{phrase!r} is common in everyday speech" + (
        f": about {times:.0f} times in a million words" if len(words) == 1 else ""
    )
    why = "it wakes whenever somebody says it, on purpose or not; no detector can tell"
    return [Risk("warning", what, why, "take rarer words, or an invented name")]


def _confusable(phrase: str, pronunciations: Sequence[Pronunciation], language: str) -> list[Risk]:
    words = lexicon(language)
    own = set(phrase.casefold().split())
    near: dict[str, float] = {}
    for pronunciation in pronunciations:
        target = flatten(pronunciation.sounds.flat)
        distances = words.table.distances(target)
        limit = too_close(pronunciation.sounds.flat) + _CONFUSABLE_SLACK
        for index in np.flatnonzero(distances <= limit):
            word = words.words[index]
            inflected = any(word.startswith(part) for part in own)
            if not inflected and zipf(word, language=language) >= _CONFUSABLE_ZIPF:
                near[word] = min(near.get(word, np.inf), float(distances[index]))
    if not near:
        return []
    named = sorted(near, key=lambda word: near[word])[:_MOST_NAMED]
    return [
        Risk(
            "warning",
            f"common words sound almost the same: {', '.join(named)}",
            "people and detectors mistake one for the other",
            "take another phrase, or a longer one",
        )
    ]
