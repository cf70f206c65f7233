"""Pure functions on arrays, each with its definition in its name. Training and evaluation both use them; nothing here
reads a file, a table or a model.

Shapes: P pairs, C channels. A pair is (a, b) of one channel; `difference` is score(a) - score(b); `outcome` is 1 where a
won, 0 where b won, 0.5 for a tie.
"""

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

Floats = npt.NDArray[np.float64]
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
    ranks = rankdata(np.concatenate([signed, -signed]))  # the winners' side first: (positive, negative)
    return float((ranks[:count].sum() - count * (count + 1) / 2) / (count * count))


def channel_sums(values: Floats, channel: Ints, n_channels: int) -> tuple[Floats, Floats]:
    """Sum of `values` and number of pairs per channel, both (C,): what a bootstrap over channels resamples."""
    index = np.asarray(channel)
    sums = np.bincount(index, weights=values, minlength=n_channels).astype(np.float64)
    return sums, np.bincount(index, minlength=n_channels).astype(np.float64)


def spearman_within(score: Floats, label: Floats) -> float:
    """Spearman rank correlation of one channel's items, (n,) each; NaN where either side is constant."""
    if len(score) < 2:
        return float("nan")
    ranked_score, ranked_label = rankdata(score), rankdata(label)
    if np.ptp(ranked_score) == 0 or np.ptp(ranked_label) == 0:
        return float("nan")
    return float(np.corrcoef(ranked_score, ranked_label)[0, 1])
