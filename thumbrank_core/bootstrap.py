"""Intervals by resampling channels. Pairs of one channel share its videos, so resampling pairs is 2-4 times too narrow.

Every scorer of a table is resampled with the same draws, so that a difference between two is a paired difference. Plain
percentiles are too narrow where few channels count, and where a few large ones hold most of the pairs; so tails are widened as
Student's t asks for that many channels of equal size (the expanded percentile interval: Hesterberg, "What Teachers Should Know
About the Bootstrap", The American Statistician 69, 2015, with Kish's effective sample size for the channels). How often each
covers the truth is measured in benchmarks/bench_evaluate.py. Below `FEW_CHANNELS` channels whoever prints them says so.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.special import ndtr, stdtrit  # scipy.stats says the same, and takes a second to import

from thumbrank_core.array_types import Floats, Ints

DRAWS = 2000
LEVEL = 0.95
FEW_CHANNELS = 50
BLOCK = 16 * 2**20
"""Bytes of weights at a time in `ratio_interval`, which may be of very many channels."""
AUC_BINS = 512
"""On each side of zero; the AUC of draws counts a tie within a bin, which moves it by less than a millionth."""


@dataclass(frozen=True)
class Interval:
    """A figure and its 95 % interval; NaN bounds where it cannot be drawn."""

    value: float
    low: float
    high: float


@lru_cache(maxsize=2)
def draw_weights(n_channels: int, draws: int = DRAWS, seed: int = 0) -> Floats:
    """How often each channel is drawn, (draws, n_channels), not to be written to: every row sums to n_channels.

    Kept, because everything that is measured on the same channels is drawn alike.
    """
    generator = np.random.default_rng(seed)
    weights = generator.multinomial(n_channels, np.full(n_channels, 1 / n_channels), size=draws).astype(np.float64)
    weights.setflags(write=False)
    return weights


def effective_channels(counts: Floats) -> float:
    """As many channels of equal size would tell as much (Kish), from how much each of them counts, (C,)."""
    total = float(counts.sum())
    return total * total / float(np.square(counts).sum()) if total > 0 else 0.0


def ratio_draws(sums: Floats, counts: Floats, weights: Floats) -> Floats:
    """Resampled micro means, (draws,) or (draws, k), from the sums and counts per channel, (C,) or (C, k); NaN where nothing
    was drawn that counts."""
    drawn = weights @ counts
    return np.divide(weights @ sums, drawn, out=np.full_like(drawn, np.nan), where=drawn > 0)


def mean_draws(values: Floats, weights: Floats) -> Floats:
    """Resampled macro means, (draws,), of one value a channel, (C,); NaN channels are left out."""
    known = np.isfinite(values)
    return ratio_draws(np.where(known, values, 0.0), known.astype(np.float64), weights)


def interval(value: float, draws: Floats, channels: float) -> Interval:
    """The expanded percentile interval around `value`.

    Args:
        value: the figure of all channels.
        draws: (draws,) the resampled figures; NaN ones are left out.
        channels: the effective number of channels behind it.
    """
    finite = draws[np.isfinite(draws)]
    if len(finite) == 0 or channels <= 1:
        return Interval(value, float("nan"), float("nan"))
    tail = expanded_tail(channels)
    low, high = np.quantile(finite, [tail, 1 - tail])
    return Interval(value, float(low), float(high))


def expanded_tail(channels: float) -> float:
    """The share of draws that is cut off on each side, below (1 - LEVEL) / 2."""
    quantile = float(stdtrit(channels - 1, (1 - LEVEL) / 2))
    return float(ndtr(quantile * np.sqrt(channels / (channels - 1))))


def ratio_interval(sums: Floats, counts: Floats, draws: int = DRAWS, seed: int = 0) -> Interval:
    """A micro mean over channels and its interval, from sums and counts per channel, both (C,)."""
    generator = np.random.default_rng(seed)
    n = len(sums)
    share = np.full(n, 1 / n)
    size = max(1, BLOCK // (8 * n))
    blocks = [
        ratio_draws(sums, counts, generator.multinomial(n, share, size=min(size, draws - first)).astype(np.float64))
        for first in range(0, draws, size)
    ]
    return interval(float(sums.sum() / counts.sum()), np.concatenate(blocks), effective_channels(counts))


def auc_histogram(difference: Floats, outcome: Floats, channel: Ints, n_channels: int) -> Floats:
    """Score differences, winner less loser, in bins symmetric around zero, by channel: (C, 2 * AUC_BINS + 1).

    With it the pooled symmetrised AUC of a draw is one product: no draw sorts pairs again. Label ties are left out; score ties
    have the middle bin.
    """
    decided = outcome != 0.5
    signed = np.where(outcome[decided] > 0.5, 1.0, -1.0) * difference[decided]
    size = np.abs(signed)
    apart = size[size > 0]
    edges = np.quantile(apart, np.linspace(0, 1, AUC_BINS + 1)[1:-1]) if len(apart) else np.empty(0)
    step = np.where(size > 0, 1 + np.searchsorted(edges, size, side="left"), 0)
    bins = AUC_BINS + np.sign(signed).astype(np.int64) * step
    width = 2 * AUC_BINS + 1
    flat = np.bincount(channel[decided] * width + bins, minlength=n_channels * width)
    return flat.reshape(n_channels, width).astype(np.float64)


def auc_draws(histogram: Floats, weights: Floats) -> Floats:
    """Resampled pooled AUCs, (draws,); NaN where a draw has no decided pair."""
    drawn = weights @ histogram
    mirrored = drawn[:, ::-1]  # both orders of each pair are there
    below = np.cumsum(mirrored, axis=1) - mirrored / 2
    total = drawn.sum(axis=1)
    return np.divide((drawn * below).sum(axis=1), total * total, out=np.full(len(total), np.nan), where=total > 0)
