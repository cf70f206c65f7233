"""Readings of the weak sub-score signals in Postgres: a measure and the sha256 of a picture give a value or a reason.

What belongs here: storing and loading. What does not: computing them.
"""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import psycopg
from psycopg import sql

from thumbrank_core.store.arrays import read_all
from thumbrank_core.store.copy import Column, upsert
from thumbrank_core.store.digest_lists import listed, without_row

Reading = tuple[int, bytes, float | None, str | None]
"""(measure_key, sha256, value, reason): either a finite value, or the reason why there is none."""

_COLUMNS = [
    Column("measure_key", "int2"),
    Column("sha256", "bytea"),
    Column("value", "float4"),
    Column("reason", "text"),
]


def measure_keys(connection: psycopg.Connection, measures: Mapping[str, str]) -> dict[str, int]:
    """The small integer behind each measure's id; made where it is new.

    Args:
        connection: a connection.
        measures: the signal of each measure id.
    """
    known = known_keys(connection, measures)
    new = [measure for measure in measures if measure not in known]
    if not new:  # an insert that conflicts would still use up one of 32,767 keys
        return known
    connection.execute(
        "insert into thumbrank.measures (measure_id, signal) select * from unnest(%s::text[], %s::text[]) "
        "on conflict do nothing",
        (new, [measures[measure] for measure in new]),
    )
    return known_keys(connection, measures)


def known_keys(connection: psycopg.Connection, measures: Iterable[str]) -> dict[str, int]:
    """The small integer behind each measure's id, of those that have one."""
    rows = connection.execute(
        "select measure_id, measure_key from thumbrank.measures where measure_id = any(%s)", (list(measures),)
    ).fetchall()
    return {str(measure): int(key) for measure, key in rows}


def unmeasured(connection: psycopg.Connection, keys: Iterable[int], digests: Iterable[bytes]) -> set[bytes]:
    """Which of the digests lack a reading of any of these measures; a reason is a reading."""
    return without_row(connection, "sub_score_signals", "measure_key", keys, digests)


def write_readings(connection: psycopg.Connection, rows: Iterable[Reading]) -> int:
    """Store readings; those already there stay. Returns how many are new.

    Raises:
        CopyError: a value that is not finite, or not exactly one of value and reason; nothing was written.
    """
    key = ["measure_key", "sha256"]
    return upsert(connection, "thumbrank.sub_score_signals", _COLUMNS, rows, key=key, update=[]).inserted


def load_readings(connection: psycopg.Connection, key: int, digests: Sequence[bytes]) -> npt.NDArray[np.float32]:
    """Values (n,) of n digests in their order, NaN where there is no reading or it has a reason instead of a value."""
    values = np.full(len(digests), np.nan, dtype=np.float32)
    with listed(connection, digests) as table:
        stored = sql.SQL(
            "select w.position, s.value from {} w join thumbrank.sub_score_signals s "
            "on s.measure_key = %(key)s and s.sha256 = w.sha256 where s.value is not null"
        ).format(table)
        rows = read_all(connection, stored, {"key": key}, [("position", "i4"), ("value", "f4")])
    values[rows["position"]] = rows["value"]
    return values
