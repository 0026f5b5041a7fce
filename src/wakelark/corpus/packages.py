"""The recordings that `wakelark fetch` brings: which Debian package, in which role, under which licence.

Roles keep the reports honest: what is trained on is never measured on. Packages are not moved between roles, and other
sound packages are not added, because recordings outside this table serve as independent tests of wakelark.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Role = Literal["train", "dev", "test"]
Kind = Literal["speech", "music"]
SIZES = ("quick", "standard", "thorough")
ROLES: tuple[Role, ...] = ("train", "dev", "test")


@dataclass(frozen=True, slots=True)
class Part:
    """One stream made of a package's files.

    Attributes:
        role: what it is used for.
        kind: "speech", or "music" (which includes effects).
        minutes: of audio it yields, as measured; what is lost when the package cannot be had.
        suffix: of the stream's name, after the package's.
        inside: only files below a folder of this name ("" for all).
        outside: only files not below a folder of this name.
        half: 1 or 2 for the first or second half of the files by name, 0 for all.
        heard: what is heard, where `kind` does not say it well enough for a report.
    """

    role: Role
    kind: Kind
    minutes: float
    suffix: str = ""
    inside: str = ""
    outside: str = ""
    half: int = 0
    heard: str = ""


@dataclass(frozen=True, slots=True)
class Package:
    """A Debian package with audio in it.

    Attributes:
        name: of the package.
        smallest: the smallest size set that has it.
        megabytes: of the download.
        unpacked_megabytes: on disk while it is decoded, without the download.
        languages: what is spoken, as ISO 639 codes; empty for music.
        licence: of the audio, as the package's copyright file states it.
        what: is heard in it.
        parts: the streams it gives.
    """

    name: str
    smallest: Literal["quick", "standard", "thorough"]
    megabytes: int
    unpacked_megabytes: int
    languages: tuple[str, ...]
    licence: str
    what: str
    parts: tuple[Part, ...]


_ASTERISK = "CC-BY-SA-3.0"

PACKAGES: tuple[Package, ...] = (
    Package("asterisk-core-sounds-en-wav", "quick", 18, 25, ("en",), _ASTERISK,
            "telephone prompts, one speaker, 8 kHz", (Part("train", "speech", 25),)),
    Package("asterisk-core-sounds-fr-wav", "quick", 19, 26, ("fr",), _ASTERISK,
            "telephone prompts, one speaker, 8 kHz", (Part("train", "speech", 25),)),
    Package("asterisk-moh-opsound-wav", "quick", 14, 18, (), _ASTERISK,
            "music on hold, 8 kHz", (Part("train", "music", 18),)),
    Package("klettres-data", "quick", 40, 52,
            ("ar", "cs", "da", "de", "en", "es", "fr", "he", "hu", "it", "lt", "ml", "nds", "nl", "ru"), "GPL-2+",
            "letters and syllables", (Part("train", "speech", 51),)),
    Package("tuxpaint-stamps-default", "standard", 161, 223, ("be", "bg", "da", "de", "en", "es", "fr", "ro"), "GPL-2",
            "short spoken descriptions by many volunteers, animal and object sounds", (Part("train", "speech", 162),)),
    Package("hedgewars-data", "standard", 146, 164, ("en", "es", "pl", "ru", "uk"), "GPL-2 and CC-BY-SA-3.0",
            "taunts in many voices; music and effects", (
                Part("train", "speech", 14.5, ".voices", inside="voices"),
                Part("train", "music", 96, ".music", outside="voices"))),
    Package("widelands-data", "thorough", 382, 457, (), "GPL-2+ and CC-BY-SA-3.0",
            "music, animals, tools", (Part("train", "music", 102),)),
    Package("asterisk-core-sounds-es-wav", "quick", 24, 30, ("es",), _ASTERISK,
            "telephone prompts, one speaker, 8 kHz", (Part("dev", "speech", 30),)),
    Package("asterisk-core-sounds-it-wav", "quick", 19, 24, ("it",), _ASTERISK,
            "telephone prompts, one speaker, 8 kHz", (Part("dev", "speech", 23),)),
    Package("asterisk-core-sounds-ru-wav", "quick", 19, 25, ("ru",), _ASTERISK,
            "telephone prompts, one speaker, 8 kHz", (Part("dev", "speech", 24),)),
    Package("asterisk-prompt-it-menardi-wav", "quick", 19, 25, ("it",), "CC-BY-SA-3.0",
            "telephone prompts, one speaker, 8 kHz", (Part("dev", "speech", 24),)),
    Package("ktuberling-data", "standard", 47, 65,
            ("ca", "da", "de", "el", "en", "fr", "gl", "lt", "nn", "ru", "sl", "sr", "uk", "wa"),
            "GPL-2+ and CC-BY-3.0", "single words by volunteers", (Part("dev", "speech", 31.5),)),
    Package("fillets-ng-data-nl", "standard", 33, 40, ("nl",), "GPL-2+",
            "dialogue, several actors", (
                Part("dev", "speech", 49, ".dev", half=1, heard="dialogue"),
                Part("test", "speech", 47, ".test", half=2, heard="dialogue"))),
    Package("qabcs-data", "quick", 34, 42, ("be", "de", "en", "fr", "pl", "ru", "uk"), "GPL-3+ and CC0-1.0",
            "words and letters; animals", (Part("test", "speech", 26, heard="single words"),)),
    Package("codec2-examples", "quick", 12, 34, ("en",), "LGPL-2.1",
            "sentences, 8 and 16 kHz", (Part("test", "speech", 5, heard="sentences"),)),
    Package("supertuxkart-data", "thorough", 628, 723, (), "CC-BY-SA-3.0 and alike",
            "music and effects", (
                Part("test", "music", 69, ".music", outside="sfx"),
                Part("test", "music", 8, ".effects", inside="sfx", heard="noise"))),
    Package("freedroidrpg-data", "thorough", 229, 256, (), "GPL-2+",
            "music and effects", (
                Part("test", "music", 51, ".music", outside="effects"),
                Part("test", "music", 4.7, ".effects", inside="effects", heard="noise"))),
)  # fmt: skip
"""In the order train, dev, test: where two packages hold the same file, the later one loses it."""


def packages_of(size: str) -> tuple[Package, ...]:
    """The packages of a size set; "none" has none.

    >>> len(packages_of("none")), len(packages_of("quick")), len(packages_of("thorough"))
    (0, 10, 17)
    """
    if size == "none":
        return ()
    rank = SIZES.index(size)
    return tuple(package for package in PACKAGES if SIZES.index(package.smallest) <= rank)


def stream_names(package: Package) -> tuple[str, ...]:
    """Names of the streams that a package gives."""
    return tuple(package.name + part.suffix for part in package.parts)


def kind_of_audio(name: str, kind: str) -> str:
    """What is heard in the stream of this name: "dialogue", "single words", ...; its kind where nothing else is known.

    >>> kind_of_audio("fillets-ng-data-nl.test", "speech"), kind_of_audio("own-1", "speech")
    ('dialogue', 'speech')
    """
    heard = {package.name + part.suffix: part.heard for package in PACKAGES for part in package.parts}
    return heard.get(name) or kind
