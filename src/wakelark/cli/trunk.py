"""`wakelark trunk`: distil the student's phrase-free trunk from the speech embedding."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from wakelark.cli.output import command_line, emit, progress_bar
from wakelark.cli.train import announce_fetch


def trunk(
    out: Annotated[Path, typer.Option(help="Folder of the trunk.")] = Path("runs/trunk"),
    config: Annotated[Path | None, typer.Option(help="YAML file; see docs/configuration.md.")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="One key, dotted.")] = None,
    json_output: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Distil the student's phrase-free trunk from the speech embedding; run again, it goes on where it was stopped."""
    from wakelark.config_file import load_config
    from wakelark.pipeline.trunk import make_trunk

    settings = load_config(config, overrides=set_ or [], preset=None)
    announce_fetch(settings.corpus.recordings)
    with progress_bar() as progress:
        provenance = make_trunk(settings, out, progress=progress, resume_command=command_line())
    file = out / "trunk.safetensors"
    text = f"{file}: use it with --set student.trunk={file}"
    emit({"file": str(file), **provenance}, json_output=json_output, text=text)
