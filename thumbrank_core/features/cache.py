"""The embedding cache in Postgres: content-addressed, so that nothing is computed twice in its life.

A vector is keyed by the sha256 of what was encoded (the picture's bytes, the normalised title) and the encoder's id.
"""

import hashlib
import unicodedata
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import psycopg

from thumbrank_core.features.specs import ImageSpec, TitleSpec
from thumbrank_core.store.copy import Column, pack_float16, unpack_float16, upsert

_COLUMNS = [Column("encoder_key", "int2"), Column("sha256", "bytea"), Column("vector", "bytea")]


def normalise_title(title: str) -> str:
    """NFC, with runs of white space as one space: titles that read alike share a vector."""
    return " ".join(unicodedata.normalize("NFC", title).split())


def title_sha256(title: str) -> bytes:
    """The key of a title."""
    return hashlib.sha256(normalise_title(title).encode("utf-8")).digest()


def encoder_key(connection: psycopg.Connection, spec: ImageSpec | TitleSpec) -> int:
    """The small integer behind an encoder's id; made when it is new."""
    modality = "image" if isinstance(spec, ImageSpec) else "title"
    connection.execute(
        "insert into thumbrank.encoders (encoder_id, modality, dimension) values (%s, %s, %s) on conflict do nothing",
        (spec.encoder_id, modality, spec.dimension),
    )
    row = connection.execute(
        "select encoder_key from thumbrank.encoders where encoder_id = %s", (spec.encoder_id,)
    ).fetchone()
    assert row is not None, "it was inserted above or before"
    return int(row[0])


def missing(connection: psycopg.Connection, key: int, wanted: Iterable[bytes]) -> set[bytes]:
    """Which of the wanted digests have no vector of this encoder yet."""
    rows = connection.execute(
        "select w.sha256 from unnest(%s::bytea[]) w(sha256) where not exists "
        "(select from thumbrank.embeddings e where e.encoder_key = %s and e.sha256 = w.sha256)",
        (sorted(set(wanted)), key),
    ).fetchall()
    return {bytes(row[0]) for row in rows}


def write(connection: psycopg.Connection, key: int, digests: Sequence[bytes], vectors: npt.NDArray[np.float32]) -> int:
    """Store vectors (n, dimension) as float16; those already there stay. Returns how many are new."""
    rows = zip([key] * len(digests), digests, pack_float16(vectors), strict=True)
    return upsert(
        connection, "thumbrank.embeddings", _COLUMNS, list(rows), key=["encoder_key", "sha256"], update=[]
    ).inserted


def read(
    connection: psycopg.Connection, key: int, dimension: int, digests: Iterable[bytes]
) -> Mapping[bytes, npt.NDArray[np.float32]]:
    """Vectors by digest; those not stored are left out."""
    rows = connection.execute(
        "select sha256, vector from thumbrank.embeddings where encoder_key = %s and sha256 = any(%s)",
        (key, sorted(set(digests))),
        binary=True,
    ).fetchall()
    vectors = unpack_float16([bytes(row[1]) for row in rows], dimension)
    return {bytes(row[0]): vector for row, vector in zip(rows, vectors, strict=True)}
