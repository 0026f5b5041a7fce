"""Which detector is measured: a model file, or two of them, and where it fires."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from wakelark.peers.load import load_scorer
from wakelark.peers.scorer import Scorer


@dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    """What listens, as what another process can load it from; the fields are those of `Detector.load`.

    `model` may be any file that `load_scorer` takes; presets and judges are of wakelark's own models only.
    """

    model: Path
    threshold: float | None = None
    preset: str | None = None
    judge: Path | None = None
    judge_threshold: float | None = None

    def load(self) -> Scorer:
        """The model, loaded.

        Raises:
            ModelError, SetupError, ConfigError: as `load_scorer` says.
        """
        return load_scorer(
            self.model, self.threshold, preset=self.preset, judge=self.judge, judge_threshold=self.judge_threshold
        )
