"""Gradient boosting on image and title: what trees make of the same vectors, without a network."""

from typing import Any

import numpy as np
import numpy.typing as npt

from thumbrank_core.array_types import Floats
from thumbrank_core.evaluation.learnt import Learnt, Model
from thumbrank_core.training.targets import engagement_percentile

DIMENSIONS = 128
"""Principal components of both vectors that the trees see: all 1,152 take ten times as long for no more."""
ROUNDS, LEAVES, RATE = 150, 15, 0.06
BINS = 255
FEW_ROWS = 20_000
"""Fewer are fitted by one thread: several wait for one another in every split, which on busy cores took two to ten times as long."""


def boosted(learnt: Learnt) -> Model:
    """Histogram gradient boosting of the engagement percentile within the channel, each channel counting once; it stops by the
    loss on validation channels."""
    from sklearn.ensemble import HistGradientBoostingRegressor
    from threadpoolctl import threadpool_limits

    items, validation = learnt.dataset.items, learnt.dataset.items_of("validation")
    _, vectors = np.linalg.eigh((learnt.x.T @ learnt.x).astype(np.float64))
    components = vectors[:, -DIMENSIONS:].astype(np.float32)
    x, weights = learnt.x @ components, _weights(items.channel[learnt.rows])
    shares = np.linspace(0, 1, BINS + 1)[1:-1]
    edges = np.quantile(x, shares, axis=0, weights=weights, method="inverted_cdf")

    def binned(projected: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
        """As the regressor would, which takes one percentile of one column at a time: nine tenths of its time."""
        return np.stack([np.searchsorted(*each) for each in zip(edges.T, projected.T, strict=True)], axis=1)

    regressor: Any = HistGradientBoostingRegressor  # its stubs know no early_stopping but "auto"
    model = regressor(
        max_iter=ROUNDS,
        max_leaf_nodes=LEAVES,
        learning_rate=RATE,
        early_stopping=True,
        n_iter_no_change=10,
        random_state=0,
    )
    with threadpool_limits(1 if len(x) < FEW_ROWS else None, "openmp"):
        model.fit(
            binned(x),
            engagement_percentile(items.value[learnt.rows], items.channel[learnt.rows]),
            sample_weight=weights,
            X_val=binned(learnt.standardised(validation) @ components),
            y_val=engagement_percentile(items.value[validation], items.channel[validation]),
            sample_weight_val=_weights(items.channel[validation]),
        )
    return lambda seen: np.asarray(model.predict(binned(seen @ components)), dtype=np.float64)


def _weights(channel: npt.NDArray[np.int64]) -> Floats:
    """(n,) one over the channel's number of items."""
    return 1.0 / np.bincount(channel)[channel]
