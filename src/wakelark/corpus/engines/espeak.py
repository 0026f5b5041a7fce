"""espeak-ng: formant synthesis, always there, a hundred voices in no time, none of them natural."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

from typing_extensions import override

from wakelark.audio import Float32Array
from wakelark.corpus.engines.base import Engine, Utterance, Voice, pace
from wakelark.phrase import espeakng
from wakelark.phrase.espeakng import espeak

# Variants that a speech recogniser did not understand, and whispering, croaking and robot ones.
_LEFT_OUT = {
    "steph", "steph3", "norbert", "david", "caleb", "AnxiousAndy", "RicishayMax", "RicishayMax3", "Marco", "Gene2",
    "Lee", "whisper", "whisperf", "croak", "Demonic", "UniRobot", "anikaRobot", "fast",
}  # fmt: skip
_ENGLISH = ("gmw/en-US", "gmw/en", "gmw/en-GB-x-rp", "gmw/en-GB-scotland", "gmw/en-US-nyc")
_ENGLISH_WEIGHT = {"gmw/en-GB-scotland": 0.4, "gmw/en-US-nyc": 0.4}
_WORDS_PER_MINUTE = 165.0
_POINTS_PER_SEMITONE = 4.0  # espeak's pitch scale, roughly, around 50


class EspeakEngine(Engine):
    """espeak-ng's variants over the dialects of a language."""

    name = "espeak"
    licence = "speech made by espeak-ng (GPL-3.0-or-later program)"
    natural = False
    remedy = "pip install espeakng-loader"

    @classmethod
    @override
    def why_missing(cls) -> str | None:
        return espeakng.why_missing()

    @property
    @override
    def source(self) -> str:
        return f"espeakng-loader {version('espeakng-loader')}"

    @override
    def voices(self, language: str) -> list[Voice]:
        own = espeak().identifier(language)
        dialects = (own, *(d for d in _ENGLISH if d != own)) if own.startswith("gmw/en") else (own,)
        found: list[Voice] = []
        for variant in _variants():
            for dialect in dialects:
                found.append(
                    Voice(
                        name=f"espeak/{dialect.rpartition('/')[2].lower()}+{variant.replace(' ', '_')}",
                        engine=self.name,
                        bases=(variant,),
                        accent=dialect,
                        weight=_ENGLISH_WEIGHT.get(dialect, 1.0),
                    )
                )
        return found

    @override
    def render(self, utterance: Utterance, voice: Voice) -> tuple[Float32Array, int]:
        rate = round(min(400.0, max(80.0, _WORDS_PER_MINUTE * pace(utterance, voice))))
        pitch = round(min(99.0, max(0.0, 50 + _POINTS_PER_SEMITONE * utterance.pitch)))
        audio = espeak().speak(
            utterance.text,
            voice=f"{voice.accent}+{voice.bases[0]}",
            rate_wpm=rate,
            pitch=pitch,
            pitch_range=round(20 + 60 * utterance.liveliness),
        )
        return audio, espeak().sample_rate


def _variants() -> list[str]:
    import espeakng_loader

    folder = Path(espeakng_loader.get_data_path()) / "voices" / "!v"
    names = sorted(path.name for path in folder.iterdir() if path.is_file())
    return [name for name in names if name not in _LEFT_OUT and not name.startswith("robosoft")]
