"""Pairs as a sparse matrix, for models that are fitted on differences of items."""

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array, csr_array


def difference_matrix(a: npt.NDArray[np.integer], b: npt.NDArray[np.integer], n_items: int) -> csr_array:
    """(P, n_items): +1 where an item is side `a` of a pair, -1 where it is side `b`, (P,) each."""
    rows = np.arange(len(a))
    ones = np.ones(len(a))
    return coo_array(
        (np.concatenate([ones, -ones]), (np.concatenate([rows, rows]), np.concatenate([a, b]))),
        shape=(len(a), n_items),
    ).tocsr()
