"""The words of a language with their phonemes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from wakelark.phrase.distance import SegmentTable, flatten
from wakelark.phrase.espeakng import espeak

_WORDS = 25_000
_UNSPACED = ("zh", "ja", "ko")  # wordfreq would cut these texts into words with packages that wakelark does without
_OTHER_CODES = {"cmn": "zh", "yue": "zh", "no": "nb"}  # espeak's code -> the word lists' code


@dataclass(frozen=True)
class Lexicon:
    """Common words, most frequent first, and their segments; both empty for a language without a word list."""

    words: list[str]
    segments: list[tuple[str, ...]]
    table: SegmentTable


def word_code(language: str) -> str | None:
    """The language's code in the word lists, None when they lack it.

    >>> word_code("en-us"), word_code("tlh")
    ('en', None)
    """
    import wordfreq

    code = language.strip().lower().replace("_", "-").partition("-")[0].rpartition("/")[2]
    code = _OTHER_CODES.get(code, code)
    return code if code in wordfreq.available_languages("best") else None


def zipf(word: str, *, language: str) -> float:
    """How common a word is: 7 is "the", 3 is once in a million words, 0 is unknown."""
    import wordfreq

    code = word_code(language)
    if code in _UNSPACED:
        frequency = wordfreq.get_frequency_dict(code).get(word, 0.0)
        return round(wordfreq.freq_to_zipf(frequency), 2) if frequency else 0.0
    return wordfreq.zipf_frequency(word, code) if code else 0.0


@lru_cache(maxsize=4)
def lexicon(language: str) -> Lexicon:
    """The words of `language` with their phonemes; takes about a second, so it is kept in memory, not on disk."""
    import wordfreq

    voice = espeak().identifier(language)
    code = word_code(language)
    if code is None:
        return Lexicon(words=[], segments=[], table=SegmentTable([]))
    words: list[str] = []
    rows: list[tuple[str, ...]] = []
    for word in wordfreq.top_n_list(code, _WORDS):
        if word.replace("'", "").isalpha() and (row := flatten(espeak().flat(word, voice=voice))):
            words.append(word)
            rows.append(row)
    return Lexicon(words=words, segments=rows, table=SegmentTable(rows))
