"""What the checks of the data say: each finding with how many, which, and what to do."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Level = Literal["warn", "note"]
LISTED = 20
"""So many of the clips that a finding is about are named."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is wrong, or worth knowing.

    Attributes:
        check: which check found it: "clipped", "repeats-across-splits", "label", ...
        level: "warn" where the models or their figures suffer, else "note".
        count, of: how many of how many that were looked at.
        what: the finding as a sentence.
        remedy: what to do about it.
        items: the worst of them, at most `LISTED`, as plain data with a `file` or a `voice`.
    """

    check: str
    level: Level
    count: int
    of: int
    what: str
    remedy: str
    items: tuple[dict[str, object], ...] = ()

    def sentence(self) -> str:
        """The finding, the first of those concerned, and the remedy."""
        names = [str(item.get("file", item.get("voice", ""))) for item in self.items[:3]]
        more = ", ..." if self.count > len(names) else ""
        listed = f" ({', '.join(names)}{more})" if names else ""
        return f"{self.what}{listed}: {self.remedy}"


@dataclass(slots=True)
class Health:
    """All findings, and how much was looked at.

    Attributes:
        checked: what -> how many, such as "own clips" -> 120.
        findings: warnings first.
    """

    checked: Counter[str] = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)

    def add(self, findings: Sequence[Finding]) -> None:
        """Take further findings."""
        self.findings = sorted([*self.findings, *findings], key=lambda finding: finding.level != "warn")

    def warnings(self) -> list[str]:
        """The findings that matter, as sentences."""
        return [f"data: {finding.sentence()}" for finding in self.findings if finding.level == "warn"]

    def facts(self) -> dict[str, Any]:
        """As plain data, for `report.json`."""
        return {
            "checked": dict(self.checked),
            "warnings": sum(finding.level == "warn" for finding in self.findings),
            "findings": [dataclasses.asdict(finding) for finding in self.findings],
        }
