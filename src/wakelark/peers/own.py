"""wakelark's own model files as scorers."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from wakelark.peers.scorer import WAKELARK, ScorerFacts
from wakelark.runtime.detector import Detector
from wakelark.runtime.judge import Judge


class WakelarkScorer:
    """A detector's decisive scores, with its card's voice gate and its second stage.

    Args:
        detector: loaded, with the threshold it fires at.
        size_bytes: of its file.
    """

    def __init__(self, detector: Detector, *, size_bytes: int) -> None:
        self._detector = detector
        self.facts = ScorerFacts(
            family=WAKELARK,
            runtime="wakelark",
            phrase=detector.phrase,
            threshold=detector.fires_at,
            step_s=detector.step_s,
            first_s=detector.step_s,
            smoothing_steps=detector.card.smoothing_steps,
            refractory_s=detector.card.refractory_s,
            live_samples=detector.card.step_samples,
            size_bytes=size_bytes,
        )

    def reset(self) -> None:
        """As `Scorer.reset`."""
        self._detector.reset()

    @property
    def judge(self) -> Judge | None:
        """The second stage."""
        return self._detector.judge

    @property
    def wake_threshold(self) -> float:
        """Where the first stage fires, or wakes the second."""
        return self._detector.threshold

    def follow(self, chunk: NDArray[Any]) -> list[float]:
        """As `Scorer.follow`."""
        return self._detector.follow(chunk)
