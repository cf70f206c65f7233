"""The six sub-score heads on unseen channels: do they follow their own weak signals, and are they six or one?"""

import numpy as np

from thumbrank_core.evaluation.figures import SubScores
from thumbrank_core.features.signals.definitions import SIGNALS
from thumbrank_core.metrics import spearman_within
from thumbrank_core.model.bundle import Bundle
from thumbrank_core.training.dataset import Dataset, Pairs

FEWEST = 3


def sub_score_figures(dataset: Dataset, bundle: Bundle, pairs: Pairs) -> SubScores | None:
    """Agreement and correlation over the items of `pairs`; None where no signal was measured."""
    if dataset.signals is None:
        return None
    items = np.unique(np.concatenate([pairs.a, pairs.b]))
    heads = bundle.sub_scores(dataset.items.image[items], dataset.items.text[items])
    signals = dataset.signals[items]
    agreement, n = dict[str, float | None](), dict[str, int]()
    for column, name in enumerate(SIGNALS):
        there = np.isfinite(signals[:, column])
        n[name] = int(there.sum())
        found = spearman_within(heads[there, column], signals[there, column]) if n[name] >= FEWEST else float("nan")
        agreement[name] = found if np.isfinite(found) else None
    correlation = np.array([[spearman_within(heads[:, i], heads[:, j]) for j in range(6)] for i in range(6)])
    return SubScores(agreement, n, correlation)
