"""Typed binary COPY in and out, and the upsert built on it.

What belongs here: moving many rows of any table. What does not: which table and which columns (the steps that own
them).

Text: Postgres stores neither NUL characters nor lone surrogates, and YouTube's JSON can carry both. A row with either
is refused by name and place, and nothing of its batch is kept; the edge that reads foreign text calls `storable_text`.
"""

import itertools
import re
import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, LiteralString

import psycopg
from psycopg import adapt, sql

from thumbrank_core.store.database import Connection
from thumbrank_core.store.errors import CopyError

MEND = (
    "correct them where they come from; rows that a step of Thumbrank made are a defect to report with this sentence."
)

_batch_numbers = itertools.count()
_POSITION = "position in batch"  # with spaces: no column of ours is called that


@dataclass(frozen=True)
class Column:
    """A column and its Postgres type by name: `int4`, `timestamptz`, `text[]`. A domain goes by its base type."""

    name: str
    type: str


@dataclass(frozen=True)
class Upserted:
    """How many rows were new, how many were there already and were changed, and the returned columns of both.

    A key that another connection writes at the same moment may count on either side.
    """

    inserted: int
    updated: int
    rows: list[tuple[Any, ...]] = field(default_factory=list[tuple[Any, ...]])


def table_name(table: str) -> sql.Identifier:
    """`"schema.table"` or `"table"` as a quoted identifier."""
    return sql.Identifier(*table.split("."))


def copy_in(conn: Connection, table: str, columns: Sequence[Column], rows: Iterable[Sequence[object]]) -> int:
    """Append `rows` to `table` with one binary COPY; gives their number.

    Args:
        conn: a connection; the rows are part of its transaction.
        table: `"thumbrank.thumbnails"`.
        columns: name and type of each value of a row, in the row's order.
        rows: read once, so a generator will do; None is null.

    Raises:
        CopyError: a value that does not fit its column, with row number and column; a row that breaks a constraint.
            The transaction must then be rolled back, which `Database.connection` does.
    """
    return _copy_in(conn, table, table_name(table), columns, rows)


def _copy_in(
    conn: Connection, label: str, target: sql.Composable, columns: Sequence[Column], rows: Iterable[Sequence[object]]
) -> int:
    types = [_known_type(conn, column) for column in columns]
    statement = sql.SQL("copy {} ({}) from stdin (format binary)").format(target, _names(c.name for c in columns))
    number = 0
    try:
        with conn.cursor() as cursor, cursor.copy(statement) as copy:
            copy.set_types(types)
            for number, row in enumerate(rows, start=1):
                try:
                    _check_row(row, columns)
                    copy.write_row(row)
                except (psycopg.Error, struct.error, TypeError, ValueError, AttributeError, ArithmeticError) as error:
                    raise _explain_row(label, number, row, columns, error) from None
    except psycopg.DataError as error:
        raise CopyError(
            f"Rows for {label} do not fit its columns ({_first_line(error)}): nothing was written; {MEND}"
        ) from None
    except psycopg.IntegrityError as error:
        raise CopyError(
            f"Rows for {label} break a rule of it ({_first_line(error)}): nothing was written; {MEND}"
        ) from None
    return number


def copy_out(
    conn: Connection,
    query: sql.Composable | LiteralString,
    params: Sequence[object] | dict[str, object] | None,
    types: Sequence[str],
) -> Iterator[tuple[Any, ...]]:
    """Stream the rows of `query` with a binary COPY; memory stays flat however many there are.

    Until the iterator ends the connection does nothing else. Closing it half way cancels the query, and with it the
    transaction: nothing but a rollback follows. Read to the end, or say LIMIT.

    Args:
        conn: a connection.
        query: a SELECT without semicolon; placeholders are filled in on this side, as COPY takes no parameters.
        params: the placeholders' values, or None. With values, a literal % is written %%.
        types: the Postgres type of each column of the result, in order; cast in the SELECT where in doubt.
    """
    select = sql.SQL(query) if isinstance(query, str) else query
    statement = sql.SQL("copy ({}) to stdout (format binary)").format(select)
    with conn.cursor() as cursor, cursor.copy(statement, params) as copy:
        copy.set_types(list(types))
        yield from copy.rows()


def upsert(
    conn: Connection,
    table: str,
    columns: Sequence[Column],
    rows: Iterable[Sequence[object]],
    key: Sequence[str],
    update: Sequence[str] | None = None,
    returning: Sequence[str] = (),
) -> Upserted:
    """Insert `rows`, or change those whose `key` is there: a COPY into a temporary table, then one set-based statement.

    The temporary table lives inside one transaction, so this also works behind a transaction pooler. Keys are written
    in order, so that two writers of the same keys wait for one another instead of dead-locking.

    Args:
        conn: a connection; in autocommit mode this is a transaction of its own.
        table: `"thumbrank.thumbnails"`.
        columns: name and type of each value of a row, in the row's order; they include the key.
        rows: of several rows with one key the last one counts.
        key: the columns of a unique constraint.
        update: the columns to change; None: all but the key; empty: rows that are there stay as they are.
        returning: columns of the written rows to give back, ordered as the database wrote them.

    Raises:
        CopyError: as `copy_in`; also for a key that is no unique constraint.
    """
    changed = [c.name for c in columns if c.name not in key] if update is None else list(update)
    batch = sql.Identifier(f"thumbrank_batch_{next(_batch_numbers)}")
    batch_columns = [*columns, Column(_POSITION, "int8")]
    with conn.transaction():
        conn.execute(_create_batch(conn, batch, batch_columns))
        numbered = ((*row, position) for position, row in enumerate(rows))
        _copy_in(conn, table, batch, batch_columns, numbered)
        known = _count_known(conn, table, batch, key) if changed else 0
        try:
            written = conn.execute(_merge(table, batch, columns, key, changed, returning))
        except (psycopg.DataError, psycopg.IntegrityError, psycopg.errors.InvalidColumnReference) as error:
            raise CopyError(
                f"Rows for {table} break a rule of it ({_first_line(error)}): nothing was written; {MEND}"
            ) from None
        count, given_back = written.rowcount, written.fetchall() if returning else []
        conn.execute(sql.SQL("drop table {}").format(batch))
    return Upserted(count - known, known, given_back)


