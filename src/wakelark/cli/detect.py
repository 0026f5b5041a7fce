"""`wakelark detect`: find the phrase in audio files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer

from wakelark.audio import SAMPLE_RATE, BadAudio, find_audio_files, printable, stream_audio
from wakelark.cli.options import Judge, JudgeThreshold, Model, Preset, Threshold, say_if_unknown
from wakelark.cli.output import emit, note, progress_bar
from wakelark.errors import DataError
from wakelark.runtime.memory_limit import limited_memory

if TYPE_CHECKING:
    from wakelark.runtime.detector import Detection, Detector

TAIL_S = 1.0
"""Silence after each file: a phrase that ends with the file is still recognised."""


@limited_memory()
def detect(
    model: Model,
    files: Annotated[list[Path], typer.Argument(help="Audio files, or folders of them.", metavar="FILE...")],
    threshold: Threshold = None,
    preset: Preset = None,
    judge: Judge = None,
    judge_threshold: JudgeThreshold = None,
    json_output: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Find the phrase in audio files: where it was heard, and how surely."""
    from wakelark.runtime.detector import Detector

    detector = Detector.load(model, threshold, preset=preset, judge=judge, judge_threshold=judge_threshold)
    if detector.judge is not None:
        say_if_unknown(is_known=detector.judge.is_known)
    paths = _expand(files)
    found: list[dict[str, object]] = []
    skipped: list[BadAudio] = []
    seconds = 0.0
    with progress_bar(quiet=len(paths) < 2) as progress:
        for done, path in enumerate(paths):
            try:
                hits, heard_s = detect_in_file(detector, path)
            except BadAudio as error:
                skipped.append(error)
                continue
            finally:
                progress(done + 1, len(paths), "files")
            seconds += heard_s
            found += [
                {
                    "file": printable(path),
                    "time_s": round(hit.time_s, 3),
                    "score": round(hit.score, 4),
                    "phrase": hit.phrase,
                }
                for hit in hits
            ]
    if len(skipped) == len(paths):
        raise skipped[0]
    for error in skipped:
        note(f"skipped {error}", quiet=json_output)
    data: dict[str, object] = {
        "detections": found,
        "threshold": detector.fires_at,
        "seconds": round(seconds, 3),
        "skipped": [{"file": printable(error.path), "reason": error.reason} for error in skipped],
    }
    emit(data, json_output=json_output, text=_as_text(found, detector.phrase, len(paths) - len(skipped), seconds))


def detect_in_file(detector: Detector, path: Path) -> tuple[list[Detection], float]:
    """What `detector`, reset before, hears in a file, and the file's seconds; a few seconds are in memory at a time."""
    detector.reset()
    hits: list[Detection] = []
    samples = 0
    for block in stream_audio(path, max_seconds=None):
        samples += len(block)
        hits += detector.process(block)
    hits += detector.process(np.zeros(round(TAIL_S * SAMPLE_RATE), np.float32))
    return hits, samples / SAMPLE_RATE


def _expand(files: list[Path]) -> list[Path]:
    paths: list[Path] = []
    for file in files:
        inside = find_audio_files(file) if file.is_dir() else [file]
        if not inside:
            raise DataError(f"no audio files in {printable(file)}; WAV, FLAC, Ogg and MP3 are read")
        paths += inside
    return paths


def _as_text(found: list[dict[str, object]], phrase: str, files: int, seconds: float) -> str:
    if not found:
        return f'"{phrase}" was not heard in {files} file{"s" * (files != 1)} ({seconds:.1f} s)'
    return "\n".join(
        f"{row['file']}  {row['time_s']:.2f} s  score {row['score']:.2f}  {row['phrase']}" for row in found
    )
