"""How far apart two pronunciations are: edit distance over phonemes, where similar sounds cost less to exchange.

A cost of 1 is a clearly different sound. Voicing alone (p/b) costs 0.25, a neighbouring vowel (ɛ/æ) about 0.2.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

# height (0 close, 1 open), backness (0 front, 1 back), rounded
_VOWELS: dict[str, tuple[float, float, float]] = {
    "i": (0, 0, 0), "y": (0, 0, 1), "ɨ": (0, 0.5, 0), "ʉ": (0, 0.5, 1), "ɯ": (0, 1, 0), "u": (0, 1, 1),
    "ɪ": (0.17, 0.15, 0), "ᵻ": (0.2, 0.4, 0), "ʏ": (0.17, 0.15, 1), "ʊ": (0.17, 0.85, 1),
    "e": (0.33, 0, 0), "ø": (0.33, 0, 1), "ɘ": (0.33, 0.5, 0), "ɵ": (0.33, 0.5, 1), "ɤ": (0.33, 1, 0),
    "o": (0.33, 1, 1),
    "ə": (0.5, 0.5, 0), "ɚ": (0.5, 0.5, 0), "ɛ": (0.67, 0, 0), "œ": (0.67, 0, 1), "ɜ": (0.67, 0.5, 0),
    "ɝ": (0.67, 0.5, 0), "ɞ": (0.67, 0.5, 1), "ʌ": (0.67, 0.75, 0), "ɔ": (0.67, 1, 1), "æ": (0.85, 0.1, 0),
    "ɐ": (0.8, 0.5, 0), "a": (1, 0.3, 0), "ɶ": (1, 0, 1), "ɑ": (1, 1, 0), "ɒ": (1, 1, 1),
}  # fmt: skip
_PLACES = (
    ("pbmɸβwɓʙ", 0.0), ("fvɱʋⱱ", 0.1), ("θð", 0.25), ("tdnszlrɹɾɬɮɗ", 0.35), ("ʃʒʧʤɕʑ", 0.45), ("ʈɖɳʂʐɽɻɭ", 0.55),
    ("cɟɲçʝjʎɥ", 0.65), ("kɡgŋxɣɰʟɠ", 0.8), ("qɢɴχʁʀɫ", 0.9), ("ħʕ", 0.95), ("hɦʔ", 1.0),
)  # fmt: skip
# closure and sonority: how the breath is stopped, how much it rings
_MANNERS = (
    ("pbtdʈɖcɟkɡgqɢʔɓɗɠ", (0.0, 0.0)), ("ʧʤ", (0.3, 0.0)), ("ɸβfvθðszʃʒɕʑʂʐçʝxɣχʁħʕhɦɬɮ", (0.6, 0.1)),
    ("mɱnɳɲŋɴ", (0.1, 0.7)), ("ɾɽⱱ", (0.4, 0.6)), ("rʙʀ", (0.5, 0.7)), ("lɭʎʟɫ", (0.8, 0.9)), ("wʋɹɻjɰɥ", (1.0, 1.0)),
)  # fmt: skip
_VOICELESS = frozenset("ptʈckqʔɸfθsʃɕʂçxχħhɬʧ")
_SIBILANTS = frozenset("szʃʒɕʑʂʐʧʤ")
_AFFRICATES = {"tʃ": "ʧ", "dʒ": "ʤ", "tɕ": "ʧ", "dʑ": "ʤ"}
_SAME_ENOUGH = {frozenset("ɾt"): 0.1, frozenset("ɾd"): 0.1, frozenset("ɡg"): 0.0, frozenset("ɚə"): 0.15}
_GLIDES = {frozenset("ji"): 0.4, frozenset("jɪ"): 0.5, frozenset("wu"): 0.4, frozenset("wʊ"): 0.5}
_DROPPED = {"ə": 0.5, "ɐ": 0.6, "ɪ": 0.6, "ᵻ": 0.6, "h": 0.5, "ʔ": 0.3, "j": 0.5, "ɹ": 0.5}  # easily lost sounds
_VOWEL_AND_CONSONANT = 1.2
_DROP_VOWEL, _DROP_CONSONANT = 0.8, 0.7

CONTAINS_WITHIN = 0.25
"""A text holds the phrase when some stretch of it is nearer than this: the same sounds up to a flap or a stress."""


@lru_cache(maxsize=4096)
def segments(phoneme: str) -> tuple[str, ...]:
    """One phoneme of espeak as the units of the distance: "ɑːɹ" are a vowel and a consonant, "eɪ" stays whole.

    >>> segments("ɑːɹ"), segments("eɪ"), segments("tʃ")
    (('ɑː', 'ɹ'), ('eɪ',), ('ʧ',))
    """
    for two, one in _AFFRICATES.items():
        phoneme = phoneme.replace(two, one)
    found: list[str] = []
    for symbol in phoneme:
        if symbol in _VOWELS:
            joins = bool(found) and found[-1][0] in _VOWELS and len(found[-1].replace("ː", "")) < 2
            if joins:
                found[-1] += symbol
            else:
                found.append(symbol)
        elif symbol == "ː" and found:
            found[-1] += symbol
        elif any(symbol in symbols for symbols, _ in _PLACES):
            found.append(symbol)
    return tuple(found)


def flatten(phonemes: Sequence[str]) -> tuple[str, ...]:
    """The segments of a row of phonemes."""
    return tuple(segment for phoneme in phonemes for segment in segments(phoneme))


@lru_cache(maxsize=65536)
def substitution(a: str, b: str) -> float:
    """Cost of one segment heard for another, 0 to 1.2.

    >>> substitution("p", "b") < substitution("p", "s") and substitution("ɛ", "æ") < substitution("iː", "ɑː")
    True
    """
    if a == b:
        return 0.0
    vowels = (a[0] in _VOWELS, b[0] in _VOWELS)
    pair = frozenset((a.rstrip("ː"), b.rstrip("ː")))
    if pair in _SAME_ENOUGH:
        return _SAME_ENOUGH[pair]
    if all(vowels):
        return _between_vowels(a, b)
    if any(vowels):
        return _GLIDES.get(pair, _VOWEL_AND_CONSONANT)
    return _between_consonants(a[0], b[0])


def _between_vowels(a: str, b: str) -> float:
    ends = [(_VOWELS[v[0]], _VOWELS[v.replace("ː", "")[-1]]) for v in (a, b)]
    (start_a, end_a), (start_b, end_b) = ends
    cost = 0.45 * (abs(start_a[0] - start_b[0]) + 0.6 * abs(start_a[1] - start_b[1]))
    cost += 0.25 * (abs(end_a[0] - end_b[0]) + 0.6 * abs(end_a[1] - end_b[1]))
    cost += 0.1 * abs(start_a[2] - start_b[2])
    cost += 0.06 * (("ː" in a) != ("ː" in b)) + 0.2 * ((a[0] in "ɚɝ") != (b[0] in "ɚɝ"))
    return min(1.0, cost)


def _between_consonants(a: str, b: str) -> float:
    place = abs(_place(a) - _place(b))
    manner = float(np.hypot(*np.subtract(_manner(a), _manner(b))))
    cost = (0.15 + 0.3 * place) * (place > 0) + 0.4 * manner
    cost += 0.25 * ((a in _VOICELESS) != (b in _VOICELESS)) + 0.1 * ((a in _SIBILANTS) != (b in _SIBILANTS))
    return min(1.0, cost)


def _place(symbol: str) -> float:
    return next(place for symbols, place in _PLACES if symbol in symbols)


def _manner(symbol: str) -> tuple[float, float]:
    return next((manner for symbols, manner in _MANNERS if symbol in symbols), (0.5, 0.5))


def dropping(segment: str) -> float:
    """Cost of a segment that is left out, or put in."""
    if segment in _DROPPED:
        return _DROPPED[segment]
    return _DROP_VOWEL if segment[0] in _VOWELS else _DROP_CONSONANT


class SegmentTable:
    """Many pronunciations as one integer matrix, for distances to all of them at once.

    Args:
        rows: the segments of each.
    """

    def __init__(self, rows: Sequence[Sequence[str]]) -> None:
        self.inventory = sorted({segment for row in rows for segment in row})
        code = {segment: index for index, segment in enumerate(self.inventory)}
        self.lengths = np.array([len(row) for row in rows], np.int64)
        width = int(self.lengths.max()) if rows else 0
        self.codes = np.zeros((len(rows), width), np.int64)
        for index, row in enumerate(rows):
            self.codes[index, : len(row)] = [code[segment] for segment in row]
        self._drop = np.array([dropping(segment) for segment in self.inventory])

    def distances(self, target: Sequence[str], *, free_ends: bool = False) -> NDArray[np.float64]:
        """Distance of `target` to every row.

        Args:
            target: segments.
            free_ends: what a row has before and after its best stretch costs nothing: is the target inside the row?

        Shape: `-> [rows]`
        """
        rows, width = self.codes.shape
        if rows == 0:
            return np.zeros(0)
        table = np.array([[substitution(t, s) for s in self.inventory] for t in target]).reshape(len(target), -1)
        insert = self._drop[self.codes]  # [rows, width]: cost of a segment of the row that the target lacks
        before = np.zeros((rows, width + 1))
        if not free_ends:
            before[:, 1:] = np.cumsum(insert, axis=1)
        for position, segment in enumerate(target):
            now = np.empty_like(before)
            now[:, 0] = before[:, 0] + dropping(segment)
            exchange = before[:, :-1] + table[position][self.codes]
            drop = before[:, 1:] + dropping(segment)
            for column in range(width):
                best = np.minimum(exchange[:, column], drop[:, column])
                now[:, column + 1] = np.minimum(best, now[:, column] + insert[:, column])
            before = now
        if free_ends:
            inside = np.arange(width + 1)[None] <= self.lengths[:, None]
            return np.where(inside, before, np.inf).min(axis=1)
        return before[np.arange(rows), self.lengths]


def distance(a: Sequence[str], b: Sequence[str]) -> float:
    """Distance of two rows of phonemes.

    >>> distance(("k", "æ", "t"), ("k", "æ", "t")), distance(("p", "ɪ", "n"), ("b", "ɪ", "n"))
    (0.0, 0.25)
    """
    return float(SegmentTable([flatten(b)]).distances(flatten(a))[0])


def contains_phrase(phonemes: Sequence[str], phrase: Sequence[str], *, within: float = CONTAINS_WITHIN) -> bool:
    """Whether a row of phonemes holds the phrase, word borders ignored.

    >>> contains_phrase(("ɐ", "l", "ɛ", "k", "s", "ə", "s"), ("ɐ", "l", "ɛ", "k", "s", "ə"))
    True
    """
    target = flatten(phrase)
    return bool(SegmentTable([flatten(phonemes)]).distances(target, free_ends=True)[0] < within)
