"""Pairs as a sparse matrix, for models that are fitted on differences of items."""

import numpy as np
from scipy.sparse import coo_array, csr_array

from thumbrank_core.training.dataset import Pairs


def difference_matrix(pairs: Pairs, n_items: int) -> csr_array:
    """(P, n_items): +1 where an item is side a of a pair, -1 where it is side b."""
    rows = np.arange(len(pairs))
    ones = np.ones(len(pairs))
    return coo_array(
        (np.concatenate([ones, -ones]), (np.concatenate([rows, rows]), np.concatenate([pairs.a, pairs.b]))),
        shape=(len(pairs), n_items),
    ).tocsr()
