"""What a phrase sounds like, what sounds almost like it, and whether it makes a good wake phrase."""

from wakelark.phrase.distance import contains_phrase, distance
from wakelark.phrase.espeakng import Espeak, Phonemes, espeak
from wakelark.phrase.near_misses import NearMiss, near_misses, too_close
from wakelark.phrase.phrase_risk import Risk, risk
from wakelark.phrase.pronounce import Pronunciation, clean, pronounce

__all__ = [
    "Espeak",
    "NearMiss",
    "Phonemes",
    "Pronunciation",
    "Risk",
    "clean",
    "contains_phrase",
    "distance",
    "espeak",
    "near_misses",
    "pronounce",
    "risk",
    "too_close",
]
