"""Ridge on feature differences: the linear models to beat.

They share one standardised matrix and one normal matrix: image and title are blocks of it.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

from thumbrank_core.evaluation.learnt import learnt_pairs
from thumbrank_core.evaluation.pair_matrix import difference_matrix
from thumbrank_core.metrics import pair_accuracy_micro
from thumbrank_core.training.dataset import Dataset, Pairs

Floats = npt.NDArray[np.float64]
RIDGE_STRENGTHS = (1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0)
"""Times the mean eigenvalue of the normal matrix."""


@dataclass(frozen=True)
class Linear:
    """Weighted ridge of the outcome (+1 a won, -1 b won, 0 a tie) on differences of features.

    The strength is chosen by pair accuracy on validation channels. Differences are never formed: with D the pair-by-item
    difference matrix, X'D'WDX is X'LX for a sparse item-by-item L, so memory grows with items, not with pairs.
    """

    dataset: Dataset

    def image(self) -> Floats:
        """Item scores (n,) from the image vector."""
        return self._best(slice(0, self.dataset.items.image.shape[1]))

    def title(self) -> Floats:
        """Item scores (n,) from the title vector."""
        return self._best(slice(self.dataset.items.image.shape[1], None))

    def both(self) -> Floats:
        """Item scores (n,) from both vectors: the linear model to beat."""
        return self._best(slice(None))

    @cached_property
    def _pairs(self) -> Pairs:
        return learnt_pairs(self.dataset)

    @cached_property
    def _x(self) -> npt.NDArray[np.float32]:
        """(n, k) standardised by the items that are learnt from."""
        items = self.dataset.items
        x = np.concatenate([items.image, items.text], axis=1).astype(np.float32)
        learnt = np.unique(np.concatenate([self._pairs.a, self._pairs.b]))
        mean, spread = x[learnt].mean(axis=0, dtype=np.float64), x[learnt].std(axis=0, dtype=np.float64)
        x -= mean.astype(np.float32)
        x /= np.maximum(spread, 1e-6).astype(np.float32)
        return x

    @cached_property
    def _weighted(self) -> csr_array:
        return (difference_matrix(self._pairs, len(self.dataset.items)).T.multiply(self._pairs.weight).tocsr()).astype(
            np.float32
        )

    @cached_property
    def _normal(self) -> Floats:
        difference = difference_matrix(self._pairs, len(self.dataset.items)).astype(np.float32)
        return (self._x.T @ ((self._weighted @ difference) @ self._x)).astype(np.float64)

    @cached_property
    def _target(self) -> Floats:
        return np.asarray(self._x.T @ (self._weighted @ (2 * self._pairs.outcome - 1)), dtype=np.float64)

    def _best(self, columns: slice) -> Floats:
        validation = self.dataset.of("validation")
        values, vectors = np.linalg.eigh(self._normal[columns, columns])
        projected = vectors.T @ self._target[columns]
        x = self._x[:, columns]
        best, best_accuracy = np.zeros(len(x)), -1.0
        for strength in RIDGE_STRENGTHS:
            weight = vectors @ (projected / (np.maximum(values, 0) + strength * max(float(values.mean()), 1e-12)))
            score = (x @ weight.astype(np.float32)).astype(np.float64)
            accuracy = pair_accuracy_micro(score[validation.a] - score[validation.b], validation.outcome)
            if accuracy > best_accuracy:
                best, best_accuracy = score, accuracy
        return best
