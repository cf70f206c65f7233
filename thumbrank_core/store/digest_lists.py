"""Lists of digests on the server: what is asked of a content-addressed table, 200,000 digests at a time.

What belongs here: a list as a temporary table, and which of it a table lacks. What does not: any one table (the steps that own
them).
"""

import itertools
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt
from psycopg import sql

from thumbrank_core.store.arrays import read_all, write_rows
from thumbrank_core.store.database import Connection
from thumbrank_core.store.local_settings import local_settings

_DIGEST = 32
_POSITION = np.dtype([("position", "i4")])
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


def without_row(
    connection: Connection, table: str, key_column: str, keys: Iterable[int], digests: Iterable[bytes]
) -> set[bytes]:
    """Which of the digests lack a row of any of these keys.

    Args:
        connection: a connection.
        table: of the schema thumbrank, with a column `sha256`.
        key_column: its other column that says which row.
        keys: values of it.
        digests: what is asked for, in any order and as often as may be.
    """
    asked = list(set(digests))
    with listed(connection, asked) as wanted:
        absent = sql.SQL(
            "select w.position from {} w where not exists (select from {} t where t.{} = %(key)s and t.sha256 = w.sha256)"
        ).format(wanted, sql.Identifier("thumbrank", table), sql.Identifier(key_column))
        lists = [read_all(connection, absent, {"key": key}, _POSITION)["position"].tolist() for key in keys]
    return {asked[position] for found in lists for position in found}
