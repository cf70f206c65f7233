"""All of our rows into one file, as they were at one moment.

What belongs here: finding our tables and reading them. The file is dump_file.py, the way back is restore.py.

Why not pg_dump: it has to be there, and be as new as the server (a machine with Postgres 15's cannot dump the embedded 18),
its files hold statements that a restore executes, and they cannot go into an older Postgres or into a schema that has
moved on. Ours needs the driver alone; the schema is made by the migrations, so that owners, rights and extensions of the
source do not matter, and rows of an older schema are migrated after they are in.

Rows travel as COPY's binary stream: exact, half the size of text for vectors. Types whose binary form might differ
between two servers are refused.
"""

import re
from collections.abc import Collection, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import LiteralString

import psycopg
from psycopg import sql

from thumbrank_core.progress import Advance, track
from thumbrank_core.store.database import Connection, connect
from thumbrank_core.store.dump_file import (
    FORMAT,
    VERSION,
    DumpedColumn,
    DumpedMigration,
    DumpedSequence,
    DumpedTable,
    DumpError,
    DumpManifest,
    DumpWriter,
    new_dump,
)
from thumbrank_core.store.migrate import Migration, migrate, read_folder

MIGRATIONS_TABLE = "schema_migrations"
LOCK_TIMEOUT_S = 10
UNHURRIED: LiteralString = (
    # A hosted server ends statements after minutes, and transactions that wait for a disk.
    "set local statement_timeout = 0; set local idle_in_transaction_session_timeout = 0; set local client_encoding = 'UTF8'; "
)
_BUFFER = 1 << 18
_SCALARS = (
    *("bool", "int2", "int4", "int8", "float4", "float8", "numeric", "text", "varchar", "bytea"),
    *("date", "timestamp", "timestamptz", "uuid", "jsonb"),
)
PORTABLE = frozenset([*_SCALARS, *(f"_{name}" for name in _SCALARS)])
"""Types with one binary form in every Postgres, and arrays of them; an enum travels as its label."""

_TABLES: LiteralString = (
    "select c.relname::text, a.attname::text, coalesce(b.typname, t.typname)::text, "
    "coalesce(b.typtype, t.typtype) = 'e', a.attstorage = 'e' "
    "from pg_class c join pg_attribute a on a.attrelid = c.oid join pg_type t on t.oid = a.atttypid "
    "left join pg_type b on t.typtype = 'd' and b.oid = t.typbasetype "
    "where c.relnamespace = to_regnamespace('thumbrank') and c.relkind in ('r', 'p') and not c.relispartition "
    "and a.attnum > 0 and not a.attisdropped and a.attgenerated = '' order by c.relname, a.attnum"
)
_SEQUENCES: LiteralString = (
    "select c.relname::text, a.attname::text, pg_get_serial_sequence(format('thumbrank.%I', c.relname), a.attname) "
    "from pg_class c join pg_attribute a on a.attrelid = c.oid "
    "where c.relnamespace = to_regnamespace('thumbrank') and c.relkind in ('r', 'p') and not c.relispartition "
    "and a.attnum > 0 and not a.attisdropped "
    "and pg_get_serial_sequence(format('thumbrank.%I', c.relname), a.attname) is not null order by 1, 2"
)


@dataclass(frozen=True)
class Shape:
    """A table's columns. `incompressible`: somebody told Postgres not to compress one of them, so we do not either."""

    columns: tuple[DumpedColumn, ...]
    enums: frozenset[str]
    incompressible: bool


@dataclass(frozen=True)
class Dumped:
    """What was written, and the tables in our schema that are somebody else's and were left out."""

    manifest: DumpManifest
    left_out: tuple[str, ...]


def dump(url: str, path: Path, folder: Path) -> Dumped:
    """Write every row of schema `thumbrank` into a new file.

    All rows are of one moment, whoever writes meanwhile; only what replaces or alters a table waits until the dump is done.

    Args:
        url: the database.
        path: the file; it must not exist, and exists afterwards only when all of it is written.
        folder: the migrations.

    Raises:
        DumpError: nothing to dump, a file that cannot be written, or a database that is altered at this moment.
        MigrationError: the database's schema is newer than this code, or not the one of its migrations.
        DatabaseUnreachable: no connection.
    """
    with connect(url) as connection:
        migrate(connection, folder, dry_run=True)  # raises when files and database disagree
        with connection.transaction():
            shapes = read_shapes(connection)
        if MIGRATIONS_TABLE not in shapes:
            raise DumpError(
                f"The {place(connection)} holds nothing of thumbrank: correct DATABASE_URL or THUMBRANK_HOME."
            )
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.read_only = True
        with new_dump(path) as file, _explained(place(connection)), connection.transaction():
            connection.execute(UNHURRIED)
            _hold(connection, shapes)
            return _write(connection, file, shapes, read_folder(folder))


def read_shapes(connection: Connection) -> dict[str, Shape]:
    """The tables of our schema by name; of a partitioned table the whole."""
    found: dict[str, list[tuple[str, str, bool, bool]]] = {}
    for table, *column in connection.execute(_TABLES):
        found.setdefault(table, []).append((column[0], column[1], column[2], column[3]))
    return {
        table: Shape(
            tuple(DumpedColumn(name=name, type=kind) for name, kind, _, _ in columns),
            frozenset(name for name, _, is_enum, _ in columns if is_enum),
            any(external for _, _, _, external in columns),
        )
        for table, columns in found.items()
    }


