"""espeak-ng through ctypes: phonemes of any text, and speech as samples. Nothing is installed on the system for it.

The library keeps one global state (voice, rate, pitch), so there is one per process, and calls come from one thread.
The package `espeakng-loader` (GPL-3) brings the library and its data; wakelark only calls it while training.
"""

from __future__ import annotations

import ctypes
import difflib
import re
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec

import numpy as np

from wakelark.audio import Float32Array
from wakelark.errors import ConfigError, SetupError

_SYNCHRONOUS = 2  # espeak_AUDIO_OUTPUT: samples go to the callback, nothing is played
_UTF8 = 1
_PHONEME_INPUT = 0x100  # text may hold [[phonemes]]
_END_PAUSE = 0x1000
_IPA = 0x02
_SEPARATOR = "_"
_RATE, _PITCH, _RANGE = 1, 3, 4  # espeak_PARAMETER
_OK = 0
_LANGUAGE_MARK = re.compile(r"\([^)]*\)")  # "(en)": espeak switched language inside a clause

_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)


class _VoiceRecord(ctypes.Structure):
    """`espeak_VOICE` of speak_lib.h."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("languages", ctypes.c_void_p),
        ("identifier", ctypes.c_char_p),
        ("gender", ctypes.c_ubyte),
        ("age", ctypes.c_ubyte),
        ("variant", ctypes.c_ubyte),
        ("unused", ctypes.c_ubyte),
        ("score", ctypes.c_int),
        ("spare", ctypes.c_void_p),
    )


@dataclass(frozen=True)
class Phonemes:
    """What espeak says for a text.

    Attributes:
        ipa: IPA with stress marks, words parted by spaces, clauses by ", ".
        words: per spoken word its phonemes in IPA without stress marks, e.g. `(("h", "eɪ"), ("k", "ə", ...))`.
        mnemonics: the same words in espeak's own ASCII phonemes, with stress; `[[...]]` around them is speakable.
    """

    ipa: str
    words: tuple[tuple[str, ...], ...]
    mnemonics: tuple[tuple[str, ...], ...]

    @property
    def flat(self) -> tuple[str, ...]:
        """All phonemes of all words in one row."""
        return tuple(phoneme for word in self.words for phoneme in word)


class Espeak:
    """The loaded library. Get it from `espeak()`; do not make a second one in a process."""

    def __init__(self) -> None:
        import espeakng_loader

        try:
            self._library = ctypes.CDLL(espeakng_loader.get_library_path())
        except OSError as error:
            raise SetupError(
                f"espeak-ng's library does not load: {error}; pip install --force-reinstall espeakng-loader"
            ) from error
        data = espeakng_loader.get_data_path().encode()
        self.sample_rate: int = self._library.espeak_Initialize(_SYNCHRONOUS, 0, data, 0)
        if self.sample_rate <= 0:
            raise SetupError(
                "espeak-ng does not start with its own data; pip install --force-reinstall espeakng-loader"
            )
        self._library.espeak_TextToPhonemes.restype = ctypes.c_char_p
        self._library.espeak_ListVoices.restype = ctypes.POINTER(ctypes.POINTER(_VoiceRecord))
        self._pieces: list[np.ndarray] = []
        self._callback = _Callback(self._collect)  # kept: ctypes does not hold a reference
        self._library.espeak_SetSynthCallback(self._callback)
        self._voice = ""
        self.languages = self._list_languages()
        # Phoneme input is switched on by a synthesis call and then stays on, also for phonemes().
        self.speak("a", voice=self.identifier("en-us"), rate_wpm=400, pitch=50)

    def _collect(self, samples: ctypes._Pointer[ctypes.c_short], count: int, events: int) -> int:
        if count > 0:
            self._pieces.append(np.ctypeslib.as_array(samples, (count,)).copy())
        return 0

    def _list_languages(self) -> dict[str, str]:
        """Language code -> espeak's identifier, e.g. "en-gb" -> "gmw/en"."""
        ranked: dict[str, tuple[int, str]] = {}
        records = self._library.espeak_ListVoices(None)
        index = 0
        while records[index]:
            record = records[index].contents
            identifier = record.identifier.decode()
            for code, priority in ((identifier.lower(), 0), *_language_codes(record.languages)):
                # Several voices may claim a code ("fr": France, Belgium): the smallest number is the main one,
                # then the shorter name.
                rank = (priority, len(identifier))
                if code not in ranked or rank < (ranked[code][0], len(ranked[code][1])):
                    ranked[code] = (priority, identifier)
            index += 1
        return {code: identifier for code, (_, identifier) in ranked.items()}

    def identifier(self, language: str) -> str:
        """espeak's own name of a language: "en-gb" -> "gmw/en". A region espeak does not know is dropped.

        Raises:
            ConfigError: no such language; the message lists close ones.
        """
        code = language.strip().lower().replace("_", "-")
        for candidate in (code, code.rpartition("-")[0], code.partition("-")[0]):
            if candidate and candidate in self.languages:
                return self.languages[candidate]
        known = sorted(name for name in self.languages if "/" not in name)
        close = difflib.get_close_matches(code, known, n=6, cutoff=0.4)
        close += [name for name in known if code[:2] and name.startswith(code[:2]) and name not in close]
        hint = f"close ones: {', '.join(close[:8])}" if close else "for instance en-us, en-gb, de, fr-fr, es, it, nl"
        raise ConfigError(f"language {language!r} is not one that espeak-ng speaks; {hint}")

    def _set_voice(self, voice: str) -> None:
        if voice == self._voice:
            return
        if self._library.espeak_SetVoiceByName(voice.encode()) != _OK:
            raise ConfigError(f"espeak-ng has no voice {voice!r}; give a language such as en-us")
        self._voice = voice

    def phonemes(self, text: str, *, voice: str) -> Phonemes:
        """Phonemes of `text` (which may hold espeak phonemes in [[...]]) spoken by `voice` (an identifier).

        Raises:
            ConfigError: no such voice.
        """
        self._set_voice(voice)
        separated = _IPA | (ord(_SEPARATOR) << 8)
        ipa = ", ".join(self._clauses(text, _IPA))
        words = _words(" ".join(self._clauses(text, separated)), strip="ˈˌ")
        mnemonics = _words(" ".join(self._clauses(text, ord(_SEPARATOR) << 8)), strip="")
        return Phonemes(ipa=ipa, words=words, mnemonics=mnemonics)

    def flat(self, text: str, *, voice: str) -> tuple[str, ...]:
        """`phonemes(...).flat` alone, three times faster."""
        self._set_voice(voice)
        words = _words(" ".join(self._clauses(text, _IPA | (ord(_SEPARATOR) << 8))), strip="ˈˌ")
        return tuple(phoneme for word in words for phoneme in word)

    def _clauses(self, text: str, mode: int) -> list[str]:
        buffer = ctypes.create_string_buffer(text.encode())
        pointer = ctypes.c_void_p(ctypes.addressof(buffer))
        clauses: list[str] = []
        while pointer.value:  # espeak moves the pointer clause by clause and clears it at the end
            clause = self._library.espeak_TextToPhonemes(ctypes.byref(pointer), _UTF8, mode)
            if clause:
                clauses.append(_LANGUAGE_MARK.sub("", clause.decode()).strip())
        return [clause for clause in clauses if clause.strip(_SEPARATOR + " ")]

    def speak(self, text: str, *, voice: str, rate_wpm: int, pitch: int, pitch_range: int = 50) -> Float32Array:
        """Speech at `sample_rate`.

        Args:
            text: plain text, or with phonemes in [[...]].
            voice: identifier, with a variant after "+": "gmw/en-US+klatt2".
            rate_wpm: words per minute, 80 to 450.
            pitch: 0 to 99, 50 is the voice's own.
            pitch_range: 0 (monotone) to 99.

        Shape: `-> [n]`

        Raises:
            ConfigError: no such voice.
        """
        self._set_voice(voice)
        for parameter, value in ((_RATE, rate_wpm), (_PITCH, pitch), (_RANGE, pitch_range)):
            self._library.espeak_SetParameter(parameter, value, 0)
        self._pieces = []
        data = text.encode() + b"\0"
        flags = _UTF8 | _PHONEME_INPUT | _END_PAUSE
        status = self._library.espeak_Synth(data, ctypes.c_size_t(len(data)), 0, 1, 0, flags, None, None)
        self._library.espeak_Synchronize()
        if status != _OK or not self._pieces:
            return np.zeros(0, np.float32)
        return np.concatenate(self._pieces).astype(np.float32) / np.float32(32768)


def _language_codes(address: int | None) -> list[tuple[str, int]]:
    """Read espeak's list: (priority byte, zero-ended code) pairs, ended by a zero priority."""
    codes: list[tuple[str, int]] = []
    while address and (priority := ctypes.c_ubyte.from_address(address).value):
        code = ctypes.string_at(address + 1)
        codes.append((code.decode().lower(), priority))
        address += len(code) + 2
    return codes


def _words(text: str, *, strip: str) -> tuple[tuple[str, ...], ...]:
    table = str.maketrans("", "", strip)
    words = (tuple(p for p in word.translate(table).split(_SEPARATOR) if p.strip(":| ")) for word in text.split())
    return tuple(word for word in words if word)


def why_missing() -> str | None:
    """Why espeak cannot be used here, with the remedy; None when it can."""
    if find_spec("espeakng_loader") is None:
        return "the package espeakng-loader is not installed; pip install espeakng-loader"
    return None


@cache
def espeak() -> Espeak:
    """The one library of this process, loaded at the first call.

    Raises:
        SetupError: the package is missing or broken.
    """
    if reason := why_missing():
        raise SetupError(f"phonemes need espeak-ng: {reason}")
    return Espeak()
