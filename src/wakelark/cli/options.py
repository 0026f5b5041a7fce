"""Options that several verbs share: which detector it is and where it fires, the words of `Detector.load`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from wakelark.cli.output import note

Model = Annotated[Path, typer.Argument(help="model.onnx or model_tiny.onnx of a run.", metavar="MODEL")]
Threshold = Annotated[
    float | None, typer.Option(help="Fire at this score instead of the model's own; with --judge: wake it there.")
]
Preset = Annotated[
    str | None, typer.Option(help="strict, normal or sensitive: fewer false alarms, or fewer misses.", metavar="NAME")
]
Judge = Annotated[
    Path | None,
    typer.Option(help="A second model that checks what the first hears, for instance model.onnx.", metavar="MODEL2"),
]
JudgeThreshold = Annotated[float | None, typer.Option(help="Of the judge's score, instead of the model's own.")]


def say_if_unknown(*, is_known: bool) -> None:
    """Note on stderr that a judge is not the one that the model's card was chosen with."""
    if not is_known:
        note("the model was not tried with this judge in development: the judge fires at its own threshold")
