"""From a phrase to what is handed to the synthesis engines."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from wakelark.errors import ConfigError
from wakelark.phrase.espeakng import Phonemes, espeak

_BLOCK = re.compile(r"\[\[(.*?)\]\]")
_SPOKEN_CATEGORIES = ("L", "N")  # letters and numbers; anything else alone is nothing to say
_MAX_CHARACTERS = 80
# Their letters have names: "пэ эр и" is no way to say "при". Syllables and ideographs are what they are called.
_ALPHABETS = ("CYRILLIC", "GREEK", "HEBREW", "ARABIC", "ARMENIAN", "ETHIOPIC")


@dataclass(frozen=True)
class Pronunciation:
    """One way to say the phrase.

    Attributes:
        text: what to hand an engine; may be, or hold, espeak phonemes in [[...]].
        phonemes: IPA with stress marks.
        sounds: the same phonemes without stress, as espeak and the distance count them.
    """

    text: str
    phonemes: str
    sounds: Phonemes

    @property
    def plain_text(self) -> bool:
        """False when the text holds espeak phonemes, which a text-only engine cannot speak."""
        return "[[" not in self.text


def clean(text: str) -> str:
    """Unicode NFC, white space collapsed, quotes made plain.

    >>> clean("  hey   computer ")
    'hey computer'
    """
    return " ".join(unicodedata.normalize("NFC", text).replace("’", "'").split())


def pronounce(phrase: str, *, language: str, extra: Sequence[str]) -> list[Pronunciation]:
    """All pronunciations of a phrase: as espeak reads it, then `extra`; two that sound the same count once.

    Args:
        phrase: the wake phrase as a user writes it.
        language: an espeak language such as "en-us".
        extra: other spellings ("way clark"), or espeak phonemes in [[...]].

    Raises:
        ConfigError: the phrase or an extra pronunciation is empty or cannot be said, or the language is unknown.

    >>> [p.phonemes for p in pronounce("hey computer", language="en-us", extra=[])]
    ['hˈeɪ kəmpjˈuːɾɚ']
    """
    voice = espeak().identifier(language)
    found: list[Pronunciation] = []
    for index, given in enumerate((phrase, *extra)):
        what = "the phrase" if index == 0 else "the pronunciation"
        text = clean(given)
        _check(text, what=what)
        sounds = espeak().phonemes(text, voice=voice)
        if not sounds.flat:
            raise ConfigError(
                f"{what} {text!r} cannot be pronounced in {language!r}: espeak-ng makes no sound of it; "
                "write it as it sounds, or give its language with --language"
            )
        if foreign := [word for word in _BLOCK.sub(" ", text).split() if _is_foreign(word, voice)]:
            raise ConfigError(
                f"{what} {text!r} cannot be pronounced in {language!r}: its voices cannot read {foreign[0]!r}, "
                "they would name the letters; give its language with --language, or write it as it sounds"
            )
        if all(sounds.flat != other.sounds.flat for other in found):
            found.append(Pronunciation(text=text, phonemes=sounds.ipa, sounds=sounds))
    return found


def _is_foreign(word: str, voice: str) -> bool:
    """Whether a voice cannot read a word in another script than Latin: espeak then says "Chinese letter", or spells it.

    >>> voice = espeak().identifier("en-us")
    >>> [_is_foreign(word, voice) for word in ("小爱", "привет", "안녕", "brûlée", "R2D2")]
    [True, True, False, False, False]
    """
    letters = [c for c in word if c.isalpha() and not unicodedata.name(c, "").startswith("LATIN")]
    if not letters:
        return False
    # In a script that it reads, neighbouring letters sound different.
    if len({espeak().flat(chr(ord(letters[0]) + step), voice=voice) for step in range(4)}) == 1:
        return True
    if len(letters) < 2 or unicodedata.name(letters[0], "").partition(" ")[0] not in _ALPHABETS:
        return False
    said = espeak().phonemes("".join(letters), voice=voice)
    spelled = [sound for c in letters for sound in espeak().flat(c, voice=voice)]
    return len(said.words) >= len(letters) or sorted(said.flat) == sorted(spelled)


def _check(text: str, *, what: str) -> None:
    if not text:
        raise ConfigError(f'{what} is empty; give words to wake on, for instance: wakelark train "hey computer"')
    if len(text) > _MAX_CHARACTERS:
        raise ConfigError(
            f"{what} is {len(text)} characters long; a wake phrase is a few words, {_MAX_CHARACTERS} characters at most"
        )
    blocks = _BLOCK.findall(text)
    rest = _BLOCK.sub("", text)
    if "[[" in rest or "]]" in rest or any(not block.strip() for block in blocks):
        raise ConfigError(f"{what} {text!r} has unpaired or empty brackets; espeak phonemes are written [[h@l'oU]]")
    symbols = sorted({c for c in rest if unicodedata.category(c) in ("So", "Sk", "Cs", "Co", "Cn", "Cc", "Cf")})
    if symbols:
        raise ConfigError(
            f"{what} {text!r} holds {' '.join(symbols)}, which would be read out by its name; leave it out"
        )
    if not blocks and not any(unicodedata.category(c)[0] in _SPOKEN_CATEGORIES for c in rest):
        raise ConfigError(f"{what} {text!r} cannot be pronounced: it has no letters or digits; write it in words")
