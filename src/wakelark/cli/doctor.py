"""`wakelark doctor`: what this machine has, what is missing, what to do."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from wakelark.cli.output import emit, progress_bar
from wakelark.errors import DataError, SetupError


def doctor(
    config: Annotated[Path | None, typer.Option(help="A configuration file to check too.")] = None,
    positives: Annotated[
        Path | None, typer.Option(help="A folder to check before it is trained on, as `train` takes it.", metavar="DIR")
    ] = None,
    negatives: Annotated[Path | None, typer.Option(help="The same without the phrase.", metavar="DIR")] = None,
    json_output: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> int:
    """What this machine has, what is missing, what to do; and what is wrong with recordings before they are trained on.

    Exit code 5 when something that is needed is missing, 3 when a folder holds nothing that can be used.
    """
    from wakelark.cli.data_health import check_data
    from wakelark.cli.health import examine

    checks = examine(config)
    broken = any(check.status == "fail" for check in checks)
    with progress_bar(quiet=json_output) as progress:
        data_checks, health = check_data(positives, negatives, config, progress=progress)
    checks += data_checks
    failed = [check for check in checks if check.status == "fail"]
    lines = []
    for check in checks:
        lines.append(f"{check.status:>4}  {check.name}: {check.detail}")
        if check.remedy and check.status != "ok":
            lines.append(f"      -> {check.remedy}")
    problems = sum(check.status == "warn" for check in checks)
    lines.append(f"{len(failed)} failed, {problems} warnings, {len(checks) - len(failed) - problems} fine")
    data: dict[str, object] = {
        "ok": not failed,
        "checks": [
            {"name": check.name, "status": check.status, "detail": check.detail, "remedy": check.remedy}
            for check in checks
        ],
        "data": health,
    }
    emit(data, json_output=json_output, text="\n".join(lines))
    return SetupError.exit_code if broken else DataError.exit_code if failed else 0
