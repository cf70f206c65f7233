"""Ridge on feature differences: the linear models to beat.

They share one standardised matrix and one normal matrix: image and title are blocks of it.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from thumbrank_core.array_types import Floats
from thumbrank_core.evaluation.learnt import Learnt, Matrix
from thumbrank_core.evaluation.pair_matrix import difference_matrix
from thumbrank_core.metrics import pair_accuracy_micro

RIDGE_STRENGTHS = (1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0)
"""Times the mean eigenvalue of the normal matrix."""


@dataclass(frozen=True)
class Linear:
    """Weighted ridge of the outcome (+1 a won, -1 b won, 0 a tie) on differences of features.

    The strength is chosen by pair accuracy on validation channels. Differences are never formed: with D the pair-by-item
    difference matrix, X'D'WDX is X'LX for a sparse item-by-item L, so memory grows with items, not with pairs.
    """

    learnt: Learnt

    def image(self) -> Floats:
        """Item scores (n,) from the image vector."""
        return self.learnt.scored(self.by_image)

    def title(self) -> Floats:
        """Item scores (n,) from the title vector."""
        return self.learnt.scored(self.by_title)

    def both(self) -> Floats:
        """Item scores (n,) from both vectors: the linear model to beat."""
        return self.learnt.scored(self.by_both)

    def by_image(self, x: Matrix) -> Floats:
        """Scores (r,) of standardised rows (r, k) from their image vectors."""
        return (x[:, : self._width] @ self._image).astype(np.float64)

    def by_title(self, x: Matrix) -> Floats:
        """The same from their title vectors."""
        return (x[:, self._width :] @ self._title).astype(np.float64)

    def by_both(self, x: Matrix) -> Floats:
        """The same from both."""
        return (x @ self._both).astype(np.float64)

    @property
    def _width(self) -> int:
        return self.learnt.dataset.items.image.shape[1]

    @cached_property
    def _image(self) -> Matrix:
        return self._best(slice(0, self._width))

    @cached_property
    def _title(self) -> Matrix:
        return self._best(slice(self._width, None))

    @cached_property
    def _both(self) -> Matrix:
        return self._best(slice(None))

    @cached_property
    def _equations(self) -> tuple[Floats, Floats]:
        """X'LX (k, k) and X'D'W times the outcome (k,)."""
        pairs, rows, x = self.learnt.pairs, self.learnt.rows, self.learnt.x
        difference = difference_matrix(np.searchsorted(rows, pairs.a), np.searchsorted(rows, pairs.b), len(rows))
        weighted = difference.T.multiply(pairs.weight).tocsr().astype(np.float32)
        normal = x.T @ ((weighted @ difference.astype(np.float32)) @ x)
        target = x.T @ (weighted @ (2 * pairs.outcome - 1))
        return normal.astype(np.float64), np.asarray(target, dtype=np.float64)

    @cached_property
    def _validation(self) -> npt.NDArray[np.float32]:
        return self.learnt.standardised(self.learnt.dataset.items_of("validation"))

    def _best(self, columns: slice) -> Matrix:
        """The weights of these columns, of the strength that orders validation pairs best."""
        normal, target = self._equations
        pairs, rows = self.learnt.dataset.of("validation"), self.learnt.dataset.items_of("validation")
        a, b = np.searchsorted(rows, pairs.a), np.searchsorted(rows, pairs.b)
        values, vectors = np.linalg.eigh(normal[columns, columns])
        projected = vectors.T @ target[columns]
        best, best_accuracy = np.zeros(len(values), np.float32), -1.0
        for strength in RIDGE_STRENGTHS:
            weight = vectors @ (projected / (np.maximum(values, 0) + strength * max(float(values.mean()), 1e-12)))
            score = self._validation[:, columns] @ weight.astype(np.float32)
            accuracy = pair_accuracy_micro((score[a] - score[b]).astype(np.float64), pairs.outcome)
            if accuracy > best_accuracy:
                best, best_accuracy = weight.astype(np.float32), accuracy
        return best
