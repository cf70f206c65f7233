"""Scores against real click-through rates, each owner alone: YouTube's policy (III.E.2.a) forbids figures over several owners.

What is found stays in memory, for the gate; no page, row, tag or file shows it. What an owner may see is the owner's own read-out
(training/read_outs.py).
"""

import numpy as np

from thumbrank_core.array_types import Floats
from thumbrank_core.evaluation.figures import OwnerFigures
from thumbrank_core.metrics import spearman_weighted
from thumbrank_core.training.dataset import Dataset
from thumbrank_core.training.read_outs import MIN_VIDEOS


def owner_figures(dataset: Dataset, score: Floats) -> list[OwnerFigures]:
    """Of every owner with real rates of these items: rank correlation, impressions as weights, over the videos whose pairs
    training did not see. `score` (n,) is the model's."""
    seen = np.zeros(len(dataset.items), np.bool_)
    seen[dataset.items_of("train")] = True
    seen[dataset.items_of("validation")] = True
    found: list[OwnerFigures] = []
    for owner_id, rates in sorted(dataset.owners.items()):
        unseen = ~seen[rates.item]
        item, n = rates.item[unseen], int(unseen.sum())
        spearman = (
            spearman_weighted(score[item], rates.click_rate[unseen], rates.impressions[unseen])
            if n >= MIN_VIDEOS
            else float("nan")
        )
        found.append(OwnerFigures(owner_id, n, spearman if np.isfinite(spearman) else None))
    return found
