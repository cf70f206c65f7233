"""Pure functions on arrays, each with its definition in its name. Training and evaluation both use them; nothing here
reads a file, a table or a model.

Shapes: P pairs, C channels. A pair is (a, b) of one channel; `difference` is score(a) - score(b); `outcome` is 1 where a
won, 0 where b won, 0.5 for a tie.
"""

import numpy as np
import numpy.typing as npt

from thumbrank_core.array_types import Floats

Ints = npt.NDArray[np.integer]


def pair_concordance(difference: Floats, outcome: Floats) -> npt.NDArray[np.float64]:
    """Credit of every pair, (P,): 1 where the order is right, 0 where wrong, 0.5 where the scores or the labels tie."""
    predicted = np.sign(np.asarray(difference, dtype=np.float64))
    actual = np.sign(np.asarray(outcome, dtype=np.float64) - 0.5)
    return (1.0 + predicted * actual) / 2.0


def pair_accuracy_micro(difference: Floats, outcome: Floats) -> float:
    """Mean concordance over all pairs, ties 0.5."""
    return float(np.mean(pair_concordance(difference, outcome)))


def pair_auc_pooled(difference: Floats, outcome: Floats) -> float:
    """ROC-AUC of the score difference over the pooled pairs, both orders of every pair present (the guide's AUC).

    Symmetrised so that the orientation of pairs cannot matter; label ties are left out. It is not pair accuracy: the same
    model has the higher figure here (0.667 accuracy is about 0.73 pooled AUC for normal scores).
    """
    decided = np.asarray(outcome) != 0.5
    signed = np.where(np.asarray(outcome)[decided] > 0.5, 1.0, -1.0) * np.asarray(difference, dtype=np.float64)[decided]
    count = len(signed)
    if count == 0:
        return float("nan")
    both = ranks(np.concatenate([signed, -signed]))  # the winners' side first: (positive, negative)
    return float((both[:count].sum() - count * (count + 1) / 2) / (count * count))


def channel_sums(values: Floats, channel: Ints, n_channels: int) -> tuple[Floats, Floats]:
    """Sum of `values` and number of pairs per channel, both (C,): what a bootstrap over channels resamples."""
    index = np.asarray(channel)
    sums = np.bincount(index, weights=values, minlength=n_channels).astype(np.float64)
    return sums, np.bincount(index, minlength=n_channels).astype(np.float64)


def ranks(values: Floats) -> Floats:
    """Rank of each of n finite values, (n,), from 1; ties share their mean rank. As scipy.stats.rankdata, whose import costs every
    fresh process most of a second."""
    return ranks_within(values, np.zeros(len(values), dtype=np.int64), 1)


def ranks_within(values: Floats, channel: Ints, n_channels: int) -> Floats:
    """Rank of each item within its channel, (n,), from 1; ties share their mean rank."""
    owner = np.asarray(channel)
    order = np.lexsort((values, owner))
    sorted_owner, sorted_values = owner[order], np.asarray(values)[order]
    start = np.cumsum(np.bincount(owner, minlength=n_channels)) - np.bincount(owner, minlength=n_channels)
    position = np.arange(1, len(order) + 1) - start[sorted_owner]
    fresh = np.append(True, (np.diff(sorted_owner) != 0) | (np.diff(sorted_values) != 0))[: len(order)]
    tie = np.cumsum(fresh) - 1
    mean = np.bincount(tie, weights=position) / np.bincount(tie)
    found = np.empty(len(order))
    found[order] = mean[tie]
    return found


def spearman_by_channel(score: Floats, label: Floats, channel: Ints, n_channels: int) -> Floats:
    """Spearman rank correlation of each channel's items, (C,); NaN where either side is constant or there is no item."""
    owner = np.asarray(channel)
    count = np.maximum(np.bincount(owner, minlength=n_channels), 1)

    def centred(values: Floats) -> Floats:
        found = ranks_within(values, owner, n_channels)
        return found - (np.bincount(owner, weights=found, minlength=n_channels) / count)[owner]

    x, y = centred(score), centred(label)
    xy, xx, yy = (np.bincount(owner, weights=part, minlength=n_channels) for part in (x * y, x * x, y * y))
    size = np.sqrt(xx * yy)
    return np.divide(xy, size, out=np.full(n_channels, np.nan), where=size > 0)


def kendall_by_channel(score: Floats, label: Floats, channel: Ints, n_channels: int) -> Floats:
    """Kendall's tau-b of each channel's items, (C,); NaN where either side is constant or there is no item.

    Source: Kendall, "The Treatment of Ties in Ranking Problems", Biometrika 33 (1945).
    """
    found = np.full(n_channels, np.nan)
    order = np.argsort(channel, kind="stable")
    bounds = np.searchsorted(np.asarray(channel)[order], np.arange(n_channels + 1))
    for index in range(n_channels):
        inside = order[bounds[index] : bounds[index + 1]]
        x, y = (np.sign(np.subtract.outer(values[inside], values[inside])) for values in (score, label))
        size = float(np.sqrt(np.abs(x).sum() * np.abs(y).sum()))
        if size > 0:
            found[index] = float((x * y).sum()) / size
    return found


def top_of_three(score: Floats, label: Floats, threes: Ints) -> tuple[Floats, Floats]:
    """Of three items at a time, (t, 3): whether the highest score has the highest label, and the share of the best label that is
    given away, (t,) each. Tied scores share the pick.

    Args:
        score: (n,).
        label: (n,) 0 or above, on a scale of ratios; where all three are 0 nothing is given away.
        threes: (t, 3) items of one channel.
    """
    scores, labels = score[threes], label[threes]
    picked = (scores == scores.max(axis=1, keepdims=True)).astype(np.float64)
    picked /= picked.sum(axis=1, keepdims=True)
    best = labels.max(axis=1, keepdims=True)
    kept = np.divide(labels, best, out=np.ones_like(labels), where=best > 0)
    return (picked * (labels == best)).sum(axis=1), (picked * (1 - kept)).sum(axis=1)


def spearman_weighted(score: Floats, label: Floats, weight: Floats) -> float:
    """Correlation of the ranks of score and label, (n,) each, every item counting `weight` times; NaN where a side is constant."""
    x, y = ranks(score), ranks(label)
    x, y = x - np.average(x, weights=weight), y - np.average(y, weights=weight)
    size = float(np.sqrt(np.average(x * x, weights=weight) * np.average(y * y, weights=weight)))
    return float(np.average(x * y, weights=weight)) / size if size > 0 else float("nan")


def spearman_within(score: Floats, label: Floats) -> float:
    """Spearman rank correlation of one channel's items, (n,) each; NaN where either side is constant."""
    if len(score) < 2:
        return float("nan")
    ranked_score, ranked_label = ranks(score), ranks(label)
    if np.ptp(ranked_score) == 0 or np.ptp(ranked_label) == 0:
        return float("nan")
    return float(np.corrcoef(ranked_score, ranked_label)[0, 1])
