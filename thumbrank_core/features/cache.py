"""The embedding cache in Postgres: content-addressed, so that nothing is computed twice in its life.

A vector is keyed by the sha256 of what was encoded (the picture's bytes, the normalised title) and the encoder's id. It is
stored as little-endian float16; 200,000 of them go in and out by binary COPY, without a Python object each.
"""

import hashlib
import itertools
import unicodedata
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import numpy.typing as npt
import psycopg
from psycopg import sql

from thumbrank_core.features.specs import ImageSpec, Spec
from thumbrank_core.store.arrays import Rows, read_rows, write_rows
from thumbrank_core.store.digest_lists import column_of, listed, without_row
from thumbrank_core.store.errors import CopyError, StoreError

Halves = npt.NDArray[np.float16]

WRITE_ROWS = 4096
"""Rows turned into bytes at a time, so that memory stays flat."""

_batch_numbers = itertools.count()


class VectorError(StoreError):
    """Vectors that cannot be stored as they are, or stored ones that are not what their encoder makes."""


def normalise_title(title: str) -> str:
    """NFC, with runs of white space as one space: titles that read alike share a vector."""
    return " ".join(unicodedata.normalize("NFC", title).split())


def title_sha256(title: str) -> bytes:
    """The key of a title."""
    return hashlib.sha256(normalise_title(title).encode("utf-8")).digest()


def encoder_key(connection: psycopg.Connection, spec: Spec) -> int:
    """The small integer behind an encoder's id; made when it is new."""
    known = known_encoder_key(connection, spec)
    if known is not None:  # an insert that conflicts would still use up one of 32,767 keys
        return known
    modality = "image" if isinstance(spec, ImageSpec) else "title"
    connection.execute(
        "insert into thumbrank.encoders (encoder_id, modality, dimension) values (%s, %s, %s) on conflict do nothing",
        (spec.encoder_id, modality, spec.dimension),
    )
    made = known_encoder_key(connection, spec)
    assert made is not None, "it was inserted above, or by another at the same moment"
    return made


def known_encoder_key(connection: psycopg.Connection, spec: Spec) -> int | None:
    """The small integer behind an encoder's id; None where it has never written a vector."""
    row = connection.execute(
        "select encoder_key from thumbrank.encoders where encoder_id = %s", (spec.encoder_id,)
    ).fetchone()
    return None if row is None else int(row[0])


def missing(connection: psycopg.Connection, key: int, wanted: Iterable[bytes]) -> set[bytes]:
    """Which of the wanted digests have no vector of this encoder yet."""
    return without_row(connection, "embeddings", "encoder_key", [key], wanted)


def as_float16(vectors: npt.NDArray[np.floating]) -> Halves:
    """Vectors (n, d) as they are stored: little-endian float16.

    Raises:
        VectorError: not two-dimensional, or a value that is not finite as float16 (beyond 65504, or not a number).
    """
    if vectors.ndim != 2:
        raise VectorError(
            f"Vectors to store must have the shape [n, d], these have {list(vectors.shape)}: reshape them."
        )
    with np.errstate(over="ignore"):
        packed = np.ascontiguousarray(vectors, dtype="<f2")
    bad = np.flatnonzero(~np.isfinite(packed).all(axis=1))
    if bad.size:
        raise VectorError(f"Vector {bad[0]} has a value that float16 cannot hold: normalise it, or record the miss.")
    return packed


def write(connection: psycopg.Connection, key: int, digests: Sequence[bytes], vectors: npt.NDArray[np.float32]) -> int:
    """Store vectors (n, dimension) as float16; those already there stay. Returns how many are new.

    Two writers of the same digests wait for one another instead of dead-locking, as each writes them in order; so a
    transaction writes one batch, or its batches in the order of digests.

    Raises:
        VectorError: as `as_float16`; nothing was written.
    """
    packed = as_float16(vectors)
    assert len(packed) == len(digests), "a vector for every digest"
    name = f"thumbrank_vectors_{next(_batch_numbers)}"
    batch = sql.Identifier(name)
    with connection.transaction():
        connection.execute(
            sql.SQL("create temporary table {} (sha256 bytea, vector bytea storage external) on commit drop").format(
                batch
            )
        )
        write_rows(connection, name, _in_order(column_of(digests), packed))
        # The rows lie in the order of digests and a temporary table is read in the order it lies; no sort of all vectors.
        new = connection.execute(
            sql.SQL(
                "insert into thumbrank.embeddings (encoder_key, sha256, vector) "
                "select %s, sha256, vector from {} on conflict do nothing"
            ).format(batch),
            (key,),
        ).rowcount
        connection.execute(sql.SQL("drop table {}").format(batch))
    return new


def _in_order(digests: npt.NDArray[np.bytes_], vectors: Halves) -> Iterator[Rows]:
    width = vectors.shape[1] * 2
    order = np.argsort(digests)
    for start in range(0, len(order), WRITE_ROWS):
        taken = order[start : start + WRITE_ROWS]
        rows = np.empty(len(taken), dtype=[("sha256", digests.dtype), ("vector", f"S{width}")])
        rows["sha256"] = digests[taken]
        rows["vector"] = vectors[taken].view(f"S{width}")[:, 0]
        yield rows


def load(
    connection: psycopg.Connection, key: int, dimension: int, digests: Sequence[bytes]
) -> tuple[Halves, npt.NDArray[np.bool_]]:
    """Vectors (n, dimension) of n digests in their order, which may name one twice, and which of them are there (n,).

    A vector that is not there is a row of NaN, never of zeros.

    Raises:
        VectorError: a stored vector does not have `dimension` numbers.
    """
    vectors = np.empty((len(digests), dimension), dtype="<f2")
    there = np.zeros(len(digests), dtype=np.bool_)
    with listed(connection, digests) as table:
        stored = sql.SQL(
            "select w.position, e.vector from {} w join thumbrank.embeddings e "
            "on e.encoder_key = %(key)s and e.sha256 = w.sha256"
        ).format(table)
        row = [("position", "i4"), ("vector", f"S{2 * dimension}")]
        try:
            for rows in read_rows(connection, stored, {"key": key}, row):
                vectors[rows["position"]] = np.ascontiguousarray(rows["vector"]).view("<f2").reshape(-1, dimension)
                there[rows["position"]] = True
        except CopyError:
            raise VectorError(
                f"A vector of encoder {key} (thumbrank.encoders) does not have {dimension} numbers: correct the dimension "
                "in config/encoders.yaml, or delete the encoder's vectors and embed again."
            ) from None
    vectors[~there] = np.nan
    return vectors, there
