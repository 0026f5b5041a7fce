"""What a phrase sounds like, what sounds almost like it, and whether it makes a good wake phrase."""

from wakelark.phrase.espeakng import Espeak, Phonemes, espeak
from wakelark.phrase.pronounce import Pronunciation, clean, pronounce

__all__ = ["Espeak", "Phonemes", "Pronunciation", "clean", "espeak", "pronounce"]
