"""Platt's scaling: laws, and numbers that follow from two Gaussians."""

from __future__ import annotations

import numpy as np
import pytest

from wakelark.config import EvaluationConfig
from wakelark.pipeline.calibration import Calibration, fit_calibration, fit_platt
from wakelark.pipeline.development import DevelopmentSet, PositiveTrial

from .tiny_network import WrittenNetwork, written


@pytest.mark.parametrize(("mean", "deviation", "temperature"), [(1.0, 2.0, 2.0), (2.0, 2.0, 1.0), (1.0, 1.0, 0.5)])
def test_two_gaussians_have_a_known_slope(mean: float, deviation: float, temperature: float) -> None:
    """The log-odds of N(m, s) against N(-m, s) are 2 m / s^2 times the value."""
    rng = np.random.default_rng(0)
    fit = fit_platt(rng.normal(mean, deviation, 20_000), rng.normal(-mean, deviation, 20_000))
    assert fit.temperature == pytest.approx(temperature, rel=0.08)
    assert fit.bias == pytest.approx(0, abs=0.05)


@pytest.mark.parametrize("shift", [-6.0, -3.0, 3.0, 6.0])
def test_logits_far_from_zero_are_brought_back(shift: float) -> None:
    """Where both classes are as likely, the calibrated logit is about 0 (a plain Newton's method ran away here)."""
    rng = np.random.default_rng(1)
    fit = fit_platt(rng.normal(1, 1.5, 5000) + shift, rng.normal(-1, 1.5, 5000) + shift)
    assert 0.5 < fit.temperature < 4
    assert shift / fit.temperature + fit.bias == pytest.approx(0, abs=1)


def test_many_negatives_do_not_outweigh_few_positives() -> None:
    rng = np.random.default_rng(2)
    positives, negatives = rng.normal(1, 1, 50), rng.normal(-1, 1, 300)
    once, often = fit_platt(positives, negatives), fit_platt(positives, np.tile(negatives, 40))
    assert often.temperature == pytest.approx(once.temperature)
    assert often.bias == pytest.approx(once.bias)


def test_separated_classes_do_not_run_away() -> None:
    fit = fit_platt(np.full(10, 30.0), np.full(10, -30.0))
    assert 0.3 <= fit.temperature <= 5.0
    assert np.isfinite(fit.bias)


def test_the_order_of_scores_is_kept_even_for_a_network_that_is_wrong() -> None:
    fit = fit_platt(np.array([-3.0, -2.0]), np.array([2.0, 3.0]))
    assert fit.temperature == 5.0  # never negative: a model must not be turned around


@pytest.mark.parametrize(("positives", "negatives"), [([], [1.0]), ([1.0], [])])
def test_one_class_alone_changes_nothing(positives: list[float], negatives: list[float]) -> None:
    assert fit_platt(np.array(positives), np.array(negatives)) == Calibration(1.0, 0.0)


def test_the_loudest_step_of_each_clip_and_of_every_two_seconds_is_fitted() -> None:
    """Steps of 0.5 s: four make a window; the rest of 0.5 s is not a whole one."""
    trials = [PositiveTrial(written([-9.0, top, -9.0]), 0, 9, number, False) for number, top in enumerate((1.0, 3.0))]
    streams = [written([-8, -2, -8, -8, -8, -8, -8, -4, 7])]
    fit = fit_calibration(WrittenNetwork(), DevelopmentSet(trials, streams, EvaluationConfig()))
    assert fit == fit_platt(np.array([1.0, 3.0]), np.array([-2.0, -4.0]))
