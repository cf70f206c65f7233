"""Whether P(a beats b) means what it says, and what is gained by abstaining.

A pair has two orders, so a probability is taken as the confidence in the called winner, at least one half, and held against
whether the call was right; ties of scores are calls of one half, ties of labels half right.
"""

import numpy as np
from scipy.special import expit

from thumbrank_core.array_types import Floats
from thumbrank_core.bootstrap import Interval, draw_weights, effective_channels, interval, ratio_draws
from thumbrank_core.evaluation.figures import Bin, Calibration, Covered
from thumbrank_core.metrics import channel_sums, pair_concordance
from thumbrank_core.training.dataset import Pairs

BINS = 15
SHARES = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1)


def calibrate(difference: Floats, pairs: Pairs, temperature: float) -> Calibration:
    """Brier score and expected calibration error at temperature 1 and at the bundle's.

    Args:
        difference: (p,) score of a less score of b.
        pairs: those pairs.
        temperature: fitted on other channels.
    """
    brier_before, ece_before, bins_before = _at(np.abs(difference), difference, pairs)
    brier, ece, bins = _at(np.abs(difference) / temperature, difference, pairs)
    return Calibration(temperature, brier_before, brier, ece_before, ece, bins_before, bins)


def cover(difference: Floats, pairs: Pairs) -> list[Covered]:
    """Micro accuracy on the share of pairs that the model is surest of, by share."""
    right = pair_concordance(difference, pairs.outcome)
    order = np.argsort(-np.abs(difference), kind="stable")
    found: list[Covered] = []
    for share in SHARES:
        chosen = order[: max(1, round(share * len(order)))]
        _, channel = np.unique(pairs.channel[chosen], return_inverse=True)
        n_channels = int(channel.max()) + 1
        sums, counts = channel_sums(right[chosen], channel, n_channels)
        drawn = ratio_draws(sums, counts, draw_weights(n_channels))
        value = interval(float(sums.sum() / counts.sum()), drawn, effective_channels(counts))
        found.append(Covered(share, value, len(chosen)))
    return found


def _at(logit: Floats, difference: Floats, pairs: Pairs) -> tuple[Interval, Interval, list[Bin]]:
    """Brier score, calibration error and bins of the confidences sigmoid(logit)."""
    confidence, right = expit(logit), pair_concordance(difference, pairs.outcome)
    _, channel = np.unique(pairs.channel, return_inverse=True)
    n_channels = int(channel.max()) + 1
    weights = draw_weights(n_channels)
    squares, counts = channel_sums((confidence - right) ** 2, channel, n_channels)
    effective = effective_channels(counts)
    brier = interval(float(squares.sum() / counts.sum()), ratio_draws(squares, counts, weights), effective)

    # Bins of equal size; what is drawn is how far each channel moves each bin.
    order = np.argsort(confidence, kind="stable")
    bin_of = np.empty(len(order), np.int64)
    bin_of[order] = np.arange(len(order)) * BINS // len(order)
    place = channel * BINS + bin_of

    def by_bin(values: Floats) -> Floats:
        return np.bincount(place, values, n_channels * BINS).reshape(n_channels, BINS).astype(np.float64)

    # A bin of a perfect model is off by chance, and the mean of such distances is well above 0 (0.04 at 1,000 pairs). So the
    # chance part, as the draws show it, is taken out of each squared gap; a draw has it twice (Kumar et al., "Verified
    # Uncertainty Calibration", NeurIPS 2019, with channels drawn instead of pairs).
    gap = by_bin(right - confidence)
    whole = counts.sum()
    drawn = weights @ gap / (weights @ counts)[:, None]
    mean = gap.sum(axis=0) / whole
    chance = drawn.var(axis=0)
    found = float(_distance(mean[None, :], chance)[0])
    error = interval(found, _distance(drawn, 2 * chance), effective)
    error = Interval(found, min(error.low, found), max(error.high, found))
    size = np.bincount(bin_of, minlength=BINS)
    bins = [
        Bin(float(sure / n), float(hit / n), int(n))
        for sure, hit, n in zip(
            np.bincount(bin_of, confidence, BINS), np.bincount(bin_of, right, BINS), size, strict=True
        )
        if n
    ]
    return brier, error, bins


def _distance(gaps: Floats, chance: Floats) -> Floats:
    """The summed size of gaps (d, bins) beyond their chance part (bins,): (d,)."""
    return np.sqrt(np.maximum(gaps**2 - chance, 0.0)).sum(axis=1)
