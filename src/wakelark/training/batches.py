"""Which views make a batch: balanced between classes, engines, voices and sources, the same for a seed and epoch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from wakelark.errors import DataError
from wakelark.training.view_store import ViewStore

if TYPE_CHECKING:
    from wakelark.config import TrainingConfig

Indices = NDArray[np.int64]

ROBOTIC_ENGINE = "espeak"
ROBOTIC_SHARE = 0.35
"""Share of the positives spoken by formant synthesis when natural voices are there: they decide, it adds variety."""
RECORDED_SHARE = 0.7
"""Share of real recordings among the negatives that are not hard."""
REAL_KINDS = ("recording", "music", "own_negative")
FOOLING_KINDS = ("mined", "own_negative")
"""Hard negatives of these kinds are sounds that fooled a model: mined ones, and false alarms that a user brought."""

MIX = ("positive_share", "near_miss_share", "mined_share", "source_share")
"""The keys of the section `training` that say what a batch is made of."""


def batches(
    store: ViewStore, *, mix: TrainingConfig, seed: int, epoch: int, steps: int, batch_size: int
) -> Iterator[Indices]:
    """The batches of one epoch, as indices into `store`; a pure function of the arguments.

    Every batch has the same number of views of each part: positives, near misses (`mix.near_miss_share` of the
    negatives), sounds that fooled a model (`mix.mined_share`: mined, or brought by the user as false alarms), and
    ordinary negatives, `RECORDED_SHARE` of which are real recordings. A share above 0 is at least one view; parts that
    are missing leave theirs to the ordinary negatives.

    Positives are even over engines (formant synthesis at most 35 % beside natural voices) and over the voices of each;
    synthetic negatives over voices; no source has more than `mix.source_share` of the recordings, or of the mined
    sounds, where there are enough sources. Every view is as likely as its weight says, drawn as evenly over the epoch
    as whole numbers allow.

    Args:
        store: the training views.
        mix: the shares.
        seed: of the run.
        epoch: number of the epoch.
        steps: batches in it.
        batch_size: views per batch.

    Returns:
        Arrays `[batch_size]`, shuffled.

    Raises:
        DataError: there are no positives or no negatives.
    """
    labels = store.labels
    positives, negatives = np.flatnonzero(labels == 1), np.flatnonzero(labels == 0)
    if not positives.size or not negatives.size:
        missing = "positive" if not positives.size else "negative"
        raise DataError(
            f"the training data has no {missing} views: the manifest needs {missing} clips in the split train"
        )
    rng = np.random.default_rng([seed, epoch, 0xBA7C4])
    positive_count = min(max(round(batch_size * mix.positive_share), 1), batch_size - 1)
    parts = [(positive_count, positives, positive_weights(store, positives))]
    parts += _negative_parts(store, negatives, batch_size - positive_count, mix)
    drawn = [
        _spread(views, weights, steps * count, rng).reshape(steps, count) for count, views, weights in parts if count
    ]
    for step in range(steps):
        yield rng.permutation(np.concatenate([part[step] for part in drawn]))


def _negative_parts(
    store: ViewStore, negatives: Indices, total: int, mix: TrainingConfig
) -> list[tuple[int, Indices, NDArray[np.float64]]]:
    """(views per batch, candidates, their weights) of near misses, fooling sounds, recordings and the rest."""
    kinds = store.of_clips(lambda clip: clip.kind)[negatives]
    sources = store.of_clips(lambda clip: clip.source)[negatives]
    voices = store.of_clips(lambda clip: clip.voice)[negatives]
    flagged = store.hard[negatives]
    fooling = flagged & np.isin(kinds, FOOLING_KINDS)
    near, real = flagged & ~fooling, ~flagged & np.isin(kinds, REAL_KINDS)
    other = ~flagged & ~real
    near_count = _views(mix.near_miss_share, total) if near.any() else 0
    mined_count = min(_views(mix.mined_share, total), total // 4) if fooling.any() else 0
    rest = total - near_count - mined_count
    real_count = round(rest * RECORDED_SHARE) if real.any() and other.any() else rest if real.any() else 0
    other_count = rest - real_count if other.any() else 0
    if not (real.any() or other.any()):  # nothing ordinary: near misses take its place, or else the sounds that fooled
        near_count, mined_count = (near_count + rest, mined_count) if near.any() else (0, total)
    return [
        (near_count, negatives[near], _even_over(voices[near])),
        (mined_count, negatives[fooling], _capped(sources[fooling], mix.source_share)),
        (real_count, negatives[real], _capped(sources[real], mix.source_share)),
        (other_count, negatives[other], _even_over(voices[other])),
    ]


def _views(share: float, total: int) -> int:
    return max(1, round(share * total)) if share > 0 else 0


def positive_weights(store: ViewStore, positives: Indices) -> NDArray[np.float64]:
    """Probability of every positive view. Shape: `[P] -> [P]`, sum 1"""
    engines = store.of_clips(lambda clip: clip.engine)[positives]
    voices = store.of_clips(lambda clip: clip.voice)[positives]
    present = sorted(set(engines.tolist()))
    natural = [engine for engine in present if engine != ROBOTIC_ENGINE]
    robotic_share = ROBOTIC_SHARE if natural else 1.0
    weights = np.zeros(positives.size)
    for engine in present:
        share = robotic_share if engine == ROBOTIC_ENGINE else 1.0
        if engine != ROBOTIC_ENGINE:
            share = (1 - robotic_share * (ROBOTIC_ENGINE in present)) / len(natural)
        members = np.flatnonzero(engines == engine)
        weights[members] = share * _even_over(voices[members])
    return weights / weights.sum()


def _even_over(groups: NDArray) -> NDArray[np.float64]:
    """Weights of sum 1: the same for every group, the same within one."""
    _, group, counts = np.unique(groups, return_inverse=True, return_counts=True)
    return 1.0 / (counts.size * counts[group])


def _capped(groups: NDArray, cap: float) -> NDArray[np.float64]:
    """Weights of sum 1: the same for every view, unless its group would have more than `cap`."""
    _, group, counts = np.unique(groups, return_inverse=True, return_counts=True)
    if not counts.size:
        return np.zeros(0)
    shares = counts / counts.sum()
    cap = max(cap, 1.0 / counts.size)
    for _ in range(counts.size):
        capped = shares >= cap
        free = (~capped) & (shares > 0)
        if not free.any() or shares[capped].sum() <= cap * capped.sum() + 1e-12:
            break
        shares[capped] = cap
        shares[free] *= (1 - cap * capped.sum()) / shares[free].sum()
    return (shares / counts)[group]


def _spread(views: Indices, weights: NDArray[np.float64], count: int, rng: np.random.Generator) -> Indices:
    """`count` draws by weight, shuffled, each view within one of its expected number (systematic sampling)."""
    order = rng.permutation(views.size)
    edges = np.cumsum(weights[order])
    points = (rng.random() + np.arange(count)) / count * edges[-1]
    return rng.permutation(views[order[np.minimum(np.searchsorted(edges, points, "right"), views.size - 1)]])
