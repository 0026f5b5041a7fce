"""The synthesis engines: found automatically, each optional with a clear message."""

from __future__ import annotations

from pathlib import Path

from wakelark.corpus.engines.base import Engine, Utterance, Voice
from wakelark.corpus.engines.espeak import EspeakEngine
from wakelark.corpus.engines.flite import FliteEngine
from wakelark.corpus.engines.kokoro import KokoroEngine
from wakelark.corpus.engines.piper import PiperEngine
from wakelark.errors import ConfigError

__all__ = ["ENGINES", "Engine", "Utterance", "Voice", "find_engines", "make_engine"]

# Slowest first: the plan of the work follows this order, so that no core waits at the end.
ENGINES: dict[str, type[Engine]] = {
    "kokoro": KokoroEngine,
    "piper": PiperEngine,
    "flite": FliteEngine,
    "espeak": EspeakEngine,
}


def make_engine(name: str, *, voices_dir: str | None) -> Engine:
    """The engine called `name`.

    Raises:
        ConfigError: no such engine, or `voices_dir` is not a folder.
    """
    if name not in ENGINES:
        raise ConfigError(f"there is no synthesis engine {name!r}; the engines are {', '.join(ENGINES)}")
    if voices_dir is not None and not Path(voices_dir).expanduser().is_dir():
        raise ConfigError(f"the voices folder {voices_dir} does not exist; correct corpus.voices_dir or make it")
    return ENGINES[name](voices_dir=voices_dir)


def find_engines(voices_dir: str | None) -> tuple[dict[str, Engine], dict[str, str]]:
    """What can speak here.

    Returns:
        The usable engines by name, and for each of the others why it cannot be used and what to do.

    Raises:
        ConfigError: `voices_dir` is not a folder.
    """
    available: dict[str, Engine] = {}
    missing: dict[str, str] = {}
    for name, engine in ENGINES.items():
        if reason := engine.why_missing():
            missing[name] = reason
        else:
            available[name] = make_engine(name, voices_dir=voices_dir)
    return available, missing
