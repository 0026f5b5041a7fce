"""`wakelark report`: the page of a finished run, written anew."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from wakelark.cli.output import emit, note, progress_bar


def report(
    run: Annotated[Path, typer.Argument(help="Folder of a finished run.", metavar="RUN")],
    json_output: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Write report.html of a finished run anew from its report.json, models and clips; nothing is measured again."""
    from wakelark.pipeline.report_page import rewrite_page
    from wakelark.pipeline.run_folder import RunFolder

    folder = RunFolder(run)
    with progress_bar() as progress:
        problems = rewrite_page(folder, progress=progress)
    for problem in problems:
        note(f"left out: {problem}", quiet=json_output)
    size = folder.report_html.stat().st_size
    data: dict[str, object] = {"report": str(folder.report_html), "bytes": size, "left_out": problems}
    emit(data, json_output=json_output, text=f"{folder.report_html}  {size / 1e6:.1f} MB")
