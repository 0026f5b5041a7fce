"""Which views make a batch: balanced between classes, engines, voices and sources, the same for a seed and epoch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from wakelark.errors import DataError
from wakelark.training.view_store import ViewStore

Indices = NDArray[np.int64]

ROBOTIC_ENGINE = "espeak"
ROBOTIC_SHARE = 0.35
"""Share of the positives spoken by formant synthesis when natural voices are there: they decide, it adds variety."""
RECORDED_SHARE = 0.7
"""Share of real recordings among the negatives that are not hard."""
MINED_SHARE_OF_HARD = 0.5
MINED_SHARE = 0.25
"""Mined views are at most this share of all negatives: more, and the network learns the recordings by heart."""
REAL_KINDS = ("recording", "music", "own_negative")
FOOLING_KINDS = ("mined", "own_negative")
"""Hard negatives of these kinds are sounds that fooled a model: mined ones, and false alarms that a user brought."""


def batches(
    store: ViewStore,
    *,
    seed: int,
    epoch: int,
    steps: int,
    batch_size: int,
    positive_share: float,
    hard_share: float,
    source_share: float,
) -> Iterator[Indices]:
    """The batches of one epoch, as indices into `store`; a pure function of the arguments.

    Positives are even over engines (formant synthesis at most 35 % beside natural voices) and over the voices of each.
    Of the negatives `hard_share` sound like the phrase or fooled a model (mined, or brought by the user as false
    alarms; these are never more than a quarter); most others are real recordings, no source of
    which has more than `source_share`. Kinds that are missing leave their share to the others. Every view is as likely
    as its weight says, drawn as evenly over the epoch as whole numbers allow.

    Args:
        store: the training views.
        seed: of the run.
        epoch: number of the epoch.
        steps: batches in it.
        batch_size: views per batch.
        positive_share: of the phrase, in every batch.
        hard_share: of the negatives.
        source_share: cap per source within the recordings, relaxed when there are too few sources.

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
    positive_count = min(max(round(batch_size * positive_share), 1), batch_size - 1)
    weights = positive_weights(store, positives)
    chosen_positives = _spread(positives, weights, steps * positive_count, rng)
    weights = negative_weights(store, negatives, hard_share=hard_share, source_share=source_share)
    chosen_negatives = _spread(negatives, weights, steps * (batch_size - positive_count), rng)
    for step in range(steps):
        batch = np.concatenate([chosen_positives[step::steps], chosen_negatives[step::steps]])
        yield rng.permutation(batch)


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


def negative_weights(
    store: ViewStore, negatives: Indices, *, hard_share: float, source_share: float
) -> NDArray[np.float64]:
    """Probability of every negative view. Shape: `[N] -> [N]`, sum 1"""
    kinds = store.of_clips(lambda clip: clip.kind)[negatives]
    sources = store.of_clips(lambda clip: clip.source)[negatives]
    voices = store.of_clips(lambda clip: clip.voice)[negatives]
    flagged = store.hard[negatives]
    mined = flagged & np.isin(kinds, FOOLING_KINDS)
    hard, real = flagged & ~mined, ~flagged & np.isin(kinds, REAL_KINDS)
    other = ~(mined | real | hard)
    mined_share = min(MINED_SHARE, hard_share * (MINED_SHARE_OF_HARD if hard.any() else 1.0)) if mined.any() else 0.0
    shares = {"mined": mined_share, "hard": hard_share - mined_share}
    shares["real"] = (1 - hard_share) * RECORDED_SHARE
    shares["other"] = 1 - sum(shares.values())
    weights = np.zeros(negatives.size)
    for name, members in (("mined", mined), ("hard", hard), ("real", real), ("other", other)):
        chosen = np.flatnonzero(members)
        if chosen.size:
            even = _capped(sources[chosen], source_share) if name in ("real", "mined") else _even_over(voices[chosen])
            weights[chosen] = shares[name] * even
    if weights.sum() == 0:  # only kinds whose share is 0
        weights[:] = 1
    # What is missing leaves its share to the others, but not to the mined ones.
    scale = np.where(mined, 1.0, (1 - weights[mined].sum()) / max(weights[~mined].sum(), 1e-12))
    weights = weights * scale
    return weights / weights.sum()


def _even_over(groups: NDArray) -> NDArray[np.float64]:
    """Weights of sum 1: the same for every group, the same within one."""
    _, group, counts = np.unique(groups, return_inverse=True, return_counts=True)
    return 1.0 / (counts.size * counts[group])


def _capped(groups: NDArray, cap: float) -> NDArray[np.float64]:
    """Weights of sum 1: the same for every view, unless its group would have more than `cap`."""
    _, group, counts = np.unique(groups, return_inverse=True, return_counts=True)
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


def shares(store: ViewStore, chosen: Sequence[Indices]) -> Mapping[str, float]:
    """Shares of kinds (negatives) and engines (positives) in some batches: what the report says about the data."""
    drawn = np.concatenate([np.zeros(0, np.int64), *chosen])
    names = store.of_clips(lambda clip: f"{clip.engine} phrase" if clip.label else clip.kind)[drawn]
    kinds, counts = np.unique(names, return_counts=True)
    return {str(kind): round(float(count) / drawn.size, 4) for kind, count in zip(kinds, counts, strict=True)}
