"""`wakelark add`: the user's own clips, or a device's false alarms, into a run's corpus."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wakelark.cli.output import emit, progress_bar
from wakelark.errors import ConfigError

if TYPE_CHECKING:
    from wakelark.pipeline.add_clips import Added

_SHOWN = 20


def add(
    run: Annotated[Path, typer.Argument(help="Folder of a run, finished or not.", metavar="RUN")],
    clips: Annotated[Path, typer.Argument(help="Folder with the clips.", metavar="DIR")],
    as_: Annotated[
        str,
        typer.Option(
            "--as", metavar="ROLE", help="positive (the phrase), negative, or hard-negative (what woke it by mistake)."
        ),
    ],
    workers: Annotated[int, typer.Option(help="Processes; 0 for one per core.", min=0)] = 0,
    json_output: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Check clips and add them to a run's corpus; `wakelark train --resume` then trains with them."""
    from wakelark.pipeline.add_clips import ROLES, add_clips
    from wakelark.pipeline.run_folder import RunFolder

    if as_ not in ROLES:
        raise ConfigError(f"--as {as_}: use one of {', '.join(ROLES)}")
    folder = RunFolder(run)
    with progress_bar() as progress:
        added = add_clips(folder, clips, as_, workers=workers or os.cpu_count() or 1, progress=progress)
    data: dict[str, object] = {
        "role": as_,
        "taken": len(added.taken),
        "splits": {split: sum(clip.split == split for clip in added.taken) for split in ("train", "dev", "test")},
        "already": list(added.already),
        "refused": [{"file": file, "reason": reason} for file, reason in added.refused],
        "duplicates": [list(pair) for pair in added.duplicates],
        "notes": list(added.notes),
        "findings": [dataclasses.asdict(finding) for finding in added.findings],
        "manifest": str(folder.added),
        "next": folder.resume_command,
    }
    emit(data, json_output=json_output, text=_text(added, as_, str(folder.added), folder.resume_command))


def _text(added: Added, role: str, manifest: str, command: str) -> str:
    """What was taken, what was not and why, and how to go on."""
    lines = [f"{len(added.taken)} clips added as {role}, listed in {manifest}"]
    if added.already:
        lines.append(f"{len(added.already)} were there already")
    lines += [f"{extra} repeats {first}: used once" for extra, first in added.duplicates[:_SHOWN]]
    lines += [f"refused {file}: {reason}" for file, reason in added.refused[:_SHOWN]]
    if len(added.refused) > _SHOWN:
        lines.append(f"and {len(added.refused) - _SHOWN} more; --json lists them all")
    lines += added.notes
    lines += [f"{finding.level}: {finding.sentence()}" for finding in added.findings]
    lines.append(f"train with them: {command}" if added.taken else "nothing new to train with")
    return "\n".join(lines)
