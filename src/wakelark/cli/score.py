"""`wakelark score`: the raw scores of a model over an audio file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from wakelark.audio import printable, stream_audio
from wakelark.cli.options import Model
from wakelark.cli.output import emit
from wakelark.runtime.memory_limit import limited_memory


@limited_memory()
def score(
    model: Model,
    file: Annotated[Path, typer.Argument(help="An audio file.", metavar="FILE")],
    json_output: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """The raw, unsmoothed score of every step of an audio file, for harnesses of your own.

    As text: one line per step, with the time at which the step ends and its score.
    """
    from wakelark.runtime.detector import Detector

    detector = Detector.load(model)
    scores = [value for block in stream_audio(file, max_seconds=None) for value in detector.score(block)]
    data: dict[str, object] = {
        "file": printable(file),
        "phrase": detector.phrase,
        "step_s": detector.step_s,
        "threshold": detector.threshold,
        "presets": {preset.name: preset.threshold for preset in detector.card.presets},
        "smoothing_steps": detector.card.smoothing_steps,
        "scores": scores,
    }
    lines = [f"{number * detector.step_s:.2f}\t{value:.6f}" for number, value in enumerate(scores, 1)]
    emit(data, json_output=json_output, text="\n".join(lines))
