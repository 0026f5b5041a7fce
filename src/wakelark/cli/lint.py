"""`wakelark lint`: whether a model for ESPHome will boot on a device, and why not."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from wakelark.audio import printable
from wakelark.cli.output import emit
from wakelark.errors import ModelError


def lint(
    file: Annotated[
        Path, typer.Argument(help="A manifest (.json) or a model (.tflite), from anywhere.", metavar="FILE")
    ],
    json_output: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Say whether a model for ESPHome's micro_wake_word will boot on an ESP32, and why not.

    One line per finding, with what to do. The exit code is 0 when it boots and 4 when it will not.
    """
    from wakelark.tflite.lint import lint_file

    result = lint_file(file)
    model = result.model
    arena = model.arena.smallest_bytes if model is not None and model.arena is not None else None
    data: dict[str, object] = {
        "file": printable(file),
        "model": printable(result.model_path) if result.model_path is not None else None,
        "boots": result.boots,
        "findings": [
            {"fatal": found.fatal, "where": found.where, "what": found.what, "remedy": found.remedy}
            for found in result.findings
        ],
        "size_bytes": model.size_bytes if model is not None else None,
        "operators": model.operators if model is not None else {},
        "variables": model.variables if model is not None else None,
        "smallest_arena_bytes": arena,
    }
    lines = [found.text for found in result.findings]
    if model is not None and model.operators:
        needs = f", needs an arena of {arena:,} bytes here" if arena is not None else ""
        lines.append(
            f"{model.size_bytes:,} bytes, {sum(model.operators.values())} operators, {model.variables} variables{needs}"
        )
    lines.append(f"{printable(file)}: {'boots' if result.boots else 'will not boot'}")
    emit(data, json_output=json_output, text="\n".join(lines))
    if not result.boots:
        raise typer.Exit(ModelError.exit_code)
