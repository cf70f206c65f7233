"""Intervals by resampling channels. Pairs of one channel share its videos, so resampling pairs is 2-4 times too narrow.

Every scorer of a table is resampled with the same draws, so that a difference between two is a paired difference.
Percentile intervals; below `FEW_CHANNELS` channels even these are too narrow, and whoever prints them says so.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

DRAWS = 2000
LEVEL = 0.95
FEW_CHANNELS = 50


@dataclass(frozen=True)
class Interval:
    """A figure and its 95 % interval; NaN bounds where it cannot be drawn."""

    value: float
    low: float
    high: float


def draw_weights(n_channels: int, draws: int = DRAWS, seed: int = 0) -> Floats:
    """How often each channel is drawn, (draws, n_channels): every row sums to n_channels."""
    generator = np.random.default_rng(seed)
    return generator.multinomial(n_channels, np.full(n_channels, 1 / n_channels), size=draws).astype(np.float64)


def ratio_draws(sums: Floats, counts: Floats, weights: Floats) -> Floats:
    """Resampled micro means, (draws,), from the sums and counts per channel, both (C,)."""
    return (weights @ sums) / (weights @ counts)


def mean_draws(values: Floats, weights: Floats) -> Floats:
    """Resampled macro means, (draws,), of one value a channel, (C,); NaN channels are left out."""
    known = np.isfinite(values)
    return (weights[:, known] @ values[known]) / np.maximum(weights[:, known].sum(axis=1), 1e-12)


def interval(value: float, draws: Floats) -> Interval:
    """The percentile interval around `value`."""
    tail = (1 - LEVEL) / 2
    finite = draws[np.isfinite(draws)]
    if len(finite) == 0:
        return Interval(value, float("nan"), float("nan"))
    low, high = np.quantile(finite, [tail, 1 - tail])
    return Interval(value, float(low), float(high))


def ratio_interval(sums: Floats, counts: Floats, draws: int = DRAWS, seed: int = 0) -> Interval:
    """A micro mean over channels and its interval, from sums and counts per channel, both (C,).

    The weights are drawn in blocks, so that memory grows with C and not with C times draws.
    """
    generator = np.random.default_rng(seed)
    share = np.full(len(sums), 1 / len(sums))
    blocks = [
        ratio_draws(
            sums, counts, generator.multinomial(len(sums), share, size=min(100, draws - first)).astype(np.float64)
        )
        for first in range(0, draws, 100)
    ]
    return interval(float(sums.sum() / counts.sum()), np.concatenate(blocks))


def auc_counts(difference: Floats, outcome: Floats, channel: Ints, n_channels: int) -> tuple[Floats, Floats]:
    """Wins and comparisons between channels, both (C, C), of the pooled symmetrised AUC.

    With them a draw's AUC is (w' wins w) / (w' comparisons w): no draw sorts pairs again.
    """
    decided = outcome != 0.5
    signed = np.where(outcome[decided] > 0.5, 1.0, -1.0) * difference[decided]
    owner = channel[decided]
    order = np.argsort(-signed, kind="stable")
    negatives, negative_owner = -signed[order], owner[order]  # ascending
    wins = np.zeros((n_channels, n_channels))
    for index in range(n_channels):
        positives = signed[owner == index]
        below = np.searchsorted(negatives, positives, side="left")
        upto = np.searchsorted(negatives, positives, side="right")
        # credit of the negative at rank r: every positive above it counts 1, every tie 1/2
        credit = np.zeros(len(negatives) + 1)
        np.add.at(credit, below, 0.5)
        np.add.at(credit, upto, 0.5)
        per_negative = np.cumsum(credit[::-1])[::-1][1:]
        wins[index] = np.bincount(negative_owner, weights=per_negative, minlength=n_channels)
    size = np.bincount(owner, minlength=n_channels).astype(np.float64)
    return wins, np.outer(size, size)


def auc_draws(wins: Floats, comparisons: Floats, weights: Floats) -> Floats:
    """Resampled pooled AUCs, (draws,)."""
    numerator = np.einsum("di,ij,dj->d", weights, wins, weights, optimize=True)
    return numerator / np.einsum("di,ij,dj->d", weights, comparisons, weights, optimize=True)
