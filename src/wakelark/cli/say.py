"""`wakelark say`: hear how the phrase will be pronounced, before minutes are spent on training it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wakelark.cli.output import emit, note
from wakelark.errors import DataError, SetupError

if TYPE_CHECKING:
    from wakelark.corpus.engines import Engine, Voice
    from wakelark.phrase import NearMiss, Pronunciation, Risk

_VOICES_PER_ENGINE = 3
_NAMED_NEAR_MISSES = 12
_SEED = 0  # the same command writes the same files


def say(
    phrase: Annotated[str, typer.Argument(help="The wake phrase.")],
    pronunciation: Annotated[
        list[str] | None,
        typer.Option(metavar="TEXT", help="Another spelling, or espeak phonemes in [[...]]; may be repeated."),
    ] = None,
    language: Annotated[str, typer.Option(help="Language of the phrase, as espeak names it.")] = "en-us",
    voices_dir: Annotated[Path | None, typer.Option(help="Folder with further Piper and Kokoro voices.")] = None,
    out: Annotated[Path, typer.Option(help="Where the WAV files go.")] = Path("say"),
    json_output: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Write the phrase spoken by every engine, with its phonemes, what sounds like it, and its risks."""
    import numpy as np

    from wakelark.corpus.engines import find_engines
    from wakelark.phrase import near_misses, pronounce, risk

    pronunciations = pronounce(phrase, language=language, extra=pronunciation or [])
    rng = np.random.default_rng(_SEED)
    misses = near_misses(pronunciations, phrase=phrase, language=language, count=_NAMED_NEAR_MISSES * 4, rng=rng)[
        :_NAMED_NEAR_MISSES
    ]
    found = risk(phrase, pronunciations, language=language)
    engines, missing = find_engines(None if voices_dir is None else str(voices_dir))
    written = _write(pronunciations, engines, language=language, out=out)
    data: dict[str, object] = {
        "phrase": phrase,
        "language": language,
        "pronunciations": [{"text": p.text, "phonemes": p.phonemes} for p in pronunciations],
        "files": written,
        "near_misses": [{"text": m.text, "distance": m.distance} for m in misses],
        "risks": [{"level": r.level, "what": r.what, "why": r.why, "remedy": r.remedy} for r in found],
        "missing_engines": missing,
    }
    emit(data, json_output=json_output, text=_text(pronunciations, misses, found, written, out))
    for name, reason in missing.items():
        note(f"{name} is silent: {reason}")


def _write(
    pronunciations: Sequence[Pronunciation], engines: dict[str, Engine], *, language: str, out: Path
) -> list[dict[str, str]]:
    """One file per pronunciation and voice; what an engine cannot say is noted and left out."""
    import soundfile

    from wakelark.audio import SAMPLE_RATE, to_int16
    from wakelark.corpus.engines import Utterance

    written: list[dict[str, str]] = []
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name, engine in engines.items():
            for voice in _some(engine.voices(language)):
                for index, pronunciation in enumerate(pronunciations, start=1):
                    if not (engine.takes_phonemes or pronunciation.plain_text):
                        continue
                    path = out / f"{index}-{re.sub(r'[^A-Za-z0-9_.@+-]', '-', voice.name)}.wav"
                    try:
                        audio = engine.speak(Utterance(text=pronunciation.text), voice)
                    except DataError as error:
                        note(f"{name}: {error}")
                        continue
                    soundfile.write(path, to_int16(audio), SAMPLE_RATE, subtype="PCM_16")
                    written.append({"file": str(path), "voice": voice.name, "text": pronunciation.text})
    except (OSError, soundfile.LibsndfileError) as error:
        raise SetupError(f"cannot write to {out}: {error}; choose another folder with --out") from error
    return written


def _some(voices: Sequence[Voice]) -> list[Voice]:
    """A few voices of different speakers, spread over the list."""
    singles = [voice for voice in voices if voice.shift == 1.0] or list(voices)
    step = max(1, len(singles) // _VOICES_PER_ENGINE)
    return singles[::step][:_VOICES_PER_ENGINE]


def _text(
    pronunciations: Sequence[Pronunciation],
    misses: Sequence[NearMiss],
    found: Sequence[Risk],
    written: Sequence[dict[str, str]],
    out: Path,
) -> str:
    lines = [f"{p.text}   {p.phonemes}" for p in pronunciations]
    lines += ["", f"{len(written)} files in {out}:", *(f"  {Path(w['file']).name}" for w in written)]
    lines += ["", "told apart from: " + ", ".join(miss.text for miss in misses)]
    lines += [f"{r.level}: {r.what}; {r.why}; {r.remedy}" for r in found]
    if not any(r.level == "warning" for r in found):
        lines.append("no warnings about this phrase")
    lines += [
        "",
        "sounds wrong? give a spelling (--pronunciation) or espeak phonemes in [[...]], also to wakelark train",
    ]
    return "\n".join(lines)
