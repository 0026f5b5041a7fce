"""What the models of a run have learned of the user's material: the record by which a retraining is planned."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Learned:
    """Of the models in a run's folder.

    Attributes:
        added: key of what was brought by hand; "" for nothing.
        mined: ids of the mined sounds that *both* models have learned, sorted.
        export: "accurate" and "tiny" -> what the report says of the file's export.
        told: verdicts on a first part of the retraining, for the report of the second part.
    """

    added: str = ""
    mined: tuple[str, ...] = ()
    export: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    told: tuple[Mapping[str, Any], ...] = ()

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Learned:
        """What `to_json` gave."""
        return cls(
            added=values["added"], mined=tuple(values["mined"]), export=values["export"], told=tuple(values["told"])
        )

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        return dataclasses.asdict(self)

    def knows(self, added: str, mined: Iterable[str]) -> bool:
        """Whether the models have learned exactly this."""
        return (self.added, set(self.mined)) == (added, set(mined))
