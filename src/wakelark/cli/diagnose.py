"""`wakelark diagnose`: why a model fired on a recording, or did not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from wakelark.cli.options import Judge, JudgeThreshold, Preset, Threshold
from wakelark.cli.output import emit, progress_bar

_COLUMNS, _ROWS = 72, 10


def diagnose(
    model: Annotated[Path, typer.Argument(help="model.onnx or model_tiny.onnx of a run.", metavar="MODEL")],
    file: Annotated[Path, typer.Argument(help="A recording of at most ten minutes.", metavar="FILE")],
    run: Annotated[
        Path | None,
        typer.Option(help="The run to compare with; left out: the folder of MODEL, if it is a run's.", metavar="DIR"),
    ] = None,
    threshold: Threshold = None,
    preset: Preset = None,
    judge: Judge = None,
    judge_threshold: JudgeThreshold = None,
    trace: Annotated[bool, typer.Option("--trace", help="Draw the score over time.")] = False,
    json_output: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Why it fired or did not: the sound, the score, what it resembles, and what to do. Exit code 0 either way."""
    from wakelark.pipeline.diagnose import DiagnosisRequest
    from wakelark.pipeline.diagnose import diagnose as explain

    request = DiagnosisRequest(
        model=model, file=file, threshold=threshold, preset=preset, judge=judge, judge_threshold=judge_threshold,
        run=run,
    )  # fmt: skip
    with progress_bar(quiet=json_output) as progress:
        result = explain(request, progress=progress)
    lines = [*_text(result), *(_chart(result) if trace else ())]
    emit(result, json_output=json_output, text="\n".join(lines))


def _text(result: dict[str, Any]) -> Iterator[str]:
    stored, sound = result["format"], result["sound"]
    yield (
        f"{result['file']}: {result['seconds']:.2f} s, {stored['sample_rate']} Hz, {stored['channels']} channel(s), "
        f"{stored['container']} {stored['codec']}"
    )
    yield ""
    yield result["verdict"]["headline"]
    for reason in result["verdict"]["reasons"]:
        yield f"  - {reason['what']}"
        yield f"    -> {reason['remedy']}"
    yield ""
    yield (
        f"sound: speech at {sound['speech_dbfs']:.0f} dB of full scale, peak {sound['peak_dbfs']:.0f} dB, background "
        f"{sound['background_dbfs']:.0f} dB, so about {max(sound['snr_db'], 0):.0f} dB between speech and background"
    )
    peak = result["peak"]
    yield (
        f"score: smoothed {peak['smoothed']:.4g} at {peak['time_s']:.2f} s, single {peak['raw']:.4g} at "
        f"{peak['raw_time_s']:.2f} s, threshold {result['threshold']:.4g} ({peak['log_odds_above_threshold']:+.1f} in "
        "log-odds)"
    )
    if result["judge"] is not None:
        yield (
            f"judge: {'woken' if result['judge']['woken'] else 'not woken'}; the model's own score reached "
            f"{result['judge']['own_peak']:.4g}, it wakes at {result['judge']['wake_threshold']:.4g}"
        )
    if result["presets"]:
        told = ", ".join(
            f"{row['name']} ({row['threshold']:.4g}) {'fires' if row['would_fire'] else 'does not'}"
            for row in result["presets"]
        )
        yield f"       presets: {told}"
    for change in result["what_if"]:
        yield f"       {change['change']} it would be {change['peak']:.4g} (as it is: {change['as_it_is']:.4g})"
    if result["neighbours"] is None:
        yield f"what it resembles: left out: {result['neighbours_left_out']}"
        return
    yield f"what it resembles, among {result['neighbours']['compared_with']} clips of the run:"
    for row in result["neighbours"]["nearest"]:
        yield f"       {row['similarity']:.2f}  {row['text']}  ({row['what']}; {row['voice']})"


def _chart(result: dict[str, Any]) -> Iterator[str]:
    """The smoothed score over time in plain characters, with the threshold as a dashed line."""
    scores = np.asarray(result["trace"]["scores"])
    columns = min(_COLUMNS, len(scores))
    heights = [float(part.max()) for part in np.array_split(scores, columns)]
    limit = max(1, round(result["threshold"] * _ROWS))
    yield ""
    for row in range(_ROWS, 0, -1):
        filled = "".join("#" if height * _ROWS >= row - 0.5 else "-" if row == limit else " " for height in heights)
        yield f"{row / _ROWS:4.1f} |{filled}|" + (" threshold" if row == limit else "")
    seconds = f"{len(scores) * result['trace']['step_s']:.1f} s"
    yield "     0" + " " * max(1, columns - len(seconds)) + seconds
