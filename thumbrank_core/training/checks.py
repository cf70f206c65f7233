"""What a data set must be before anything is learnt from it. Each refusal is one sentence, said before anything is written."""

import numpy as np

from thumbrank_core.features.quality import broken_rows
from thumbrank_core.labels.splits import HOLDOUT, Split
from thumbrank_core.training.dataset import SPLITS, Dataset, DatasetError, Pairs


def check_dataset(dataset: Dataset) -> None:
    """Refuse what cannot be trained on.

    Raises:
        DatasetError: an empty split, nothing but ties, a pair of an item that is not there, or a vector that is none.
    """
    n = len(dataset.items)
    _check_indices(dataset.pairs, n)
    for split in ("train", "validation"):
        _check_split(dataset, split)
    for name, vectors in (("image", dataset.items.image), ("title", dataset.items.text)):
        if len(vectors) != n:
            raise DatasetError(f"There are {len(vectors)} {name} vectors for {n} items: each has one.")
        broken = broken_rows(vectors)
        if len(broken):
            raise DatasetError(
                f"The {name} vector of {dataset.items.video_id[broken[0]]} is zero or not finite: a video without a vector is "
                "left out, never filled in; run the embeddings step again."
            )


def _check_indices(pairs: Pairs, n: int) -> None:
    for side in (pairs.a, pairs.b):
        outside = np.flatnonzero((side < 0) | (side >= n))
        if len(outside):
            raise DatasetError(
                f"Pair {outside[0]} names item {side[outside[0]]}, and there are vectors of {n}: run the embeddings step, or "
                "leave the pair out."
            )


def _check_split(dataset: Dataset, split: Split) -> None:
    pairs = dataset.of(split)
    if len(pairs) == 0 and np.any(dataset.pairs.split == SPLITS.index(split)):
        raise DatasetError(
            f"All {split} pairs have a video published after the time cut ({HOLDOUT.days} days before the newest counts, or half of "
            "what there is), which are kept for measuring: collect or import older videos too."
        )
    if len(pairs) == 0:
        channels = len(dataset.channels)
        whose = (
            "The only channel with pairs is not" if channels == 1 else f"None of the {channels} channels with pairs is"
        )
        raise DatasetError(
            f"{whose} a {split} channel (the split is a hash of their ids): collect or import more channels."
        )
    if np.all(pairs.outcome == 0.5):
        raise DatasetError(
            f"All {len(pairs):,} {split} pairs are ties, so nothing says which thumbnail is better: see whether the label "
            f"({dataset.label}) tells videos apart."
        )
