"""Calibration of logits on development data (Platt's scaling, balanced between the classes)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wakelark.pipeline.development import DevelopmentSet
from wakelark.pipeline.networks import Network

_WINDOW_S = 2.0
_RIDGE = 1e-2
"""Pulls towards temperature 1 and bias 0: with perfectly separated classes the fit would otherwise run away."""
_TEMPERATURES = (0.3, 5.0)


@dataclass(frozen=True, slots=True)
class Calibration:
    """calibrated logit = logit / temperature + bias"""

    temperature: float
    bias: float


def fit_calibration(network: Network, development: DevelopmentSet) -> Calibration:
    """Fit on the loudest logit of each development positive and of each 2 s of the negative recordings."""
    positives = np.array([network.logits(trial.features).max(initial=-20.0) for trial in development.trials])
    windows = [_window_peaks(network.logits(stream), network.step_s) for stream in development.negatives]
    return fit_platt(positives, np.concatenate([*windows, np.zeros(0)]))


def fit_platt(positives: NDArray[np.floating], negatives: NDArray[np.floating]) -> Calibration:
    """Class-balanced logistic regression with one slope and one bias, by Newton's method.

    Shape: `[P], [N]`; either empty gives the identity.

    >>> fit = fit_platt(np.array([2.0, 4.0, 6.0]), np.array([-6.0, -4.0, -2.0]))
    >>> abs(fit.bias) < 1e-6
    True
    """
    if not len(positives) or not len(negatives):
        return Calibration(1.0, 0.0)
    logits = np.concatenate([positives, negatives]).astype(np.float64)
    targets = np.concatenate([np.ones(len(positives)), np.zeros(len(negatives))])
    weights = np.where(targets == 1, 0.5 / len(positives), 0.5 / len(negatives))
    design = np.stack([logits, np.ones_like(logits)], axis=1)
    prior = solution = np.array([1.0, 0.0])
    for _ in range(50):
        probability = 1.0 / (1.0 + np.exp(-np.clip(design @ solution, -60, 60)))
        gradient = design.T @ (weights * (probability - targets)) + _RIDGE * (solution - prior)
        curvature = (design * (weights * probability * (1 - probability))[:, None]).T @ design + _RIDGE * np.eye(2)
        step = np.linalg.solve(curvature, gradient).astype(np.float64)
        # Where the logits are far off, most probabilities are 0 or 1, the curvature says little and a whole step
        # overshoots: halve it until the loss falls.
        loss = _loss(solution, design, targets, weights)
        while _loss(solution - step, design, targets, weights) > loss and np.abs(step).max() > 1e-9:
            step /= 2
        solution = solution - step
        if np.abs(step).max() < 1e-9:
            break
    slope = float(np.clip(solution[0], 1 / _TEMPERATURES[1], 1 / _TEMPERATURES[0]))
    return Calibration(temperature=1.0 / slope, bias=float(solution[1]))


def _loss(
    solution: NDArray[np.float64],
    design: NDArray[np.float64],
    targets: NDArray[np.float64],
    weights: NDArray[np.float64],
) -> float:
    """The convex loss that `fit_platt` minimises. Shape: `[2], [N, 2], [N], [N]`"""
    logits = design @ solution
    pull = np.sum(np.square(solution - np.array([1.0, 0.0])))
    return float(np.sum(weights * (np.logaddexp(0, logits) - targets * logits)) + 0.5 * _RIDGE * pull)


def _window_peaks(logits: NDArray[np.float32], step_s: float) -> NDArray[np.float32]:
    steps = round(_WINDOW_S / step_s)
    whole = logits[: len(logits) // steps * steps].reshape(-1, steps)
    return whole.max(axis=1) if len(whole) else np.zeros(0, np.float32)
