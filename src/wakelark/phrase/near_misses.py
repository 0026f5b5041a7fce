"""What sounds almost like the phrase: near words, parts of it, its words in another order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import permutations

import numpy as np

from wakelark.phrase.distance import SegmentTable, contains_phrase, distance, flatten
from wakelark.phrase.espeakng import espeak
from wakelark.phrase.lexicon import Lexicon, lexicon, zipf
from wakelark.phrase.pronounce import Pronunciation

TOO_CLOSE = 0.5
TOO_CLOSE_PER_SEGMENT = 0.08
"""Nearer than this (one similar sound exchanged) nobody can say for sure which of the two was spoken: never a
negative. In a long phrase one sound matters less: people too hear "hey computer" when somebody says "pay computer"."""
_FARTHEST_PER_PHONEME = 0.45  # farther than this per phoneme of the phrase is just another word
_COMMON_BONUS = 0.05  # per step of the Zipf scale: common words are met more often
_SHORTEST_PART = 3  # phonemes
_WORDS_FIRST = 2.0  # a part that is whole words is worth this much distance
_SHARES = {"near_miss": 0.76, "partial": 0.12, "swap": 0.12}
_PAIR_WORDS = 6000  # pairs are made of words that are really common
_CLOSENESS = 0.6  # the larger, the less the closest are preferred
_USES_PER_WORD = 0.08  # at most this share of the near misses hold the same replacing word
_HELD_OUT_SHARE = 0.25
_STRESS = "',%="  # marks before an espeak mnemonic
_INSERTED = {"en": ("the", "my", "a", "this", "your", "big"), "de": ("der", "mein", "die"), "fr": ("le", "mon", "la"),
             "es": ("el", "mi", "la"), "it": ("il", "mio", "la"), "nl": ("de", "mijn", "het")}  # fmt: skip


@dataclass(frozen=True, slots=True)
class NearMiss:
    """Something to be told apart from the phrase.

    Attributes:
        text: what to hand an engine; may be espeak phonemes in [[...]].
        kind: "near_miss", "partial" or "swap".
        distance: to the nearest pronunciation of the phrase, at least `too_close` of it.
        phonemes: IPA.
        held_out: kept for voices that are not trained on, so that these hear other texts than training has.
    """

    text: str
    kind: str
    distance: float
    phonemes: str
    held_out: bool = False

    @property
    def plain_text(self) -> bool:
        """False when the text holds espeak phonemes."""
        return "[[" not in self.text


def too_close(phrase: Sequence[str]) -> float:
    """The distance from which on something counts as different from a phrase of these phonemes.

    >>> too_close(["h", "eɪ"])
    0.5
    """
    return max(TOO_CLOSE, TOO_CLOSE_PER_SEGMENT * len(flatten(phrase)))


def near_misses(
    pronunciations: Sequence[Pronunciation], *, phrase: str, language: str, count: int, rng: np.random.Generator
) -> list[NearMiss]:
    """Up to `count` different ones, closest first, none `too_close` to a pronunciation nor holding one.

    When that many more are known, a quarter as many again follow that are `held_out`; they do not count.
    A language without a word list gets parts, swaps and phrases with exchanged phonemes only; `risk` says so.

    Raises:
        ConfigError: espeak does not speak the language.
    """
    words = lexicon(language)
    voice = espeak().identifier(language)
    judge = _Judge(pronunciations, voice)
    pools: dict[str, list[NearMiss]] = {kind: [] for kind in _SHARES}
    # Bracketed phonemes have no words to exchange, so the first spelling serves for texts, when there is one.
    spelled = next((p for p in pronunciations if p.plain_text), pronunciations[0])
    proposals = [
        ("partial", _parts(spelled)),
        ("swap", _swaps(spelled, language)),
        ("near_miss", _near_texts(spelled, phrase, words)),
    ]
    if not words.words:
        proposals.append(("near_miss", _mutations(spelled, voice, count, rng)))
    seen: set[str] = set()
    for kind, texts in proposals:
        for text in texts:
            if text not in seen:
                seen.add(text)
                if (miss := judge.judged(text, kind)) is not None:
                    pools[kind].append(miss)
    return _select(pools, count=count, language=language, rng=rng)


class _Judge:
    """Measures texts against all pronunciations of the phrase."""

    def __init__(self, pronunciations: Sequence[Pronunciation], voice: str) -> None:
        self._phrases = [p.sounds.flat for p in pronunciations]
        self._voice = voice

    def judged(self, text: str, kind: str) -> NearMiss | None:
        sounds = espeak().phonemes(text, voice=self._voice)
        if not sounds.flat or any(contains_phrase(sounds.flat, phrase) for phrase in self._phrases):
            return None
        distances = [distance(phrase, sounds.flat) for phrase in self._phrases]
        if any(near < too_close(phrase) for near, phrase in zip(distances, self._phrases, strict=True)):
            return None
        return NearMiss(text=text, kind=kind, distance=round(min(distances), 3), phonemes=sounds.ipa)


def _near_texts(spelled: Pronunciation, phrase: str, words: Lexicon) -> list[str]:
    """Texts made of real words: one or all words of the phrase exchanged, near single words, near pairs of words."""
    if not words.words:
        return []
    parts = spelled.text.split()
    texts = _nearest(words, flatten(spelled.sounds.flat), top=80)
    if len(parts) > 1 and len(parts) == len(spelled.sounds.words):
        options = [_nearest(words, flatten(sounds), top=40) for sounds in spelled.sounds.words]
        for index, near in enumerate(options):
            texts += [" ".join([*parts[:index], word, *parts[index + 1 :]]) for word in near]
        first, last = options[0], options[-1]
        middle = parts[1:-1]
        texts += [" ".join([a, *middle, b]) for a in first[:12] for b in last[:12]]
    texts += _pairs(words, flatten(spelled.sounds.flat))
    return [text for text in dict.fromkeys(texts) if text.casefold() != phrase.casefold()]


def _nearest(words: Lexicon, target: Sequence[str], *, top: int) -> list[str]:
    """The words nearest to some segments, common ones preferred; those that are too close are left out."""
    distances = words.table.distances(target)
    rank = np.arange(len(distances))
    order = np.argsort(distances + _COMMON_BONUS * np.log10(1 + rank), kind="stable")
    farthest = max(1.2, _FARTHEST_PER_PHONEME * len(target) + 0.5)
    usable = [index for index in order[: 3 * top] if TOO_CLOSE <= distances[index] <= farthest]
    return [words.words[index] for index in usable[:top]]


def _pairs(words: Lexicon, target: Sequence[str]) -> list[str]:
    """Two common words that together sound like the phrase ("the access" for "alexa")."""
    table = SegmentTable(words.segments[:_PAIR_WORDS])
    texts: list[str] = []
    for cut in range(1, len(target)):
        left, right = table.distances(target[:cut]), table.distances(target[cut:])
        first, second = (np.argsort(d + _COMMON_BONUS * np.log10(1 + np.arange(len(d))))[:7] for d in (left, right))
        texts += [f"{words.words[a]} {words.words[b]}" for a in first for b in second]
    return texts


def _parts(spelled: Pronunciation) -> list[str]:
    """Beginnings and ends of the phrase: by words, and by phonemes at the border of a consonant and a vowel."""
    words = spelled.text.split() if spelled.plain_text else []
    texts = [" ".join(words[:end]) for end in range(1, len(words))]
    texts += [" ".join(words[start:]) for start in range(1, len(words))]
    texts += words if len(words) > 2 else []
    sounds = [m for word in spelled.sounds.mnemonics for m in word]
    for cut in range(1, len(sounds)):
        texts += [_bracketed(part) for part in (sounds[:cut], sounds[cut:]) if len(part) >= _SHORTEST_PART]
    return texts


def _swaps(spelled: Pronunciation, language: str) -> list[str]:
    """The words in another order, repeated, or with another word between; for one word, its halves exchanged."""
    words = spelled.text.split() if spelled.plain_text else []
    if len(words) < 2:
        sounds = [m for word in spelled.sounds.mnemonics for m in word]
        return [_bracketed(sounds[cut:] + sounds[:cut]) for cut in range(2, len(sounds) - 1)]
    orders = permutations(words) if len(words) <= 4 else [words[::-1], words[1:] + words[:1]]
    texts = [" ".join(order) for order in orders]
    texts += [f"{word} {word}" for word in words]
    # "hey smart smart mirror"; of two words, one repeated, the phrase itself remains.
    texts += [" ".join([*words[: i + 1], *words[i:]]) for i in range(len(words))] if len(words) > 2 else []
    inserted = _INSERTED.get(language.partition("-")[0].lower(), ())
    texts += [" ".join([*words[:i], extra, *words[i:]]) for i in range(1, len(words)) for extra in inserted]
    return [text for text in dict.fromkeys(texts) if text != " ".join(words)]


def _mutations(spelled: Pronunciation, voice: str, count: int, rng: np.random.Generator) -> list[str]:
    """The phrase with one or two phonemes, or some more, exchanged for others of the language, spoken as phonemes."""
    sounds = [m for word in spelled.sounds.mnemonics for m in word]
    # Without a word list: the sounds espeak gives the Latin alphabet's syllables in this language.
    syllables = " ".join(c + v for c in "bdfghklmnprstvz" for v in "aeiou")
    sample = espeak().phonemes(syllables, voice=voice).mnemonics
    inventory = sorted({m.lstrip(_STRESS) for word in (*sample, tuple(sounds)) for m in word})
    most = 3 + len(sounds) // 8  # in a long phrase two exchanged sounds may still be too close
    texts: list[str] = []
    for _ in range(3 * count):
        changed = list(sounds)
        for position in rng.choice(len(sounds), size=min(len(sounds), int(rng.integers(1, most))), replace=False):
            old = changed[position]
            stress = old[: len(old) - len(old.lstrip(_STRESS))]
            changed[position] = stress + inventory[rng.integers(len(inventory))]
        texts.append(_bracketed(changed))
    return texts


def _bracketed(mnemonics: Sequence[str]) -> str:
    return "[[" + "".join(mnemonics) + "]]"


def _select(pools: dict[str, list[NearMiss]], *, count: int, language: str, rng: np.random.Generator) -> list[NearMiss]:
    """Draw by closeness, then the held-out ones from what is left."""
    drawn = {kind: _drawn(pools[kind], language, rng) for kind in ("partial", "swap", "near_miss")}
    chosen = _filled(drawn, count)
    taken = {miss.text for miss in chosen}
    left = {kind: [miss for miss in row if miss.text not in taken] for kind, row in drawn.items()}
    held_out = [replace(miss, held_out=True) for miss in _filled(left, round(_HELD_OUT_SHARE * count))]
    return sorted(chosen + held_out, key=lambda miss: miss.distance)


def _filled(drawn: dict[str, list[NearMiss]], count: int) -> list[NearMiss]:
    """The first of each kind, without repeating one word too often; what one kind lacks, near misses fill up."""
    chosen: list[NearMiss] = []
    uses: dict[str, int] = {}
    most = max(2, round(_USES_PER_WORD * count))
    for kind, row in drawn.items():
        room = count - len(chosen) if kind == "near_miss" else round(_SHARES[kind] * count)
        taken = 0
        for miss in row:
            if taken == room:
                break
            own = [word for word in miss.text.split() if kind == "near_miss"]
            if any(uses.get(word, 0) >= most for word in own):
                continue
            for word in own:
                uses[word] = uses.get(word, 0) + 1
            chosen.append(miss)
            taken += 1
    return chosen


def _drawn(pool: list[NearMiss], language: str, rng: np.random.Generator) -> list[NearMiss]:
    """The pool in a random order that prefers close ones of common words (Gumbel keys)."""
    scores = [
        -(miss.distance - _COMMON_BONUS * min((zipf(w, language=language) for w in miss.text.split()), default=0.0))
        / _CLOSENESS
        + _WORDS_FIRST / _CLOSENESS * (miss.kind == "partial" and miss.plain_text)
        + rng.gumbel()
        for miss in pool
    ]
    return [pool[index] for index in np.argsort(scores)[::-1]]
