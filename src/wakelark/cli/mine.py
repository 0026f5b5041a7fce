"""`wakelark mine`: what in long audio fools a run's models."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wakelark.cli.output import emit, progress_bar

if TYPE_CHECKING:
    from rich.console import RenderableType

    from wakelark.pipeline.mine_audio import Mining

_SHOWN = 20


def mine(
    run: Annotated[Path, typer.Argument(help="Folder of a finished run.", metavar="RUN")],
    audio: Annotated[
        Path, typer.Option(help="Folder with long recordings in which nobody says the phrase.", metavar="DIR")
    ],
    workers: Annotated[int, typer.Option(help="Processes; 0 for one per core.", min=0)] = 0,
    json_output: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Listen to long recordings for what fools the models; `wakelark train --resume` then learns from it."""
    from wakelark.pipeline.mine_audio import mine_audio, mining_facts
    from wakelark.pipeline.run_folder import RunFolder

    folder = RunFolder(run)
    with progress_bar() as progress:
        mining = mine_audio(folder, audio, workers=workers or os.cpu_count() or 1, progress=progress)
    facts = mining_facts(mining, folder.resume_command)
    emit(facts, json_output=json_output, text="" if json_output else _text(mining, facts))


def _text(mining: Mining, facts: dict[str, object]) -> RenderableType:
    """A table of what was heard, found and left out, and how to go on."""
    from rich.console import Group
    from rich.table import Table

    table = Table(show_header=False, box=None)
    table.add_column(justify="right")
    table.add_column()
    for value, what in (
        (f"{mining.hours:.2f}", f"hours heard, in {mining.recordings} recordings"),
        (f"{facts['events']}", "sounds that the models reacted to"),
        (f"{facts['groups']}", "groups of look-alikes among those looked at"),
        (f"{facts['kept']}", "kept as hard negatives"),
        (f"{facts['quarantined']}", "quarantined: both models are sure, they may be the phrase; never trained on"),
        (f"{facts['look_alikes']}", "left out: enough look-alikes"),
        (f"{facts['over_share']}", "left out: enough from that recording"),
        (f"{facts['known']}", "left out: found by an earlier `wakelark mine`"),
    ):
        table.add_row(value, what)
    lines = [f"refused {file}: {reason}" for file, reason in mining.refused[:_SHOWN]]
    if len(mining.refused) > _SHOWN:
        lines.append(f"and {len(mining.refused) - _SHOWN} more; --json lists them all")
    lines += [f"{extra} repeats {first}: heard once" for extra, first in mining.duplicates[:_SHOWN]]
    if mining.folder is None:
        lines.append("nothing new was found: there is nothing to train with")
    else:
        lines += [
            f"listen: {mining.folder} (change a status in mined.jsonl, or delete what is wrong)",
            f"then: {facts['next']}",
        ]
    return Group(table, *lines)
