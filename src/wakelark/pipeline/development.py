"""The development set: what models, rounds and thresholds are chosen by. No voice and no negative in it was trained on.

Positives are clips of held-out voices, each once as it is and once augmented (with beds that training uses, too);
negatives are whole recordings of held-out sources. Features are computed once; a network is then judged in a second
or two.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wakelark.audio import SAMPLE_RATE, Int16Array, to_int16
from wakelark.config import EvaluationConfig
from wakelark.corpus.clip import Clip
from wakelark.evaluation.events import Float64Array, find_events, log_odds, smooth, smoothing_steps
from wakelark.evaluation.operating_point import DetCurve, selection_figure
from wakelark.pipeline.development_gate import BoolArray, DevelopmentGate, Openings
from wakelark.pipeline.evaluate import EVENT_FLOOR
from wakelark.pipeline.networks import Features, Network, probability
from wakelark.training.clip_audio import ClipReader
from wakelark.training.stream_features import StreamFeatures


@dataclass(frozen=True, slots=True)
class PositiveTrial:
    """Features of a positive clip with near-silence around it, and when a detection counts."""

    features: Features
    hit_from_s: float
    hit_until_s: float
    clip: int
    augmented: bool


@dataclass(frozen=True, slots=True)
class DevelopmentSet:
    """Positive trials and negative streams.

    Attributes:
        trials: from held-out voices.
        negatives: held-out recordings.
        evaluation: smoothing and refractory time.
        gate: the voice gate; None where it is off.
    """

    trials: Sequence[PositiveTrial]
    negatives: Sequence[StreamFeatures]
    evaluation: EvaluationConfig
    gate: DevelopmentGate | None = None

    @property
    def hours(self) -> float:
        return sum(stream.samples for stream in self.negatives) / SAMPLE_RATE / 3600

    def hear(self, network: Network) -> Heard:
        """What a network says of all of it."""
        trials = [network.logits(trial.features) for trial in self.trials]
        negatives = [network.logits(stream) for stream in self.negatives]
        openings = None
        if self.gate is not None:
            openings = self.gate.openings(
                step_s=network.step_s, first_s=network.first_s, trials=[len(logits) for logits in trials],
                negatives=[len(logits) for logits in negatives],
            )  # fmt: skip
        return Heard(
            development=self, step_s=network.step_s, first_s=network.first_s, trials=trials, negatives=negatives,
            openings=openings,
        )  # fmt: skip

    def curve(self, network: Network) -> DetCurve:
        """Misses against false alarms of a network.

        Raises:
            DataError: there are no negative recordings.
        """
        return self.hear(network).curve(0.0)

    def figure(self, network: Network) -> float:
        """The figure models are selected by: mean miss rate over the budgets 0.5 to 4 per hour, lower is better.

        With so few misses that several models tie, the mean score margin decides: it adds less than one thousandth.
        """
        curve = self.curve(network)
        threshold = curve.threshold_for_budget(self.evaluation.fa_per_hour)
        margin = float(np.mean(log_odds(np.asarray(curve.positives)) - log_odds(np.asarray(threshold))))
        return selection_figure(curve) + 1e-3 / (1.0 + float(np.exp(np.clip(margin / 4.0, -30, 30))))


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """A network's logits over a whole development set: what follows from them costs no network.

    Attributes:
        development: the set.
        step_s, first_s: of the network.
        trials, negatives: one array `[S]` each.
        openings: of the voice gate; None where it is off.
    """

    development: DevelopmentSet
    step_s: float
    first_s: float
    trials: Sequence[NDArray[np.float32]]
    negatives: Sequence[NDArray[np.float32]]
    openings: Openings | None

    def trial_scores(self, shift: float, *, gated: bool) -> list[Float64Array]:
        """Scores of the trials as the detector smooths them whose file adds `shift` to the logits; a judge is not
        `gated`. Shape: one array `[S]` each"""
        return self._smoothed(self.trials, shift, self.openings.trials if gated and self.openings else None)

    def negative_scores(self, shift: float, *, gated: bool) -> list[Float64Array]:
        """The same of the recordings. Shape: one array `[S]` each"""
        return self._smoothed(self.negatives, shift, self.openings.negatives if gated and self.openings else None)

    def _smoothed(
        self, logits: Sequence[NDArray[np.float32]], shift: float, openings: Sequence[BoolArray] | None
    ) -> list[Float64Array]:
        steps = smoothing_steps(step_s=self.step_s, smoothing_s=self.development.evaluation.smoothing_s)
        scores = [probability(found + np.float32(shift)) for found in logits]
        if openings is not None:
            scores = [np.where(opened, found, 0.0) for opened, found in zip(openings, scores, strict=True)]
        return [smooth(found, steps) for found in scores]

    def curve(self, shift: float) -> DetCurve:
        """Misses against false alarms of the network with `shift` added to its logits.

        Raises:
            DataError: there are no negative recordings.
        """
        return self.curve_of(self.trial_scores(shift, gated=True), self.negative_scores(shift, gated=True))

    def curve_of(self, trials: Sequence[Float64Array], negatives: Sequence[Float64Array]) -> DetCurve:
        """Misses against false alarms of any score on the network's steps.

        Raises:
            DataError: there are no negative recordings.
        """
        development = self.development
        events = [
            find_events(
                scores, step_s=self.step_s, refractory_s=development.evaluation.refractory_s, floor=EVENT_FLOOR
            ).scores
            for scores in negatives
        ]
        positives = [self._hit_score(scores, trial) for scores, trial in zip(trials, development.trials, strict=True)]
        return DetCurve(positives, np.concatenate([*events, np.zeros(0)]), hours=development.hours, floor=EVENT_FLOOR)

    def _hit_score(self, scores: Float64Array, trial: PositiveTrial) -> float:
        times_s = self.first_s + np.arange(len(scores)) * self.step_s
        inside = (times_s >= trial.hit_from_s) & (times_s <= trial.hit_until_s + self.step_s)
        return float(scores[inside].max()) if inside.any() else 0.0


def trial_audio(clip: Int16Array, *, rng: np.random.Generator, lead_s: float, tail_s: float) -> Int16Array:
    """A clip with near-silence (-70 dBFS) before and after.

    Shape: `[N] -> [N + (lead_s + tail_s) * 16000]`
    """
    before, after = round(lead_s * SAMPLE_RATE), round(tail_s * SAMPLE_RATE)
    noise = rng.standard_normal(before + len(clip) + after) * 10.0
    noise[before : before + len(clip)] += clip
    return np.clip(np.rint(noise), -32768, 32767).astype(np.int16)


def clips_in_a_row(clips: Sequence[Clip], reader: ClipReader, *, seed: Sequence[int]) -> Int16Array:
    """Clips one after the other, a second of near-silence between them: what stands in for a recording.

    Shape: `-> [N]`, empty without clips
    """
    pieces = [
        trial_audio(to_int16(reader.read(clip)), rng=np.random.default_rng([*seed, index]), lead_s=0.1, tail_s=1.0)
        for index, clip in enumerate(clips)
    ]
    return np.concatenate([np.zeros(0, np.int16), *pieces])
