"""The development set: what counts as a hit, what as a false alarm, and which of two networks is better."""

from __future__ import annotations

import numpy as np
import pytest

from wakelark.audio import SAMPLE_RATE
from wakelark.config import EvaluationConfig
from wakelark.errors import DataError
from wakelark.pipeline.development import DevelopmentSet, PositiveTrial, trial_audio

from .tiny_network import STEP_S, WrittenNetwork, written

RULE = EvaluationConfig(smoothing_s=STEP_S, refractory_s=1.5)
HOUR = round(3600 / STEP_S)


def probability(logit: float) -> float:
    return float(1 / (1 + np.exp(-logit)))


def trial(logits: list[float], hit_from_s: float, hit_until_s: float) -> PositiveTrial:
    return PositiveTrial(written(logits), hit_from_s, hit_until_s, 0, False)


def hour(**events: float) -> list[float]:
    """An hour that is silent but for some steps: `at_<step>=logit`."""
    logits = [-12.0] * HOUR
    for name, value in events.items():
        logits[int(name.removeprefix("at_"))] = value
    return logits


def test_only_the_hit_window_counts() -> None:
    """Steps end at 0.5, 1.0, ... s; the loudest, at 2.5 s, is too late. One step beyond the window still counts."""
    early, inside, late = 5.0, 2.0, 6.0
    trials = [
        trial([early, -3, inside, -9, late], 1.0, 1.5),
        trial([early, -3, inside, -9, late], 1.0, 2.0),
        trial([-5, -5], 7.0, 8.0),
    ]
    curve = DevelopmentSet(trials, [written(hour())], RULE).curve(WrittenNetwork())
    assert curve.positives.tolist() == pytest.approx([0.0, probability(inside), probability(late)], abs=1e-3)


def test_false_alarms_are_events_not_steps() -> None:
    """Two loud steps next to each other are one event, two that are 1.5 s apart are two; hours are those of all."""
    streams = [written(hour(at_10=3.0, at_11=2.0, at_100=1.0)), written(hour(at_50=4.0, at_53=4.0))]
    development = DevelopmentSet([trial([0.0], 0, 1)], streams, RULE)
    curve = development.curve(WrittenNetwork())
    assert development.hours == curve.hours == pytest.approx(2.0)
    loud = [probability(logit) for logit in (4.0, 4.0, 3.0, 1.0)]
    assert curve.events.tolist()[:4] == pytest.approx(loud, abs=1e-3)
    assert curve.false_alarms_at(probability(0.0)) == 4


def test_without_negatives_nothing_can_be_said() -> None:
    with pytest.raises(DataError, match="fetch"):
        DevelopmentSet([trial([0.0], 0, 1)], [], RULE).curve(WrittenNetwork())


def test_the_figure_is_the_mean_miss_rate_over_the_budgets() -> None:
    """One hour: 0.5 per hour allows none, 1, 2 and 4 allow as many. Positives lie between the first events."""
    negatives = [written(hour(at_10=5.0, at_100=3.0, at_200=1.0, at_300=-1.0, at_400=-3.0))]
    trials = [trial([logit], 0, 1) for logit in (4.0, 2.0, 0.0, -2.0)]
    figure = DevelopmentSet(trials, negatives, RULE).figure(WrittenNetwork())
    # none allowed: threshold above 5: all missed; 1 allowed: above 3; 2 allowed: above 1; 4 allowed: above -3
    assert figure == pytest.approx(np.mean([4, 3, 2, 0]) / 4, abs=1.1e-3)


def test_of_two_that_miss_nothing_the_clearer_is_better() -> None:
    development = DevelopmentSet([trial([3.0], 0, 1)], [written(hour(at_10=-6.0))], RULE)
    faint, clear = development.figure(WrittenNetwork(gain=0.5)), development.figure(WrittenNetwork(gain=1.5))
    assert 0 < clear < faint < 1e-3
    assert type(clear) is float  # it goes into the report as JSON, and so does a comparison of two


def test_a_clear_network_with_one_miss_is_worse_than_a_faint_one_with_none() -> None:
    negatives = [written(hour(at_10=-6.0))]
    faint = DevelopmentSet([trial([-5.0], 0, 1)] * 100, negatives, RULE)
    miss = DevelopmentSet([trial([9.0], 0, 1)] * 99 + [trial([-9.0], 0, 1)], negatives, RULE)
    assert faint.figure(WrittenNetwork()) < miss.figure(WrittenNetwork())


def test_trial_audio_surrounds_a_clip_with_near_silence() -> None:
    clip = np.full(SAMPLE_RATE, 12_000, np.int16)
    audio = trial_audio(clip, rng=np.random.default_rng(0), lead_s=2.0, tail_s=0.5)
    assert audio.dtype == np.int16
    assert len(audio) == round(3.5 * SAMPLE_RATE)
    around = np.concatenate([audio[: 2 * SAMPLE_RATE], audio[3 * SAMPLE_RATE :]]).astype(float)
    level_db = 20 * np.log10(np.sqrt(np.mean(around**2)) / 32768)
    assert level_db == pytest.approx(-70, abs=1)
    assert np.abs(audio[2 * SAMPLE_RATE : 3 * SAMPLE_RATE] - 12_000).max() < 100
    again = trial_audio(clip, rng=np.random.default_rng(0), lead_s=2.0, tail_s=0.5)
    np.testing.assert_array_equal(audio, again)


def test_trial_audio_does_not_wrap_around() -> None:
    loud = np.array([32767, -32768] * 500, np.int16)
    audio = trial_audio(loud, rng=np.random.default_rng(0), lead_s=0, tail_s=0)
    assert (np.sign(audio) == np.sign(loud)).all()
