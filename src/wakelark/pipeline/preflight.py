"""What can be refused, or should be said, before any work: it costs seconds and leaves nothing behind."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from wakelark.audio import find_audio_files, printable
from wakelark.config import Config
from wakelark.corpus.engines import ENGINES, find_engines
from wakelark.corpus.speech_plan import cast_voices, positives_of
from wakelark.errors import DataError
from wakelark.models.trunk_file import load_trunk
from wakelark.phrase import Risk, pronounce, risk
from wakelark.pipeline.teachers import check_teachers


def preflight(config: Config) -> list[Risk]:
    """Check the phrase, the folders, the voices and the teachers; returns the risks of the phrase, the warnings first.

    Raises:
        ConfigError: the phrase cannot be pronounced, nothing speaks the language, or a voice's folder is not there.
        DataError: a folder of own recordings holds no audio.
        ModelError: a teacher that exists already is missing, damaged, or its answers cannot teach; the trunk is missing
            or damaged.
        SetupError: espeak, or what a teacher needs, is missing.
    """
    for folder in (config.positives, config.negatives):
        if folder is not None and not find_audio_files(folder):
            raise DataError(
                f"{printable(Path(folder))} holds no audio files; WAV, FLAC, Ogg, Opus, MP3, AIFF, AU and CAF are read"
            )
    pronunciations = pronounce(config.phrase, language=config.language, extra=config.pronunciations)
    engines, _ = find_engines(config.corpus.voices_dir)
    if any(positives_of(name, config.corpus) for name in ENGINES):
        cast_voices(engines, config=config, rng=np.random.default_rng(config.seed))
    check_teachers(config)
    if config.student.trunk != "none":
        load_trunk(config.student.trunk)
    return risk(config.phrase, pronunciations, language=config.language)
