"""`wakelark evaluate`: miss rate and false alarms per hour of a model, with intervals."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from wakelark.cli.options import Judge, JudgeThreshold, Preset, Threshold, say_if_unknown
from wakelark.cli.output import emit, note, progress_bar

if TYPE_CHECKING:
    from rich.console import RenderableType


def evaluate(
    model: Annotated[
        Path,
        typer.Argument(
            help="model.onnx or model_tiny.onnx of a run; or an openWakeWord .onnx or .tflite, a microWakeWord .json.",
            metavar="MODEL",
        ),
    ],
    positives: Annotated[
        Path, typer.Option(help="Folder (or list of files) with recordings of the phrase.", metavar="DIR")
    ],
    negatives: Annotated[
        Path | None,
        typer.Option(
            help="The same without the phrase; left out: the test recordings of `wakelark fetch`.", metavar="DIR"
        ),
    ] = None,
    noise: Annotated[
        Path | None,
        typer.Option(help="Noise under the positives; left out: test music and coloured noise.", metavar="DIR"),
    ] = None,
    snr: Annotated[float | None, typer.Option(help="Level of the speech over the noise, in dB.", metavar="DB")] = None,
    threshold: Threshold = None,
    preset: Preset = None,
    judge: Judge = None,
    judge_threshold: JudgeThreshold = None,
    seed: Annotated[int, typer.Option(help="Of the noise and the bootstrap.", min=0)] = 0,
    workers: Annotated[int, typer.Option(help="Processes; 0 for one per core.", min=0)] = 0,
    json_output: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """How often does the model miss the phrase, and how often does it wake by mistake?"""
    from wakelark.pipeline.evaluate import EvaluationRequest
    from wakelark.pipeline.evaluate import evaluate as run

    request = EvaluationRequest(
        model=model, positives=positives, negatives=negatives, noise=noise, snr_db=snr, threshold=threshold,
        preset=preset, judge=judge, judge_threshold=judge_threshold, seed=seed, workers=workers or os.cpu_count() or 1,
    )  # fmt: skip
    with progress_bar() as progress:
        result = run(request, progress=progress)
    if result["judge"] is not None:
        say_if_unknown(is_known=result["judge"]["is_known"])  # pyright: ignore[reportIndexIssue]
    if not json_output:
        for skipped in result["skipped"]:  # pyright: ignore[reportGeneralTypeIssues]
            note(f"skipped {skipped['file']}: {skipped['reason']}")
        for warning in result["warnings"]:  # pyright: ignore[reportGeneralTypeIssues]
            note(f"warning: {warning}")
    emit(result, json_output=json_output, text="" if json_output else as_text(result))


def as_text(result: dict[str, Any]) -> RenderableType:
    """The result as a few lines and two tables."""
    from rich.console import Group
    from rich.table import Table

    low, high = result["miss_rate_ci"]
    lines = [
        f"at its threshold {result['threshold']:.3f}:",
        f"  missed {result['missed']} of {result['positives']}: {result['miss_rate']:.1%} ({low:.1%} to {high:.1%})",
    ]
    if result["fa_per_hour"] is not None:
        low, high = result["fa_per_hour_ci"]
        lines.append(
            f"  {result['false_alarms']} false alarms in {result['hours']:.2f} hours: "
            f"{result['fa_per_hour']:.2f} per hour ({low:.2f} to {high:.2f})"
        )
    if result["judge"] is not None and result["judge"]["wakes_per_hour"] is not None:
        lines.append(
            f"  the judge was woken {result['judge']['wakes_per_hour']:.1f} times per hour and heard "
            f"{result['judge']['heard_share']:.1%} of the recordings"
        )
    matched = Table(title="for comparing models: threshold chosen on these recordings", title_justify="left")
    for column in ("allowed per hour", "threshold", "missed", "95 %", "do these hours show it?"):
        matched.add_column(column, justify="right")
    for point in result["operating_points"]:
        low, high = point["miss_rate_ci"]
        matched.add_row(
            f"{point['fa_per_hour_budget']:g}", f"{point['threshold']:.4f}", f"{point['miss_rate']:.1%}",
            f"{low:.1%} to {high:.1%}", _shown(point),
        )  # fmt: skip
    return Group(*lines, matched) if result["operating_points"] else Group(*lines)


def _shown(point: dict[str, Any]) -> str:
    """Whether the hours heard support the budget as a claim, and at what price."""
    if not point["supported"]:
        return f"no, that takes {point['hours_needed']:.1f} h"
    return f"at {point['claim']['threshold']:.4f}: {point['claim']['miss_rate']:.1%} missed"