def read_sequences(connection: Connection, tables: Collection[str]) -> Iterator[DumpedSequence]:
    """Where identity columns go on. Sequences know no snapshot: read after the rows, they are at or behind the last of them."""
    for table, column, sequence in connection.execute(_SEQUENCES).fetchall():
        if table in tables:
            # pg_get_serial_sequence gives a name that is quoted already.
            state = connection.execute(f"select last_value, is_called from {sequence}".encode()).fetchone()  # noqa: S608
            assert state is not None, "a sequence has one row"
            yield DumpedSequence(table=table, column=column, last_value=state[0], is_called=state[1])


def place(connection: Connection) -> str:
    """Which database it is, as a person would say it; no secret."""
    info = connection.info
    return f"database {info.dbname} on {info.host or 'this machine'}, port {info.port}"


def of_schema(table: str) -> sql.Identifier:
    """The table as a quoted identifier; a name from a file may hold any character."""
    return sql.Identifier("thumbrank", table)


def names_of(columns: tuple[DumpedColumn, ...]) -> sql.Composed:
    """The columns as a quoted list."""
    return sql.SQL(", ").join(sql.Identifier(column.name) for column in columns)


def first_line(error: Exception) -> str:
    """The server's own sentence; what follows it may quote a row."""
    lines = str(error).strip().splitlines()
    return lines[0][:200].rstrip(".") if lines else type(error).__name__


def _hold(connection: Connection, shapes: dict[str, Shape]) -> None:
    """Keep every table, then look: the moment of the dump is the first SELECT, and it must come after the locks.

    Otherwise a rebuild of pairs, which puts a new table in place of the old one, could end in between, and its niche would
    be empty for us (see labels/pairs.py).
    """
    tables = sql.SQL(", ").join(of_schema(table) for table in shapes)
    connection.execute(sql.SQL("set local lock_timeout = {}").format(sql.Literal(LOCK_TIMEOUT_S * 1000)))
    connection.execute(sql.SQL("lock table {} in access share mode").format(tables))
    if read_shapes(connection) != shapes:
        raise DumpError(f"The {place(connection)} is being migrated: dump it when that is done.")


def _write(connection: Connection, file: DumpWriter, shapes: dict[str, Shape], files: list[Migration]) -> Dumped:
    row = connection.execute("select clock_timestamp()").fetchone()
    assert row is not None, "a select without from returns one row"
    applied = connection.execute("select version, name, checksum from thumbrank.schema_migrations order by version")
    migrations = tuple(
        DumpedMigration(version=version, name=name, checksum=checksum) for version, name, checksum in applied
    )
    ours = {table: shape for table, shape in shapes.items() if _is_ours(table, files)}
    for table, shape in ours.items():
        _require_portable(table, shape)
    counts = {table: _count(connection, table) for table in ours}
    with track("dumping rows", sum(counts.values())) as advance:
        tables = tuple(_table(connection, file, table, ours[table], counts[table], advance) for table in ours)
    manifest = DumpManifest(
        format=FORMAT,
        format_version=VERSION,
        dumped_at=row[0],
        postgres=connection.info.server_version,
        migrations=migrations,
        tables=tables,
        sequences=tuple(read_sequences(connection, ours)),
    )
    file.finish(manifest)
    return Dumped(manifest, tuple(sorted(set(shapes) - set(ours))))


def _table(
    connection: Connection, file: DumpWriter, table: str, shape: Shape, count: int, advance: Advance
) -> DumpedTable:
    size, sha256 = file.add(table, _stream(connection, table, shape.columns, advance), packed=not shape.incompressible)
    return DumpedTable(name=table, columns=shape.columns, rows=count, size=size, sha256=sha256)


def _stream(connection: Connection, table: str, columns: tuple[DumpedColumn, ...], advance: Advance) -> Iterator[bytes]:
    """COPY's stream in pieces worth packing; the driver gives it row by row."""
    statement = sql.SQL("copy (select {} from {}) to stdout (format binary)").format(
        names_of(columns), of_schema(table)
    )
    buffer, rows = bytearray(), 0
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        for row in copy:
            buffer += row
            rows += 1
            if len(buffer) >= _BUFFER:
                yield bytes(buffer)
                advance(rows)
                buffer, rows = bytearray(), 0
    yield bytes(buffer)
    advance(rows - 1)  # the last of what came was the stream's end


def _count(connection: Connection, table: str) -> int:
    row = connection.execute(sql.SQL("select count(*) from {}").format(of_schema(table))).fetchone()
    assert row is not None, "an aggregate without group by returns one row"
    return int(row[0])


def _is_ours(table: str, files: list[Migration]) -> bool:
    """Whether a migration names it. Somebody's own table in our schema is not ours to restore: no migration would make it."""
    name = re.compile(rf"\bthumbrank\.{re.escape(table)}\b")
    return table == MIGRATIONS_TABLE or any(name.search(file.text) for file in files)


def _require_portable(table: str, shape: Shape) -> None:
    for column in shape.columns:
        if column.type not in PORTABLE and column.name not in shape.enums:
            raise DumpError(
                f"Column {column.name} of thumbrank.{table} has the type {column.type}, which a dump does not carry: "
                "use pg_dump for this database, or add the type to PORTABLE in store/dump.py."
            )


@contextmanager
def _explained(where: str) -> Generator[None]:
    try:
        yield
    except psycopg.errors.LockNotAvailable:
        raise DumpError(f"Somebody alters the tables of the {where}: dump it when that is done.") from None
    except psycopg.errors.InsufficientPrivilege as error:
        raise DumpError(
            f"The {where} does not let this user read everything ({first_line(error)}): dump it as the user who migrates it."
        ) from None
    except psycopg.OperationalError as error:
        raise DumpError(
            f"The {where} ended the dump ({first_line(error)}): see that it runs, and dump again."
        ) from None
