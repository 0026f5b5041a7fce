"""Which detector is measured: a model file, or two of them, and where it fires."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from wakelark.peers.load import load_scorer
from wakelark.peers.scorer import Scorer


@dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    """The detector that listens, as what another process can load it from.

    Attributes:
        model: any file that `load_scorer` takes.
        threshold, preset, judge, judge_threshold: as in `Detector.load`; of a published model only the threshold.
    """

    model: Path
    threshold: float | None = None
    preset: str | None = None
    judge: Path | None = None
    judge_threshold: float | None = None

    def load(self) -> Scorer:
        """The detector.

        Raises:
            ModelError, SetupError, ConfigError: as `load_scorer` says.
        """
        return load_scorer(
            self.model, self.threshold, preset=self.preset, judge=self.judge, judge_threshold=self.judge_threshold
        )
