"""wakelark's own model files as scorers."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from wakelark.peers.scorer import WAKELARK, Scorer, ScorerFacts
from wakelark.runtime.detector import Detector
from wakelark.runtime.judge import Judge


class WakelarkScorer:
    """A detector: what it says is what counts, with smoothing, voice gate and judge.

    Args:
        detector: loaded, with the threshold it fires at.
        size_bytes: of its files.
    """

    def __init__(self, detector: Detector, *, size_bytes: int) -> None:
        self.detector = detector
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
        self.detector.reset()

    def score(self, chunk: NDArray[Any]) -> list[float]:
        """As `Scorer.score`."""
        return self.detector.score(chunk)

    def follow(self, chunk: NDArray[Any]) -> list[float]:
        """As `Scorer.follow`."""
        return self.detector.follow(chunk)


def judge_of(scorer: Scorer) -> Judge | None:
    """The second stage; None where there is none, as in all published models."""
    return scorer.detector.judge if isinstance(scorer, WakelarkScorer) else None
