"""The six sub-score heads on their own weak signals, fitted on the shipped features.

The features are done when this begins, so the heads explain the ranker and cannot bend it; and they learn the features that
are shipped, not those that training went through on the way.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from scipy.special import ndtr

from thumbrank_core.features.signals.definitions import SIGNALS
from thumbrank_core.metrics import spearman_within
from thumbrank_core.model.losses import squared_error
from thumbrank_core.model.network import ThumbnailRankingModel
from thumbrank_core.progress import track
from thumbrank_core.training.recipe import Recipe
from thumbrank_core.training.sources import Source, chunks
from thumbrank_core.training.tower_groups import decayed_groups

BATCH = 512
LEARNING_RATE = 1e-3


@dataclass(frozen=True)
class SubScoreFit:
    """How well each head follows its own weak signal on validation items: Spearman and n by name, None without any."""

    agreement: dict[str, float | None]
    n: dict[str, int]


def fit_sub_scores(
    model: ThumbnailRankingModel,
    source: Source,
    signals: npt.NDArray[np.float32],
    training: npt.NDArray[np.int64],
    validation: npt.NDArray[np.int64],
    recipe: Recipe,
) -> SubScoreFit:
    """Fit the heads of `model` in place; nothing else of it changes.

    Args:
        model: with the weights that are shipped.
        source: the items' features.
        signals: (n, 6) in RankGauss units, NaN where missing; the heads learn their normal quantile, in (0, 1).
        training: rows of the items to learn from.
        validation: rows of the items that the agreement is of.
        recipe: seed, sub_score_epochs, weight decay.
    """
    device = model.mean.device
    heads = model.sub_scores
    target = torch.from_numpy(ndtr(signals).astype(np.float32)).to(device)
    known = training[np.isfinite(signals[training]).any(axis=1)]
    for parameter in heads.parameters():
        parameter.requires_grad_(True)
    if len(known):
        features = _features(model, source, known)
        own = target[torch.from_numpy(known).to(device)]
        optimiser = torch.optim.AdamW(
            decayed_groups(heads.parameters(), LEARNING_RATE, recipe.weight_decay), fused=True
        )
        order = torch.Generator().manual_seed(recipe.seed)
        heads.train()
        with track("sub-scores, epochs", recipe.sub_score_epochs) as advance:
            for _ in range(recipe.sub_score_epochs):
                for rows in torch.randperm(len(known), generator=order).to(device).split(BATCH):
                    optimiser.zero_grad(set_to_none=True)
                    squared_error(heads(features[rows]), own[rows]).backward()
                    optimiser.step()
                advance(1)
    heads.eval()
    with torch.inference_mode():
        logits = heads(_features(model, source, validation)).cpu().numpy()
    agreement, n = dict[str, float | None](), dict[str, int]()
    for column, name in enumerate(SIGNALS):
        there = np.isfinite(signals[validation, column])
        n[name] = int(there.sum())
        varies = n[name] >= 3 and np.ptp(signals[validation, column][there]) > 0 and len(known) > 0
        agreement[name] = spearman_within(logits[there, column], signals[validation, column][there]) if varies else None
    return SubScoreFit(agreement, n)


@torch.no_grad()
def _features(model: ThumbnailRankingModel, source: Source, rows: npt.NDArray[np.int64]) -> torch.Tensor:
    model.eval()
    parts = [model.features(batch) for batch in chunks(source, rows)]
    return torch.cat(parts) if parts else torch.empty(0, model.shape.hidden_dim)
