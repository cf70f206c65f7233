"""Lists of digests on the server: what is asked of a content-addressed table, 200,000 digests at a time.

What belongs here: a list as a temporary table. What does not: the tables that it is joined to (the steps that own them).
"""

import itertools
from collections.abc import Generator, Sequence
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt
from psycopg import sql

from thumbrank_core.store.arrays import Connection, Rows, read_all, write_rows
from thumbrank_core.store.local_settings import local_settings

POSITION = np.dtype([("position", "i4")])

_DIGEST = 32
_JOIN = {
    # A hash table that does not fit is written to disk with the other side of the join, vectors and all.
    "work_mem": "64MB"
}
_numbers = itertools.count()


def column_of(digests: Sequence[bytes]) -> npt.NDArray[np.bytes_]:
    """sha256 digests as an S32 array (n,). An item of it loses trailing zeros, its bytes do not: never take items."""
    assert all(len(digest) == _DIGEST for digest in digests), "a sha256 has 32 bytes"
    return np.frombuffer(b"".join(digests), dtype=f"S{_DIGEST}")


@contextmanager
def listed(connection: Connection, digests: Sequence[bytes]) -> Generator[sql.Identifier]:
    """The digests as a temporary table (position int4, sha256 bytea) for the block, which is a transaction or part of one."""
    name = f"thumbrank_listed_{next(_numbers)}"
    table = sql.Identifier(name)
    rows = np.empty(len(digests), dtype=[("position", "i4"), ("sha256", f"S{_DIGEST}")])
    rows["position"], rows["sha256"] = np.arange(len(digests)), column_of(digests)
    with connection.transaction(), local_settings(connection, _JOIN):
        connection.execute(
            sql.SQL("create temporary table {} (position int4, sha256 bytea) on commit drop").format(table)
        )
        write_rows(connection, name, [rows])
        connection.execute(sql.SQL("analyze {}").format(table))
        yield table
        connection.execute(sql.SQL("drop table {}").format(table))


def positions(connection: Connection, query: sql.Composed, params: dict[str, object]) -> list[int]:
    """The column `position` of a SELECT."""
    rows: Rows = read_all(connection, query, params, POSITION)
    return rows["position"].tolist()
