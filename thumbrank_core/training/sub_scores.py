"""The six sub-score heads on their own weak signals, fitted on the shipped features.

The features are done when this begins, so the heads explain the ranker and cannot bend it; and they learn the features that
are shipped, not those that training went through on the way.

Features of few items are computed once and kept; of more items a block at a time, anew in every epoch. Batches are the same
either way, so that memory does not grow with the items and what is learnt does not depend on which of the two it was.
"""

from collections.abc import Iterator
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
MOST_KEPT = 512 * 2**20
"""Bytes of features that are kept: those of 262,144 items at the recipes' width of 512."""
BLOCK = 32 * BATCH
"""Items whose features are there at once where they are not kept: 32 MiB at that width."""


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
        model: with the weights that are shipped; it is left in evaluation mode.
        source: the items' features.
        signals: (n, 6) in RankGauss units, NaN where missing; the heads learn their normal quantile, in (0, 1).
        training: rows of the items to learn from.
        validation: rows of the items that the agreement is of.
        recipe: seed, sub_score_epochs, weight decay.
    """
    device = model.mean.device
    heads = model.sub_scores
    known = training[np.isfinite(signals[training]).any(axis=1)]
    for parameter in heads.parameters():
        parameter.requires_grad_(True)
    model.eval()
    if len(known):
        own = torch.from_numpy(ndtr(signals[known]).astype(np.float32)).to(device)
        kept = _features(model, source, known) if _size(model, len(known)) <= MOST_KEPT else None
        optimiser = torch.optim.AdamW(
            decayed_groups(heads.parameters(), LEARNING_RATE, recipe.weight_decay), fused=True
        )
        order = torch.Generator().manual_seed(recipe.seed)
        heads.train()
        with track("sub-scores, epochs", recipe.sub_score_epochs) as advance:
            for _ in range(recipe.sub_score_epochs):
                shuffled = torch.randperm(len(known), generator=order)
                for rows, features in _batches(model, source, known, shuffled, kept):
                    optimiser.zero_grad(set_to_none=True)
                    squared_error(heads(features), own[rows]).backward()
                    optimiser.step()
                advance(1)
    heads.eval()
    logits = _logits(model, source, validation)
    agreement, n = dict[str, float | None](), dict[str, int]()
    for column, name in enumerate(SIGNALS):
        there = np.isfinite(signals[validation, column])
        n[name] = int(there.sum())
        varies = n[name] >= 3 and np.ptp(signals[validation, column][there]) > 0 and len(known) > 0
        agreement[name] = spearman_within(logits[there, column], signals[validation, column][there]) if varies else None
    return SubScoreFit(agreement, n)


def _batches(
    model: ThumbnailRankingModel,
    source: Source,
    known: npt.NDArray[np.int64],
    shuffled: torch.Tensor,
    kept: torch.Tensor | None,
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """An epoch: positions (b,) in `known` and their features (b, hidden), a batch after the other in the order `shuffled`."""
    if kept is not None:
        for rows in shuffled.to(kept.device).split(BATCH):
            yield rows, kept[rows]
        return
    for block in shuffled.split(BLOCK):
        forwards, place = block.sort()  # a file is read from its front to its back
        features = _features(model, source, known[forwards.numpy()])
        back = place.argsort().to(features.device)
        for rows, found in zip(block.to(features.device).split(BATCH), back.split(BATCH), strict=True):
            yield rows, features[found]


def _size(model: ThumbnailRankingModel, items: int) -> int:
    """Bytes of the features of so many items."""
    return items * model.shape.hidden_dim * model.mean.element_size()


@torch.no_grad()
def _features(model: ThumbnailRankingModel, source: Source, rows: npt.NDArray[np.int64]) -> torch.Tensor:
    """The features (k, hidden) of the items `rows` (k,)."""
    found = torch.empty(len(rows), model.shape.hidden_dim, device=model.mean.device)
    start = 0
    for batch in chunks(source, rows):
        features = model.features(batch)
        found[start : start + len(features)] = features
        start += len(features)
    return found


@torch.inference_mode()
def _logits(model: ThumbnailRankingModel, source: Source, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
    """What the heads say of the items `rows` (k,), (k, 6)."""
    parts = [
        model.sub_scores(some)
        .cpu()
        .numpy()  # the heads are three times as wide as the features, so a few rows at a time
        for batch in chunks(source, rows)
        for some in model.features(batch).split(BATCH)
    ]
    return np.concatenate(parts) if parts else np.empty((0, len(SIGNALS)), np.float32)