def _count_known(conn: Connection, table: str, batch: sql.Identifier, key: Sequence[str]) -> int:
    """How many keys of the batch are in the table; `xmax = 0` would say it per row, but not for partitioned tables."""
    statement = sql.SQL("select count(*) from (select distinct {key} from {batch}) as b join {table} using ({key})")
    row = conn.execute(statement.format(key=_names(key), batch=batch, table=table_name(table))).fetchone()
    assert row is not None
    return int(row[0])


def _create_batch(conn: Connection, batch: sql.Identifier, columns: Sequence[Column]) -> sql.Composed:
    for column in columns:
        _known_type(conn, column)
    definitions = sql.SQL(", ").join(
        # The type is a name the driver knows and of letters only (see _known_type), so it can stand as it is.
        sql.SQL("{} {}").format(sql.Identifier(column.name), sql.SQL(column.type))  # pyright: ignore[reportArgumentType]
        for column in columns
    )
    return sql.SQL("create temporary table {} ({}) on commit drop").format(batch, definitions)


def _merge(
    table: str,
    batch: sql.Identifier,
    columns: Sequence[Column],
    key: Sequence[str],
    changed: Sequence[str],
    returning: Sequence[str],
) -> sql.Composed:
    if changed:
        assignments = (sql.SQL("{0} = excluded.{0}").format(sql.Identifier(name)) for name in changed)
        action = sql.SQL("do update set {}").format(sql.SQL(", ").join(assignments))
    else:
        action = sql.SQL("do nothing")
    return sql.SQL(
        "insert into {table} ({names}) select {names} from (select distinct on ({key}) * from {batch} "
        "order by {key}, {position} desc) as latest on conflict ({key}) {action}{returning}"
    ).format(
        table=table_name(table),
        names=_names(column.name for column in columns),
        key=_names(key),
        batch=batch,
        position=sql.Identifier(_POSITION),
        action=action,
        returning=sql.SQL(" returning {}").format(_names(returning)) if returning else sql.SQL(""),
    )


def _names(names: Iterable[str]) -> sql.Composed:
    return sql.SQL(", ").join(sql.Identifier(name) for name in names)


def _known_type(conn: Connection, column: Column) -> str:
    if not re.fullmatch(r"[a-z][a-z0-9_ ]*(\[\])?", column.type) or conn.adapters.types.get(column.type) is None:
        raise CopyError(
            f"The type {column.type!r} of column {column.name} is not known: use a name like int4, text or text[]."
        )
    return column.type


def _check_row(row: Sequence[object], columns: Sequence[Column]) -> None:
    if len(row) != len(columns):
        raise ValueError(f"{len(row)} values for {len(columns)} columns")
    for value in row:
        if isinstance(value, str | list | tuple):
            _check_text(value)


def _check_text(value: object) -> None:
    if isinstance(value, str):
        if "\x00" in value:
            raise ValueError("the text has a NUL character")
    elif isinstance(value, list | tuple):
        for item in value:
            _check_text(item)


def _explain_row(
    table: str, number: int, row: Sequence[object], columns: Sequence[Column], error: Exception
) -> CopyError:
    """Name the column by the only one whose value the driver refuses when asked alone; the value itself stays out."""
    names = [column.name for column, value in zip(columns, row, strict=False) if not _fits(column, value)]
    where = f"column {names[0]} of row {number}" if names else f"row {number}"
    return CopyError(
        f"The {where} for {table} cannot be stored ({_first_line(error)}): "
        "correct it, or pass text through storable_text; nothing was written."
    )


def _fits(column: Column, value: object) -> bool:
    if value is None:
        return True
    transformer = adapt.Transformer()
    types = psycopg.adapters.types
    try:
        _check_text(value)
        info = types.get(column.type)
        if info is not None:
            transformer.set_dumper_types([types.get_oid(column.type)], psycopg.pq.Format.BINARY)
            transformer.dump_sequence([value], [adapt.PyFormat.BINARY])
    except (psycopg.Error, struct.error, TypeError, ValueError, AttributeError, ArithmeticError):
        return False
    return True


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:200].rstrip(".") if lines else type(error).__name__


def storable_text(text: str) -> str:
    """`text` as Postgres can keep it: NUL characters dropped, lone surrogates replaced by U+FFFD, pairs joined."""
    if text.isascii() and "\x00" not in text:
        return text
    return text.replace("\x00", "").encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
