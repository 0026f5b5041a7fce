"""What a target of `wakelark export` is: the files of one ecosystem, written from a finished run and proven there."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from wakelark.errors import ModelError
from wakelark.pipeline.scoring import Progress
from wakelark.pipeline.targets.finished_run import FinishedRun


@dataclass(frozen=True, slots=True, kw_only=True)
class ParityCheck:
    """A figure that had to be small, and was.

    Attributes:
        what: a sentence for people, without the figure: "largest difference of a score to torch over 60 s".
        figure: as measured.
        allowed: the most that it may be.
    """

    what: str
    figure: float
    allowed: float

    def __post_init__(self) -> None:
        """Refuse what is too large.

        Raises:
            ModelError: the figure is above `allowed`, or is no number.
        """
        if math.isnan(self.figure) or self.figure > self.allowed:
            raise ModelError(
                f"the parity check failed: {self.what} is {self.figure:.3g}, allowed are {self.allowed:.3g}; nothing "
                "was written"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenFile:
    """A file of a target.

    Attributes:
        name: its path within the target's folder, with forward slashes.
        what: one line for people.
        model: whose figures in report.json are this file's: "accurate", "tiny" or "micro"; "" for none.
        facts: measured, ready for JSON: sizes, differences, an arena.
    """

    name: str
    what: str
    model: str = ""
    facts: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What a target wrote and what was measured of it.

    Attributes:
        files: all of them; those with a `model` first.
        parity: what was checked before anything was kept.
        install: Markdown for EXPORT.md, without a heading: how the files get to where they run.
        notes: what was left out and why, and what else the user should know.
    """

    files: Sequence[WrittenFile]
    parity: Sequence[ParityCheck]
    install: str
    notes: Sequence[str] = ()


class Target(ABC):
    """One ecosystem.

    Attributes:
        name: what `--to` calls it, and the name of its folder in `--out`.
        summary: one line for people: what loads these files.
        packages: modules that must be installed, for the proof, beside the extra `train`.
        extra: which of wakelark's extras brings them.
    """

    name: str
    summary: str
    packages: tuple[str, ...] = ()
    extra: str = ""

    def missing_package(self) -> str:
        """What to install, and why; "" where everything is there."""
        missing = [name for name in self.packages if find_spec(name) is None]
        if not missing:
            return ""
        return (
            f"{missing[0]}, which runs the files before they are kept, is not installed; install it with: "
            f'pip install "wakelark[{self.extra}]"'
        )

    @abstractmethod
    def lacks(self, run: FinishedRun) -> str:
        """Why this run cannot give the target, and what to do about it; "" where it can.

        Cheap: no model is loaded.
        """

    @abstractmethod
    def write(self, run: FinishedRun, folder: Path, *, progress: Progress) -> Written:
        """Write the files, prove them in the target's own runtime, and say what was measured.

        Args:
            run: finished.
            folder: exists and is empty; it becomes the target's folder when this returns and is removed when it raises.
            progress: called with (done, total, what).

        Raises:
            ModelError: a file does not say what its network says; the message has the figure.
            DataError: the run's clips are needed and gone.
            SetupError: a package is missing, or the disk is full.
        """
