"""Gradient boosting on image and title: what trees make of the same vectors, without a network."""

from typing import Any

import numpy as np
import numpy.typing as npt

from thumbrank_core.evaluation.learnt import learnt_pairs
from thumbrank_core.training.dataset import Dataset
from thumbrank_core.training.targets import engagement_percentile

Floats = npt.NDArray[np.float64]
DIMENSIONS = 128
"""Principal components of both vectors that the trees see: all 1,152 take ten times as long for no more."""
ROUNDS, LEAVES, RATE = 150, 15, 0.06


def boosted(dataset: Dataset) -> Floats:
    """Item scores (n,): histogram gradient boosting of the engagement percentile within the channel, each channel counting
    once; it stops by the loss on validation channels."""
    from sklearn.ensemble import HistGradientBoostingRegressor

    items = dataset.items
    x = np.concatenate([items.image, items.text], axis=1).astype(np.float32)
    training, validation = (
        np.unique(np.concatenate([pairs.a, pairs.b])) for pairs in (learnt_pairs(dataset), dataset.of("validation"))
    )
    reduced = _principal(x, training)
    regressor: Any = HistGradientBoostingRegressor  # its stubs know no early_stopping but "auto"
    model = regressor(
        max_iter=ROUNDS,
        max_leaf_nodes=LEAVES,
        learning_rate=RATE,
        early_stopping=True,
        n_iter_no_change=10,
        random_state=0,
    )
    sets = [
        (reduced[rows], engagement_percentile(items.value[rows], items.channel[rows]), _weights(items.channel[rows]))
        for rows in (training, validation)
    ]
    (x_train, y_train, w_train), (x_val, y_val, w_val) = sets
    model.fit(x_train, y_train, sample_weight=w_train, X_val=x_val, y_val=y_val, sample_weight_val=w_val)
    return np.asarray(model.predict(reduced), dtype=np.float64)


def _principal(x: npt.NDArray[np.float32], rows: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
    """The first components of standardised columns, (n, at most DIMENSIONS), by the covariance of `rows`."""
    mean, spread = x[rows].mean(axis=0, dtype=np.float64), x[rows].std(axis=0, dtype=np.float64)
    x -= mean.astype(np.float32)
    x /= np.maximum(spread, 1e-6).astype(np.float32)
    covariance = (x[rows].T @ x[rows]).astype(np.float64)
    _, vectors = np.linalg.eigh(covariance)
    return x @ vectors[:, -DIMENSIONS:].astype(np.float32)


def _weights(channel: npt.NDArray[np.int64]) -> Floats:
    """(n,) one over the channel's number of items."""
    return 1.0 / np.bincount(channel)[channel]
