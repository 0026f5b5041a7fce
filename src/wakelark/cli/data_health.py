"""The part of `wakelark doctor` that looks at folders of recordings."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wakelark.cli.health import Check, pip_remedy
from wakelark.cli.output import Progress
from wakelark.errors import DataError

if TYPE_CHECKING:
    from wakelark.pipeline.health.findings import Finding, Health


def check_data(
    positives: Path | None, negatives: Path | None, config: Path | None, *, progress: Progress
) -> tuple[list[Check], dict[str, Any] | None]:
    """One check per finding, or one that says that nothing was found; and all findings as plain data.

    Nothing and None when no folder is named.

    Raises:
        ConfigError: there is no such folder, or the configuration cannot be used.
    """
    if positives is None and negatives is None:
        return [], None
    try:
        from wakelark.pipeline.health.check import check_folders
    except ModuleNotFoundError as error:
        detail = f"not looked at: the package {error.name} is missing"
        return [Check("data", "warn", detail, pip_remedy("train"))], None
    try:
        health = check_folders(
            positives, negatives, config=_corpus_config(config), workers=os.cpu_count() or 1, progress=progress
        )
    except DataError as error:
        return [Check("data", "fail", str(error), "see docs/data_health.md for what is read and what is refused")], None
    return [_all_in_all(health), *(_check(finding) for finding in health.findings)], health.facts()


def _corpus_config(config: Path | None) -> Any:
    from wakelark.config import Config
    from wakelark.config_file import load_config

    return (Config() if config is None else load_config(config, overrides=[], preset=None)).corpus


def _all_in_all(health: Health) -> Check:
    checked = ", ".join(f"{count} {what}" for what, count in health.checked.items() if count)
    warnings = sum(finding.level == "warn" for finding in health.findings)
    found = f"{warnings} warnings, {len(health.findings) - warnings} notes" if health.findings else "nothing is wrong"
    return Check("data", "ok", f"{found}; {checked}")


def _check(finding: Finding) -> Check:
    items = "".join(f"\n        {_item(item)}" for item in finding.items)
    more = f"\n        and {finding.count - len(finding.items)} more" if finding.count > len(finding.items) > 0 else ""
    status = "warn" if finding.level == "warn" else "ok"
    return Check(f"data: {finding.check}", status, finding.what + items + more, finding.remedy)


def _item(item: dict[str, object]) -> str:
    name = str(item.get("file", item.get("voice", "")))
    same = item.get("same")
    details = [str(item["detail"])] if "detail" in item else []
    if isinstance(same, list | tuple):
        details.append("like " + ", ".join(map(str, same)))
    return f"{name}  {'; '.join(details)}".rstrip()
