"""Whether vectors are what an encoder makes: of length one, finite, and not the same for different pictures."""

from collections import Counter
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

TOLERANCE = 2e-3
"""float16 keeps 11 bits: the length of a unit vector comes back within half a thousandth of one, whatever its width."""

_BLOCK = 8192


def unit_rows(vectors: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.bool_]:
    """(n,) which of n vectors (n, d) are finite and of length one."""
    with np.errstate(invalid="ignore", over="ignore"):
        lengths = np.linalg.norm(vectors.astype(np.float32), axis=1)
        return np.abs(lengths - 1) <= TOLERANCE


def broken_rows(vectors: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.int64]:
    """Indices of those of n rows (n, d), of any length, that are no vectors: all zeros, or not finite.

    Read block by block: `vectors` may be a memory map.
    """
    found: list[npt.NDArray[np.int64]] = []
    for start in range(0, len(vectors), _BLOCK):
        block = np.asarray(vectors[start : start + _BLOCK], dtype=np.float32)
        # One product instead of three masks; a row that is not finite has a sum that is not.
        length = np.einsum("nd,nd->n", block, block, dtype=np.float64)
        found.append(start + np.flatnonzero(~np.isfinite(length) | (length == 0)))
    return np.concatenate(found) if found else np.empty(0, dtype=np.int64)


class Norms(NamedTuple):
    """Lengths of vectors. `smallest` and `largest` are of the finite ones, NaN where there is none; `bad` counts vectors
    that are not finite or more than TOLERANCE away from one."""

    smallest: float
    largest: float
    bad: int


def norms(vectors: npt.NDArray[np.floating[Any]]) -> Norms:
    """The lengths of n vectors (n, d)."""
    lengths = np.empty(len(vectors))
    for start in range(0, len(vectors), _BLOCK):
        lengths[start : start + _BLOCK] = np.linalg.norm(vectors[start : start + _BLOCK].astype(np.float32), axis=1)
    finite = lengths[np.isfinite(lengths)]
    bad = len(lengths) - int((np.abs(finite - 1) <= TOLERANCE).sum())
    if not len(finite):
        return Norms(float("nan"), float("nan"), bad)
    return Norms(float(finite.min()), float(finite.max()), bad)


def duplicates(vectors: npt.NDArray[np.floating[Any]]) -> int:
    """How many of n rows (n, d) equal an earlier row, byte for byte: n minus the number of different rows.

    Rows are of distinct files, so that equal vectors are a broken encoder, or a few pictures in two files each.
    """
    seen = np.fromiter((hash(row.tobytes()) for row in vectors), dtype=np.int64, count=len(vectors))
    _, which, times = np.unique(seen, return_inverse=True, return_counts=True)
    # Only rows whose hashes meet are kept as bytes: of a healthy encoder that is none.
    alike = Counter(vectors[row].tobytes() for row in np.flatnonzero(times[which] > 1))
    return sum(count - 1 for count in alike.values())
