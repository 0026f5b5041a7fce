"""`wakelark doctor`: what this machine has, what is missing, what to do."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from wakelark.cli.output import emit
from wakelark.errors import SetupError


def doctor(
    config: Annotated[Path | None, typer.Option(help="A configuration file to check too.")] = None,
    json_output: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> int:
    """What this machine has, what is missing, what to do. Exit code 5 when something that is needed is missing."""
    from wakelark.cli.health import examine

    checks = examine(config)
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
    }
    emit(data, json_output=json_output, text="\n".join(lines))
    return SetupError.exit_code if failed else 0
