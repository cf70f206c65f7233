"""What each item and each pair should come out as: from labels to numbers that a loss can take."""

import numpy as np
import numpy.typing as npt

from thumbrank_core.metrics import ranks_within
from thumbrank_core.training.dataset import Dataset, DatasetError, Pairs
from thumbrank_core.training.recipe import Recipe


def pair_target(pairs: Pairs, recipe: Recipe) -> npt.NDArray[np.float32]:
    """(p,) P(a beats b): who won, or by how much where the recipe says so."""
    return (pairs.soft_target if recipe.soft_targets else pairs.outcome).astype(np.float32)


def engagement_percentile(value: npt.NDArray[np.float64], channel: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Rank of each item's label within its channel, (n,), in (0, 1). Not a click-through rate."""
    _, owner, count = np.unique(channel, return_inverse=True, return_counts=True)
    return (ranks_within(value, owner, len(count)) - 0.5) / count[owner]


def absolute_target(dataset: Dataset, recipe: Recipe) -> tuple[npt.NDArray[np.float32], str | None]:
    """What the absolute head learns of each item, (n,), NaN for nothing, and the owner whose real rates those are, if any.

    Real click-through rates are of one owner, never of several together (YouTube's policy III.E.2.a), and of training items.

    Raises:
        DatasetError: the recipe names an owner of whom no rate is stored.
    """
    if recipe.ctr_owner is not None and recipe.ctr_owner not in dataset.owners:
        raise DatasetError(
            f"ctr_owner is {recipe.ctr_owner}, and none of the videos in these pairs has a click-through rate of that owner: "
            "run `thumbrank reach sync`, or leave ctr_owner out."
        )
    owner = recipe.ctr_owner or (next(iter(dataset.owners)) if len(dataset.owners) == 1 else None)
    if not recipe.use_ctr or owner is None:
        return _percentiles_learnt(dataset), None
    target = np.full(len(dataset.items), np.nan, np.float32)
    target[dataset.owners[owner].item] = dataset.owners[owner].click_rate
    return target, owner


def _percentiles_learnt(dataset: Dataset) -> npt.NDArray[np.float32]:
    """The engagement percentile of every item in pairs that are learnt from, among those of its channel alone: what is later
    than the time cut moves nobody's rank. NaN for the others."""
    learnt = dataset.items_of("train")
    target = np.full(len(dataset.items), np.nan, np.float32)
    target[learnt] = engagement_percentile(dataset.items.value[learnt], dataset.items.channel[learnt])
    return target
