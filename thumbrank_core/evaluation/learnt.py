"""What the fitted reference models learn from and score: training pairs up to the time cut of at most MOST_ITEMS videos, and both
vectors standardised by those.

Scores come a block of items at a time, so that memory does not grow with the items.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from thumbrank_core.array_types import Floats, Ints
from thumbrank_core.training.dataset import Dataset, Pairs

MOST_ITEMS = 50_000
"""Videos that a fit is given: a linear model and trees on 128 dimensions gain nothing visible beyond, and take a minute more."""
BLOCK = 32_768
"""Items scored at a time."""

Matrix = npt.NDArray[np.float32]
Model = Callable[[Matrix], Floats]
"""What was fitted: scores (r,) of standardised rows (r, k)."""


def learnt_pairs(dataset: Dataset) -> Pairs:
    """The training pairs, or those of a seeded draw of channels with about MOST_ITEMS videos between them."""
    pairs = dataset.of("train")
    items = dataset.items_of("train")
    if len(items) <= MOST_ITEMS:
        return pairs
    size = np.bincount(dataset.items.channel[items], minlength=len(dataset.channels))
    order = np.random.default_rng(0).permutation(np.flatnonzero(size))
    chosen = order[np.cumsum(size[order]) <= MOST_ITEMS]
    return pairs.take(np.isin(pairs.channel, chosen))


@dataclass(frozen=True)
class Learnt:
    """The pairs that are learnt from, and the features that they are learnt by."""

    dataset: Dataset

    @cached_property
    def pairs(self) -> Pairs:
        """See `learnt_pairs`."""
        return learnt_pairs(self.dataset)

    @cached_property
    def rows(self) -> Ints:
        """The items of the pairs, ascending."""
        return np.unique(np.concatenate([self.pairs.a, self.pairs.b]))

    @cached_property
    def x(self) -> Matrix:
        """(rows, k) standardised."""
        return self.standardised(self.rows)

    def standardised(self, rows: Ints | slice) -> Matrix:
        """(r, k) image beside title vector, each dimension by mean and spread over the learnt rows."""
        return self._scaled(self._raw(rows))

    def elsewhere(self, image: Matrix, text: Matrix) -> Matrix:
        """(v, k) the same of vectors that are no item's: image (v, d) and title (v, e)."""
        return self._scaled(np.concatenate([image, text], axis=1).astype(np.float32, copy=False))

    def scored(self, score: Model) -> Floats:
        """Scores (n,) of all items by a function of standardised rows."""
        n = len(self.dataset.items)
        parts = [score(self.standardised(slice(start, start + BLOCK))) for start in range(0, n, BLOCK)]
        return np.concatenate(parts)

    def _scaled(self, x: Matrix) -> Matrix:
        mean, spread = self._scale
        x -= mean
        x /= spread
        return x

    def _raw(self, rows: Ints | slice) -> Matrix:
        items = self.dataset.items
        return np.concatenate([items.image[rows], items.text[rows]], axis=1).astype(np.float32, copy=False)

    @cached_property
    def _scale(self) -> tuple[Matrix, Matrix]:
        x = self._raw(self.rows)
        spread = np.maximum(x.std(axis=0, dtype=np.float64), 1e-6)
        return x.mean(axis=0, dtype=np.float64).astype(np.float32), spread.astype(np.float32)
