"""Whether a niche's vectors are distributed as they were at its last run, from sketches of a few kilobytes.

A sketch has the mean of the unit vectors, and the quantiles of their projections on 32 fixed directions. It can tell that
pictures as a whole look different to the encoder, or that the encoder changed under its id. It cannot tell whether that
matters to the ranking, nor see a change that leaves all of these projections alike.

The test treats pictures as drawn independently of one another and of those of the last run. Neither holds. Runs share most
of their pictures, which makes the p-value too large: the test is conservative, and slow to notice. Pictures of a channel
are alike, which makes it too small where few channels bring many new pictures. So `ks` comes first: the largest share of
pictures that lies on the other side of some threshold than before.
"""

import hashlib
from dataclasses import dataclass
from functools import cache
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import psycopg
from scipy.special import kolmogorov

Floats = npt.NDArray[np.float32]

DIRECTIONS = 32
QUANTILES = 101
LEAST_PICTURES = 50
"""A sketch of fewer would say something of each; none is kept."""
MOST_KS = 0.10
LEAST_P = 0.001
"""Pictures drifted where both are passed: differently enough to matter, and not by chance."""

_SHARES = np.linspace(0, 1, QUANTILES)
_BLOCK = 8192
_LITTLE = np.dtype("<f4")


@dataclass(frozen=True)
class Sketch:
    """n vectors of dimension d: their `mean` (d,), and the `quantiles` (DIRECTIONS, QUANTILES) of their projections."""

    n: int
    mean: Floats
    quantiles: Floats

    def to_bytes(self) -> tuple[bytes, bytes]:
        """Mean and quantiles as little-endian float32."""
        return self.mean.astype(_LITTLE).tobytes(), self.quantiles.astype(_LITTLE).tobytes()

    @classmethod
    def from_bytes(cls, n: int, mean: bytes, quantiles: bytes) -> Self:
        """What `to_bytes` made."""
        rows = np.frombuffer(quantiles, dtype=_LITTLE).reshape(DIRECTIONS, QUANTILES)
        return cls(n, np.frombuffer(mean, dtype=_LITTLE), rows)


@dataclass(frozen=True)
class Drift:
    """How two samples differ.

    `mean_shift`: Euclidean distance of the means of the unit vectors, 0 to 2. `ks`: the largest two-sample
    Kolmogorov-Smirnov statistic over the directions, 0 to 1, within 0.01 as quantiles are a hundredth apart. `p_value`: of
    `ks` under no drift, asymptotic, times the number of directions (Bonferroni). NaN where a sample is empty.
    """

    n_old: int
    n_new: int
    mean_shift: float
    ks: float
    p_value: float

    @property
    def drifted(self) -> bool:
        """Whether it is over the thresholds; an empty sample has not drifted."""
        return self.ks >= MOST_KS and self.p_value <= LEAST_P


def sketch(vectors: npt.NDArray[np.floating[Any]]) -> Sketch:
    """The sketch of n vectors (n, d), in blocks. Rows that are no vectors (zero, not finite) are left out of `n`."""
    total = np.zeros(vectors.shape[1])
    projections = np.empty((len(vectors), DIRECTIONS), dtype=np.float32)
    n = 0
    for start in range(0, len(vectors), _BLOCK):
        units = _units(vectors[start : start + _BLOCK])
        total += units.sum(axis=0, dtype=np.float64)
        projections[n : n + len(units)] = units @ _directions(vectors.shape[1])
        n += len(units)
    if n == 0:
        nothing = np.full((DIRECTIONS, QUANTILES), np.nan, dtype=np.float32)
        return Sketch(0, np.full(vectors.shape[1], np.nan, dtype=np.float32), nothing)
    quantiles = np.quantile(projections[:n], _SHARES, axis=0, overwrite_input=True)
    return Sketch(n, (total / n).astype(np.float32), np.ascontiguousarray(quantiles.T, dtype=np.float32))


def compare(old: Sketch, new: Sketch) -> Drift:
    """How the new sample differs from the old one, of the same encoder."""
    if min(old.n, new.n) == 0:
        return Drift(old.n, new.n, float("nan"), float("nan"), float("nan"))
    ks = max(_ks(a, b) for a, b in zip(old.quantiles, new.quantiles, strict=True))
    size = old.n * new.n / (old.n + new.n)
    p_value = min(1.0, DIRECTIONS * float(kolmogorov(np.sqrt(size) * ks)))
    return Drift(old.n, new.n, float(np.linalg.norm(new.mean - old.mean)), ks, p_value)


def save_sketch(connection: psycopg.Connection, niche: str, encoder_key: int, made: Sketch) -> bool:
    """Make it the niche's last sketch of this encoder; of fewer than LEAST_PICTURES none is kept, and an earlier one stays."""
    if made.n < LEAST_PICTURES:
        return False
    connection.execute(
        "insert into thumbrank.embedding_runs (niche, encoder_key, ran_at, pictures, mean, quantiles) "
        "values (%s, %s, now(), %s, %s, %s) on conflict (niche, encoder_key) do update set "
        "ran_at = excluded.ran_at, pictures = excluded.pictures, mean = excluded.mean, quantiles = excluded.quantiles",
        (niche, encoder_key, made.n, *made.to_bytes()),
    )
    return True


def last_sketch(connection: psycopg.Connection, niche: str, encoder_key: int) -> Sketch | None:
    """The sketch of the niche's last run with this encoder; None before the first."""
    row = connection.execute(
        "select pictures, mean, quantiles from thumbrank.embedding_runs where niche = %s and encoder_key = %s",
        (niche, encoder_key),
    ).fetchone()
    return None if row is None else Sketch.from_bytes(int(row[0]), bytes(row[1]), bytes(row[2]))


def record_reading(connection: psycopg.Connection, niche: str, encoder_key: int, drift: Drift) -> None:
    """Keep what a comparison found, of samples that are not empty: what the digest tells, and what may ask for a training."""
    connection.execute(
        "insert into thumbrank.drift_readings (niche, encoder_key, read_at, pictures_then, pictures_now, mean_shift, ks, "
        "p_value, drifted) values (%s, %s, clock_timestamp(), %s, %s, %s, %s, %s, %s)",
        (
            niche,
            encoder_key,
            drift.n_old,
            drift.n_new,
            # As wide as the columns: Postgres refuses a p-value of 1e-47 for a `real`, which is 0 there.
            *(float(np.float32(figure)) for figure in (drift.mean_shift, drift.ks, drift.p_value)),
            drift.drifted,
        ),
    )


@cache
def _directions(dimension: int) -> Floats:
    """Unit vectors (dimension, DIRECTIONS) of random signs. From a hash: sketches outlive versions of a random generator."""
    bits = hashlib.shake_256(b"thumbrank drift directions").digest(dimension * DIRECTIONS // 8)
    signs = np.unpackbits(np.frombuffer(bits, dtype=np.uint8)).reshape(dimension, DIRECTIONS).astype(np.float32)
    return (2 * signs - 1) / np.sqrt(np.float32(dimension))


def _units(vectors: npt.NDArray[np.floating[Any]]) -> Floats:
    block = vectors.astype(np.float32)
    lengths = np.linalg.norm(block, axis=1)
    usable = np.isfinite(lengths) & (lengths > 0)
    return block[usable] / lengths[usable, None]


def _ks(old: Floats, new: Floats) -> float:
    """The largest distance of two distribution functions, each through its quantiles."""
    points = np.concatenate([old, new])
    return float(np.abs(np.interp(points, old, _SHARES) - np.interp(points, new, _SHARES)).max())
