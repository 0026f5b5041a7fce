"""The second stage: a larger model that listens only when the small one has heard something.

Most of the time it sleeps. Woken, it takes the last two seconds or so, which are kept for it: the first part makes it
forget that it has just begun (the card's `warm_up_samples`, of real audio), so that the scores of the last part are
those it would have given had it listened all the time. It goes on listening while it is kept awake. Then the verdict
is the weighted mean of the log-odds of both models' peaks of late, shifted so that 0.5 is normal.
"""

from __future__ import annotations

import math
from collections import deque

import numpy as np

from wakelark.audio import SAMPLE_RATE, Float32Array
from wakelark.errors import ConfigError
from wakelark.model_card import MAX_LOG_ODDS, CardJudged, ModelCard, lookback_steps, patience_steps
from wakelark.runtime.backend import Backend


class Judge:
    """A model as the second stage of another.

    With the very judge that the other model's card was chosen with, thresholds and weights are those of
    `card.judged`. Any other judge decides alone, at its own threshold: the pair is unknown.

    Args:
        backend: the judge's model.
        card: of the model that wakes it.
        threshold: of the verdict, instead of that of the preset.
        preset: name of the operating point, "normal" for None.

    Attributes:
        card: the judge's.
        threshold: at or above it, the verdict is yes.
        wake_threshold: smoothed score of the other model that wakes the judge, by that model's card.
        is_known: whether that card was chosen with this judge.
        wakes: how often it was woken since the last `reset`.
        heard_s: seconds of audio that it had to listen to for that.

    Raises:
        ConfigError: the card names no operating point with a judge, the two listen for different phrases, or the
            preset or the threshold cannot be.
    """

    def __init__(self, backend: Backend, *, card: ModelCard, threshold: float | None, preset: str | None) -> None:
        judged = _operating_point(card, backend)
        self.card = backend.card
        self.is_known = judged.judge == backend.digest
        self.wake_threshold = judged.wake_threshold
        own = judged.preset(preset or "normal").threshold if self.is_known else _alone(self.card, preset)
        self.threshold = own if threshold is None else checked_threshold("judge_threshold", threshold)
        self._weight = judged.judge_weight if self.is_known else 1.0
        self._shift = judged.logit_shift if self.is_known else 0.0
        self._backend = backend
        self._step = self.card.step_samples
        self._patience = patience_steps(judged.patience_s, step_s=card.step_samples / SAMPLE_RATE)
        self._lookback = lookback_steps(judged.lookback_s, step_s=self._step / SAMPLE_RATE)
        self._smoothing = self.card.smoothing_steps
        self._kept = self.card.warm_up_samples + (self._lookback + self._smoothing) * self._step
        self.reset()

    def reset(self) -> None:
        """Forget all audio and what was counted."""
        self._audio = np.zeros(self._kept, np.float32)
        self._end = 0
        self._quiet_steps = self._patience + 1
        self._waking: deque[float] = deque(maxlen=self._patience + 1)
        self._next: int | None = None
        self._state = self._backend.zero_state()
        self._raw: deque[float] = deque(maxlen=self._smoothing)
        self._smoothed: deque[float] = deque(maxlen=self._lookback)
        self.wakes = 0
        self.heard_s = 0.0

    def keep(self, audio: Float32Array) -> None:
        """Keep what the other model has heard, before its steps are judged. Shape: `[N]`"""
        self._audio = np.concatenate([self._audio[-self._kept :], audio])
        self._end += len(audio)

    def verdict(self, waking: float, *, end: int, threshold: float) -> float:
        """The verdict after a step of the other model; 0 while the judge sleeps.

        Args:
            waking: that model's smoothed score.
            end: samples of the stream up to the end of its step.
            threshold: the judge wakes at it.
        """
        self._waking.append(waking)
        self._quiet_steps += 1
        if waking >= threshold:
            self.wakes += self._quiet_steps > self._patience + 1  # it slept until now
            self._quiet_steps = 0
        if self._quiet_steps > self._patience:
            return 0.0
        self._listen(end // self._step)
        heard = max(self._smoothed, default=0.0)
        odds = self._weight * log_odds(heard) + (1 - self._weight) * log_odds(max(self._waking))
        return 1 / (1 + math.exp(-(odds + self._shift)))

    def _listen(self, newest: int) -> None:
        """Score what is new up to the start of the judge's step `newest`, counted from the stream's start."""
        # The steps before the oldest score that counts only fill the mean, and those before them the state.
        oldest = max(0, newest - self._lookback - (self._smoothing - 1))
        begin = oldest - self.card.warm_up_samples // self._step
        if self._next is None or self._next < begin:
            self._next, self._state = begin, self._backend.zero_state()
            self._raw.clear()
            self._smoothed.clear()
        if self._next >= newest:
            return
        audio = self._between(self._next * self._step, newest * self._step)
        scores, self._state = self._backend.run(audio, self._state)
        self.heard_s += len(audio) / SAMPLE_RATE
        for index, score in enumerate(scores.tolist(), self._next):
            if index < oldest and not self._raw:
                continue  # still forgetting how it began
            self._raw.append(score)
            if len(self._raw) == min(self._smoothing, index + 1):
                self._smoothed.append(mean(self._raw))
        self._next = newest

    def _between(self, first: int, last: int) -> Float32Array:
        """Samples of the stream; before its start there was silence. Shape: `-> [last - first]`"""
        offset = self._end - len(self._audio)
        return self._audio[first - offset : last - offset]


def mean(values: deque[float]) -> float:
    """Oldest first, plain additions: the same bits as `evaluation.events.smooth`, so thresholds mean the same."""
    total = 0.0
    for value in values:
        total += value
    return total / len(values)


def log_odds(probability: float) -> float:
    """log(p / (1 - p)), at most `MAX_LOG_ODDS` to either side.

    >>> log_odds(0.5), log_odds(1.0)
    (0.0, 10.0)
    """
    if not 0 < probability < 1:
        return MAX_LOG_ODDS if probability >= 1 else -MAX_LOG_ODDS
    return min(max(math.log(probability / (1 - probability)), -MAX_LOG_ODDS), MAX_LOG_ODDS)


def checked_threshold(name: str, value: float) -> float:
    """A threshold that a user gave.

    Raises:
        ConfigError: it is not above 0 and at most 1.
    """
    if not 0 < value <= 1:
        raise ConfigError(f"{name} {value} must be above 0 and at most 1")
    return value


def _operating_point(card: ModelCard, judge: Backend) -> CardJudged:
    if card.phrase.casefold() != judge.card.phrase.casefold():
        raise ConfigError(
            f'the judge {judge.name} listens for "{judge.card.phrase}", the model for "{card.phrase}"; '
            "take the model.onnx of the same run"
        )
    if card.judged is None:
        raise ConfigError(
            "this model was not made to be judged: its card names no operating point with a judge; give the "
            "model_tiny.onnx of a run first, and its model.onnx as the judge"
        )
    return card.judged


def _alone(card: ModelCard, preset: str | None) -> float:
    return card.threshold if preset is None else card.preset(preset).threshold
