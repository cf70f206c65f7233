"""Gradient boosting on image and title: what trees make of the same vectors, without a network."""

from typing import Any

import numpy as np
import numpy.typing as npt

from thumbrank_core.evaluation.learnt import Learnt
from thumbrank_core.training.targets import engagement_percentile

Floats = npt.NDArray[np.float64]
DIMENSIONS = 128
"""Principal components of both vectors that the trees see: all 1,152 take ten times as long for no more."""
ROUNDS, LEAVES, RATE = 150, 15, 0.06


def boosted(learnt: Learnt) -> Floats:
    """Item scores (n,): histogram gradient boosting of the engagement percentile within the channel, each channel counting
    once; it stops by the loss on validation channels."""
    from sklearn.ensemble import HistGradientBoostingRegressor

    items, validation = learnt.dataset.items, learnt.dataset.items_of("validation")
    _, vectors = np.linalg.eigh((learnt.x.T @ learnt.x).astype(np.float64))
    components = vectors[:, -DIMENSIONS:].astype(np.float32)
    regressor: Any = HistGradientBoostingRegressor  # its stubs know no early_stopping but "auto"
    model = regressor(
        max_iter=ROUNDS,
        max_leaf_nodes=LEAVES,
        learning_rate=RATE,
        early_stopping=True,
        n_iter_no_change=10,
        random_state=0,
    )
    model.fit(
        learnt.x @ components,
        engagement_percentile(items.value[learnt.rows], items.channel[learnt.rows]),
        sample_weight=_weights(items.channel[learnt.rows]),
        X_val=learnt.standardised(validation) @ components,
        y_val=engagement_percentile(items.value[validation], items.channel[validation]),
        sample_weight_val=_weights(items.channel[validation]),
    )
    return learnt.scored(lambda x: np.asarray(model.predict(x @ components), dtype=np.float64))


def _weights(channel: npt.NDArray[np.int64]) -> Floats:
    """(n,) one over the channel's number of items."""
    return 1.0 / np.bincount(channel)[channel]
