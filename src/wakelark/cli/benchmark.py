"""`wakelark benchmark`: a wakelark model beside the published models for the same phrase."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from wakelark.audio import printable
from wakelark.cli.output import emit, note, progress_bar
from wakelark.errors import ConfigError


def benchmark(
    models: Annotated[
        list[Path],
        typer.Argument(help="model.onnx or model_tiny.onnx of a run; several to compare.", metavar="MODEL..."),
    ],
    peers: Annotated[
        list[str] | None,
        typer.Option(
            help="auto: the published models for this phrase in installed packages; none; or a file. Repeatable.",
            metavar="auto|none|FILE",
        ),
    ] = None,
    positives: Annotated[
        Path | None,
        typer.Option(
            help="Folder (or list of files) with recordings of the phrase; left out: the run's synthetic test clips.",
            metavar="DIR",
        ),
    ] = None,
    negatives: Annotated[
        Path | None,
        typer.Option(
            help="The same without the phrase; left out: the test recordings of `wakelark fetch`.", metavar="DIR"
        ),
    ] = None,
    snr: Annotated[
        float | None, typer.Option(help="Measure with noise as well, at this level below the speech.", metavar="DB")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the results; left out: benchmark/ beside the model.", metavar="DIR")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the noise and the bootstrap.", min=0)] = 0,
    workers: Annotated[int, typer.Option(help="Processes; 0 for one per core.", min=0)] = 0,
    json_output: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """How does the model compare with published ones: misses, false alarms, CPU, memory, size?"""
    from wakelark.evaluation.benchmark_tables import benchmark_markdown
    from wakelark.pipeline.benchmark import BenchmarkRequest, write_benchmark
    from wakelark.pipeline.benchmark import benchmark as run

    request = BenchmarkRequest(
        models=tuple(models), peers=_peers(peers or ["auto"]), positives=positives, negatives=negatives, snr_db=snr,
        seed=seed, workers=workers or os.cpu_count() or 1,
    )  # fmt: skip
    with progress_bar() as progress:
        result = run(request, progress=progress)
    files = write_benchmark(result, out or models[0].parent / "benchmark")
    if not json_output:
        note("written: " + ", ".join(printable(file) for file in files))
    emit(result, json_output=json_output, text="" if json_output else benchmark_markdown(result))


def _peers(words: list[str]) -> tuple[Path, ...] | None:
    """None for "auto"."""
    if len(words) > 1 and {"auto", "none"} & set(words):
        raise ConfigError('"--peers auto" and "--peers none" stand alone; name files only, or neither')
    if words == ["auto"]:
        return None
    return () if words == ["none"] else tuple(map(Path, words))
