"""Which training pairs the fitted reference models learn from: those up to the time cut, of at most MOST_ITEMS videos."""

import numpy as np

from thumbrank_core.training.dataset import Dataset, Pairs

MOST_ITEMS = 50_000
"""Videos that a fit is given: a linear model and trees on 128 dimensions gain nothing visible beyond, and take a minute more."""


def learnt_pairs(dataset: Dataset) -> Pairs:
    """The training pairs, or those of a seeded draw of channels with about MOST_ITEMS videos between them."""
    pairs = dataset.of("train")
    items = np.unique(np.concatenate([pairs.a, pairs.b]))
    if len(items) <= MOST_ITEMS:
        return pairs
    size = np.bincount(dataset.items.channel[items], minlength=len(dataset.channels))
    order = np.random.default_rng(0).permutation(np.flatnonzero(size))
    chosen = order[np.cumsum(size[order]) <= MOST_ITEMS]
    return pairs.take(np.isin(pairs.channel, chosen))
