"""Scores against real click-through rates, each owner alone: YouTube's policy (III.E.2.a) forbids figures over several owners.

What is found stays in memory and in the owner's own read-out; no page, row or tag shows it.
"""

import numpy as np

from thumbrank_core.bootstrap import Interval
from thumbrank_core.evaluation.figures import Floats, OwnerFigures
from thumbrank_core.metrics import spearman_weighted
from thumbrank_core.model.bundle import Bundle
from thumbrank_core.training.dataset import Dataset
from thumbrank_core.training.read_outs import MIN_VIDEOS, load_read_out


def owner_figures(dataset: Dataset, bundle: Bundle, score: Floats) -> list[OwnerFigures]:
    """Of every owner with real rates of these items: rank correlation, impressions as weights, over the videos whose pairs
    training did not see; and what the owner's read-out is worth. `score` (n,) is the model's."""
    seen = np.zeros(len(dataset.items), np.bool_)
    for split in ("train", "validation"):
        pairs = dataset.of(split)
        seen[pairs.a] = seen[pairs.b] = True
    found: list[OwnerFigures] = []
    for owner_id, rates in sorted(dataset.owners.items()):
        unseen = ~seen[rates.item]
        item, n = rates.item[unseen], int(unseen.sum())
        spearman = (
            spearman_weighted(score[item], rates.click_rate[unseen], rates.impressions[unseen])
            if n >= MIN_VIDEOS
            else float("nan")
        )
        read_out = load_read_out(bundle.folder, bundle.card.fingerprint, owner_id)
        found.append(
            OwnerFigures(
                owner_id,
                n,
                spearman if np.isfinite(spearman) else None,
                read_out.log_loss if read_out else None,
                Interval(read_out.log_loss_of_mean - read_out.log_loss, read_out.gain_low, read_out.gain_high)
                if read_out
                else None,
            )
        )
    return found
