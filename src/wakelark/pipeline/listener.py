"""Which detector is measured: a model file, or two of them, and where it fires."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from wakelark.runtime.detector import Detector


@dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    """The detector that listens, as what another process can load it from; the fields are those of `Detector.load`."""

    model: Path
    threshold: float | None = None
    preset: str | None = None
    judge: Path | None = None
    judge_threshold: float | None = None

    def load(self) -> Detector:
        """The detector.

        Raises:
            ModelError, ConfigError: as `Detector.load` says.
        """
        return Detector.load(
            self.model, self.threshold, preset=self.preset, judge=self.judge, judge_threshold=self.judge_threshold
        )
