"""Statistics of paired runs: by hand where hands suffice, against the curve of single runs where not."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wakelark.evaluation.ablation_bootstrap import Blocks, Draws, difference_interval, draw, resampled_misses
from wakelark.evaluation.ablation_stats import holm, log_miss, sign_flip_p, verdict
from wakelark.evaluation.operating_point import DetCurve

scores = st.lists(st.sampled_from([0.0, 0.1, 0.2, 0.5, 0.7, 0.9, 1.0]), min_size=1, max_size=12)


@pytest.mark.parametrize(
    ("differences", "p"),
    [
        ([-1.0] * 5, 2 / 32),
        ([-1.0] * 15, 2 / 2**15),
        ([-3.0, -2.0, 1.0], 0.5),  # |sum| 4 or more: -3-2-1, -3-2+1 and their mirror images
        ([0.0, 0.0, 0.0], 1.0),
        ([0.5], 1.0),
    ],
)
def test_sign_flips_are_counted_exactly(differences: list[float], p: float) -> None:
    assert sign_flip_p(differences) == pytest.approx(p)


def test_many_pairs_are_sampled_and_agree_with_the_normal_law() -> None:
    rng = np.random.default_rng(1)
    values = rng.normal(0.3, 1.0, 40)
    z = values.sum() / math.sqrt(float(np.sum(values**2)))
    assert sign_flip_p(values) == pytest.approx(math.erfc(abs(z) / math.sqrt(2)), abs=0.02)
    assert sign_flip_p([-1.0] * 40) == pytest.approx(1 / 100_001)


def test_holm_of_two_is_twice_the_smaller_and_never_falls() -> None:
    assert holm({"a": 0.02, "b": 0.03}) == {"a": 0.04, "b": 0.04}
    assert holm({"a": 0.9, "b": 0.01}) == {"b": 0.02, "a": 0.9}
    assert holm({}) == {}


def test_a_ratio_of_misses_is_a_difference_of_logs() -> None:
    halved = log_miss(0.0475, 100) - log_miss(0.1, 100)
    assert float(halved) == pytest.approx(math.log(0.0525 / 0.105))


@pytest.mark.parametrize(
    ("interval", "gain", "controls", "missing", "p", "says"),
    [
        ((-0.5, -0.1), -0.3, {"c": 0.0}, [], 0.01, "helps"),
        ((-0.5, -0.1), -0.3, {"c": -0.15}, [], 0.01, "no claim: c reproduces 50 % of the gain"),
        ((-0.5, -0.1), -0.3, {"c": -0.1, "d": -0.3}, [], None, "no claim: d reproduces 100 % of the gain"),
        ((-0.5, -0.1), 0.1, {"c": 0.0}, [], 0.01, "no claim: no gain where its controls were run"),
        ((-0.5, -0.1), -0.3, {"c": 0.0}, ["d"], 0.01, "lower miss rate; not all controls were run"),
        ((-0.5, -0.1), -0.3, {"c": -0.2}, ["d"], 0.01, "no claim: c reproduces 67 % of the gain"),
        ((-0.5, -0.1), -0.3, {}, [], None, "lower miss rate; no control was run"),
        ((-0.5, -0.1), -0.3, {}, ["c", "d"], None, "lower miss rate; no control was run"),
        ((-0.5, -0.1), -0.3, {"c": 0.0}, [], 0.06, "no claim: p = 0.060"),
        ((-0.5, 0.0), -0.3, {"c": 0.0}, [], 0.01, "no claim: the interval includes zero"),
        ((0.1, 0.5), 0.3, {}, [], 0.01, "hurts"),
    ],
)
def test_helps_is_said_only_when_nothing_speaks_against_it(
    interval: tuple[float, float],
    gain: float,
    controls: dict[str, float],
    missing: list[str],
    p: float | None,
    says: str,
) -> None:
    found = verdict(interval, pairs=5, gain=gain, control_gains=controls, controls_missing=missing, p=p)
    assert found == says


def test_few_pairs_claim_nothing() -> None:
    for pairs, interval, said in ((1, (-0.5, -0.1), "1 pair"), (4, (0.1, 0.5), "4 pairs")):
        found = verdict(interval, pairs=pairs, gain=interval[0], control_gains={}, controls_missing=[], p=None)
        assert found == f"no claim: only {said}"


def test_events_fall_into_their_blocks() -> None:
    blocks = Blocks.of([1500.0, 60.0])
    recording, time_s = np.array([0, 0, 0, 0, 1]), np.array([0.0, 600.0, 600.1, 1500.5, 60.0])
    assert blocks.index(recording, time_s).tolist() == [0, 0, 1, 2, 3]
    assert float(blocks.hours.sum()) == pytest.approx(1560 / 3600)


@given(clips=scores, events=scores, seed=st.integers(0, 1000))
@settings(max_examples=80)
def test_every_draw_is_the_curve_of_what_was_drawn(clips: list[float], events: list[float], seed: int) -> None:
    """Clips and blocks written out as often as they were drawn give the same miss rate as their weights."""
    rng = np.random.default_rng(seed)
    blocks = rng.integers(0, 4, len(events))
    hours = np.array([1.0, 1.0, 1.0, 0.5])
    draws = draw(clips=len(clips), blocks=4, resamples=3, rng=rng)
    budgets = (0.5, 2.0)
    found = resampled_misses(
        np.array(clips), np.array(events), blocks, hours=hours, draws=draws, budgets=budgets, floor=1e-5
    )
    for row, (clip_counts, block_counts) in enumerate(zip(draws.clips, draws.blocks, strict=True)):
        curve = DetCurve(
            np.repeat(clips, clip_counts), np.repeat(events, block_counts[blocks]),
            hours=float(block_counts @ hours), floor=1e-5,
        )  # fmt: skip
        assert found[row] == pytest.approx([curve.matched_miss_rate(budget) for budget in budgets])


def test_the_first_draw_is_the_sample() -> None:
    draws: Draws = draw(clips=5, blocks=2, resamples=4, rng=np.random.default_rng(0))
    assert draws.clips.shape == (5, 5)
    assert draws.clips[0].tolist() == [1] * 5
    assert (draws.clips.sum(axis=1) == 5).all()
    assert (draws.blocks.sum(axis=1) == 2).all()


def test_pairs_are_drawn_within_their_phrase() -> None:
    """Pairs of -1 and -3, scaled by sqrt(2) about -2, and a phrase of zeros: half of -2 +- sqrt(2) at the ends."""
    first = np.tile([-1.0, -3.0], (2001, 1))
    second = np.zeros((2001, 5))
    low, high = difference_interval([first, second], rng=np.random.default_rng(0))
    assert (low, high) == pytest.approx((-1 - math.sqrt(0.5), -1 + math.sqrt(0.5)))


def test_the_mean_of_drawn_pairs_varies_as_the_mean_of_pairs_does() -> None:
    """Pairs of 0 and 1 have the variance s2 = 1/2, so their mean has s2 / 2 = 1/4: half of the draws lie at 1/2, a
    quarter each at 1/2 -+ sqrt(1/2), which is that variance; a single pair is drawn as it is."""
    low, high = difference_interval([np.tile([0.0, 1.0], (2001, 1))], rng=np.random.default_rng(0))
    assert 0.5 * ((high - 0.5) ** 2 + (low - 0.5) ** 2) / 2 == pytest.approx(0.25)
    assert difference_interval([np.full((11, 1), 0.3)], rng=np.random.default_rng(0)) == pytest.approx((0.3, 0.3))


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(3)
    covered = 0
    for _ in range(200):
        pairs = rng.normal(-0.5, 1.0, 25)
        low, high = difference_interval([np.tile(pairs, (401, 1))], rng=rng)
        covered += low <= -0.5 <= high
    assert 0.88 <= covered / 200 <= 0.98
