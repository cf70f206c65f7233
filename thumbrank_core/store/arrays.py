"""Whole columns of numbers in and out of Postgres as numpy arrays, by binary COPY, without a Python object per value.

What belongs here: rows whose every column has a fixed width and is never null. What does not: text, nulls, upserts
(copy.py). A row on the wire is a count of fields, then length and big-endian bytes of each; with fixed widths a block of
rows is one numpy structured array. Source: "Binary Format" in Postgres' documentation of COPY.
"""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, LiteralString, cast

import numpy as np
import numpy.typing as npt
import psycopg
from psycopg import sql

from thumbrank_core.store.copy import MEND, table_name
from thumbrank_core.store.database import Connection
from thumbrank_core.store.errors import CopyError

Rows = npt.NDArray[np.void]
"""A structured array: one named field a column."""

CHUNK_ROWS = 65_536
CHUNK_BYTES = 4 << 20
"""Of rows as wide as a vector, a chunk holds fewer."""
EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
"""A timestamptz is an int64 of microseconds since then."""

_SIGNATURE = b"PGCOPY\n\xff\r\n\0"
_HEADER = _SIGNATURE + bytes(8)
_TRAILER = b"\xff\xff"
_KINDS = "ifS"


def read_rows(
    connection: Connection,
    query: sql.Composable | LiteralString,
    params: dict[str, object] | None,
    dtype: npt.DTypeLike,
) -> Iterator[Rows]:
    """Stream the rows of a SELECT in chunks of about CHUNK_ROWS or CHUNK_BYTES; memory stays flat however many there are.

    Until the iterator ends the connection does nothing else; half way, only a rollback follows.

    Args:
        connection: a connection.
        query: a SELECT without semicolon; with `params`, a literal % is written %%.
        params: the placeholders' values, or None.
        dtype: a structured type whose fields have the order and the width of the columns: int2, int4, int8, float4, float8
            as i2 … f8; a timestamptz as i8 (`moment`); a bytea as S.

    Raises:
        CopyError: a null, or a column of another width.
    """
    native, wire = np.dtype(dtype), _wire(np.dtype(dtype))
    enough = max(1, min(CHUNK_ROWS, CHUNK_BYTES // wire.itemsize)) * wire.itemsize
    select = sql.SQL(query) if isinstance(query, str) else query
    statement = sql.SQL("copy ({}) to stdout (format binary)").format(select)
    with connection.cursor() as cursor, cursor.copy(statement, params) as copy:
        pending = bytearray()
        begun = False
        for block in copy:
            pending += block
            if not begun:
                if len(pending) < len(_HEADER):
                    continue
                extension = int.from_bytes(pending[len(_SIGNATURE) + 4 : len(_HEADER)], "big")
                del pending[: len(_HEADER) + extension]
                begun = True
            if len(pending) >= enough:
                whole = len(pending) // wire.itemsize * wire.itemsize
                # Only the trailer can follow whole rows, and a chunk never ends with it: it is shorter than a row.
                yield _rows(pending[:whole], wire, native)
                del pending[:whole]
        if bytes(pending[-2:]) != _TRAILER or (len(pending) - 2) % wire.itemsize:
            raise CopyError(f"The rows do not have the widths of {native.names}: a column is null or of another type.")
        if len(pending) > 2:
            yield _rows(pending[:-2], wire, native)


def read_all(
    connection: Connection,
    query: sql.Composable | LiteralString,
    params: dict[str, object] | None,
    dtype: npt.DTypeLike,
) -> Rows:
    """All rows of a SELECT as one array; arguments and errors as `read_rows`."""
    chunks = [np.array([], dtype=np.dtype(dtype)), *read_rows(connection, query, params, dtype)]
    return cast(Rows, np.concatenate(chunks))


def write_rows(connection: Connection, table: str, chunks: Iterable[Rows]) -> int:
    """Append chunks of rows to `table`, whose columns are named as the fields; gives their number.

    A text column takes a field of type S with its exact width in every row.

    Raises:
        CopyError: a row that breaks a constraint of the table; nothing was written.
    """
    number = 0
    iterator = iter(chunks)
    first = next(iterator, None)
    if first is None:
        return 0
    names = sql.SQL(", ").join(sql.Identifier(name) for name in first.dtype.names or ())
    statement = sql.SQL("copy {} ({}) from stdin (format binary)").format(table_name(table), names)
    wire = _wire(first.dtype)
    try:
        with connection.cursor() as cursor, cursor.copy(statement) as copy:
            copy.write(_HEADER)
            for chunk in _chain(first, iterator):
                copy.write(_bytes(chunk, wire))
                number += len(chunk)
            copy.write(_TRAILER)
    except (psycopg.DataError, psycopg.IntegrityError) as error:
        raise CopyError(
            f"Rows for {table} break a rule of it ({str(error).splitlines()[0][:200]}): nothing was written; {MEND}"
        ) from None
    return number


def moments(microseconds: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Seconds since 1970 of timestamptz values read as i8."""
    return microseconds / 1e6 + EPOCH.timestamp()


def moment(microseconds: int) -> datetime:
    """The time, in UTC, of one timestamptz value read as i8."""
    return EPOCH + timedelta(microseconds=microseconds)


def _wire(native: np.dtype[Any]) -> np.dtype[Any]:
    fields: list[tuple[str, str]] = [("#", ">i2")]
    for name in native.names or ():
        kind = native[name]
        if kind.kind not in _KINDS:
            raise CopyError(f"Column {name} has the type {kind}, which has no fixed width in Postgres: use i, f or S.")
        code = f"S{kind.itemsize}" if kind.kind == "S" else f">{kind.kind}{kind.itemsize}"
        fields += [(f"#{name}", ">i4"), (name, code)]
    return np.dtype(fields)


def _rows(block: bytearray, wire: np.dtype[Any], native: np.dtype[Any]) -> Rows:
    raw = np.frombuffer(block, dtype=wire)
    names = native.names or ()
    whole = (raw["#"] == len(names)).all() and all((raw[f"#{name}"] == native[name].itemsize).all() for name in names)
    if not whole:
        raise CopyError(f"The rows do not have the widths of {names}: a column is null or of another type.")
    rows = np.empty(len(raw), dtype=native)
    for name in names:
        rows[name] = raw[name]
    return rows


def _bytes(rows: Rows, wire: np.dtype[Any]) -> bytes:
    raw = np.empty(len(rows), dtype=wire)
    names = rows.dtype.names or ()
    raw["#"] = len(names)
    for name in names:
        raw[f"#{name}"] = rows.dtype[name].itemsize
        raw[name] = rows[name]
    return raw.tobytes()


def _chain(first: Rows, rest: Iterable[Rows]) -> Iterator[Rows]:
    yield first
    yield from rest
