"""`wakelark evaluate`: miss rate and false alarms per hour of a model, with intervals."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from wakelark.cli.options import Judge, JudgeThreshold, Preset, Threshold, say_if_unknown
from wakelark.cli.output import emit, note, progress_bar


def evaluate(
    model: Annotated[
        Path,
        typer.Argument(
            help="model.onnx or model_tiny.onnx of a run; or an openWakeWord .onnx or .tflite, a microWakeWord .json.",
            metavar="MODEL",
        ),
    ],
    positives: Annotated[
        Path,
        typer.Option(
            help="Folder (or list of files) with recordings of the phrase, or RUN/corpus/manifest.jsonl.", metavar="DIR"
        ),
    ],
    negatives: Annotated[
        Path | None,
        typer.Option(
            help="The same without the phrase; left out: the test recordings of `wakelark fetch`.", metavar="DIR"
        ),
    ] = None,
    near_misses: Annotated[
        Path | None,
        typer.Option(help="Clips that only sound like the phrase; counted apart.", metavar="DIR"),
    ] = None,
    noise: Annotated[
        Path | None,
        typer.Option(help="Noise under the positives; left out: test music and coloured noise.", metavar="DIR"),
    ] = None,
    snr: Annotated[
        list[float] | None,
        typer.Option(help="Level of the speech over the noise, in dB; inf for no noise. Repeatable.", metavar="DB"),
    ] = None,
    distance: Annotated[
        list[float] | None,
        typer.Option(help="Put the speaker so far away in a simulated room. Repeatable.", metavar="M", min=0.5, max=20),
    ] = None,
    split: Annotated[str, typer.Option(help="Which split of a manifest: train, dev or test.")] = "test",
    threshold: Threshold = None,
    preset: Preset = None,
    judge: Judge = None,
    judge_threshold: JudgeThreshold = None,
    seed: Annotated[int, typer.Option(help="Of the noise and the bootstrap.", min=0)] = 0,
    workers: Annotated[int, typer.Option(help="Processes; 0 for one per core.", min=0)] = 0,
    json_output: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """How often does the model miss the phrase, and how often does it wake by mistake?"""
    from wakelark.cli.evaluation_text import as_text
    from wakelark.pipeline.breakdown import conditions
    from wakelark.pipeline.evaluate import EvaluationRequest
    from wakelark.pipeline.evaluate import evaluate as run

    request = EvaluationRequest(
        model=model, positives=positives, negatives=negatives, near_misses=near_misses, noise=noise,
        conditions=conditions(snr or [], distance or []), split=split, threshold=threshold, preset=preset, judge=judge,
        judge_threshold=judge_threshold, seed=seed, workers=workers or os.cpu_count() or 1,
    )  # fmt: skip
    with progress_bar() as progress:
        result = run(request, progress=progress)
    if result["judge"] is not None:
        say_if_unknown(is_known=result["judge"]["is_known"])
    if not json_output:
        for skipped in result["skipped"]:
            note(f"skipped {skipped['file']}: {skipped['reason']}")
        for warning in result["warnings"]:
            note(f"warning: {warning}")
    emit(result, json_output=json_output, text="" if json_output else as_text(result))
