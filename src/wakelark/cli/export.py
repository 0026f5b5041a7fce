"""`wakelark export`: what each ecosystem loads, written from a finished run and proven in its own runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from wakelark.cli.output import emit, note, progress_bar
from wakelark.errors import ModelError


def export(
    run: Annotated[Path, typer.Argument(help="Folder of a finished run.", metavar="RUN")],
    out: Annotated[Path, typer.Option(help="Gets a folder per target, EXPORT.md and export.json.", metavar="DIR")],
    to: Annotated[
        list[str] | None,
        typer.Option(help="onnx, openwakeword, esphome or web; left out: all that the run can give. Repeatable."),
    ] = None,
    json_output: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> int:
    """Write a run's models for each target; what fails its check in the target's own runtime is not written.

    Exit code 4 when a target failed its check; the others are written all the same.
    """
    from wakelark.pipeline.export_run import export_run, has_failed
    from wakelark.pipeline.run_folder import RunFolder

    with progress_bar() as progress:
        result = export_run(RunFolder(run), to or [], out, progress=progress)
    for entry in result["targets"]:
        for text in entry.get("notes", ()):
            note(f"{entry['name']}: {text}", quiet=json_output)
    emit(result, json_output=json_output, text=_text(result))
    return ModelError.exit_code if has_failed(result) else 0


def _text(result: dict[str, Any]) -> str:
    lines = []
    for entry in result["targets"]:
        if entry["status"] != "written":
            lines.append(f"{entry['name']:>12}  {entry['status']}: {entry['reason']}")
            continue
        lines.append(f"{entry['name']:>12}  {entry['folder']}  ({entry['summary']})")
        lines += [f"{'':14}{file['name']}  {file['size_bytes']:,} bytes" for file in entry["files"]]
        lines += [f"{'':14}{check['what']}: {check['figure']:.2g}" for check in entry["parity"]]
    return "\n".join([*lines, f"how to install them: {result['page']}"])
