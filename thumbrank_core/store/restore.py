"""A dump into a database: all of it in one transaction, or nothing.

What belongs here: the schema as it was, its rows, and the migrations since. The file is dump_file.py; what was removed here
since the dump and must not come back is the caller's, who knows what a removal is (retention/restored.py).

The schema is always made anew, in the transaction that fills it: so a dump of an older schema, an empty database and a
full one are one case, and nobody sees a state in between. Whatever else lies in the schema `thumbrank` goes with it;
what lies outside and is made of it (a view of the team's own) is named, and nothing is done.

Other processes of ours hold keys of rows in memory and would write them into a database that no longer has these rows, so
none may be connected. One that starts meanwhile waits: it begins with the migrations, whose lock a restore holds.
"""

import time
from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, LiteralString

import psycopg
from psycopg import sql

from thumbrank_core.progress import track
from thumbrank_core.store.database import Connection, connect
from thumbrank_core.store.dump import (
    LOCK_TIMEOUT_S,
    MIGRATIONS_TABLE,
    UNHURRIED,
    Shape,
    first_line,
    names_of,
    of_schema,
    place,
    read_sequences,
    read_shapes,
)
from thumbrank_core.store.dump_file import MB, DumpedTable, DumpError, DumpFile, DumpManifest, in_megabytes
from thumbrank_core.store.migrate import (
    CREATE_TABLE,
    Migration,
    apply_one,
    hold_lock,
    migrate,
    pending_of,
    read_applied,
    read_folder,
)

Around = Callable[[Connection], AbstractContextManager[None]]

OLDEST_POSTGRES = 150000
LEAVING_S = 5.0
"""How long a connection that was closed a moment ago may still be listed."""

_OTHERS: LiteralString = (
    "select count(*)::int from pg_stat_activity where datname = current_database() "
    "and application_name = 'thumbrank' and pid <> pg_backend_pid()"
)
_OUTSIDE: LiteralString = (
    "select 1, c.oid, format('%I.%I', n.nspname, c.relname) from pg_class c join pg_namespace n on n.oid = relnamespace "
    "where n.nspname <> 'thumbrank' and n.nspname !~ '^pg_' "
    "union all select 2, p.oid, format('%I.%I', n.nspname, p.proname) from pg_proc p "
    "join pg_namespace n on n.oid = pronamespace where n.nspname <> 'thumbrank' and n.nspname !~ '^pg_' "
    "union all select 3, k.oid, format('%I of %s', k.conname, k.conrelid::regclass) from pg_constraint k "
    "join pg_namespace n on n.oid = connamespace where n.nspname <> 'thumbrank' and n.nspname !~ '^pg_' "
    "union all select 4, a.attrelid::bigint * 10000 + a.attnum, format('%I of %I.%I', a.attname, n.nspname, c.relname) "
    "from pg_attribute a join pg_class c on c.oid = a.attrelid join pg_namespace n on n.oid = c.relnamespace "
    "where a.attnum > 0 and not a.attisdropped and n.nspname <> 'thumbrank' and n.nspname !~ '^pg_'"
)
"""Everything outside our schema that dropping the schema could take along."""
_REFERENCES: LiteralString = (
    "select format('alter table %s', conrelid::regclass), format('%I', conname), pg_get_constraintdef(oid) "
    "from pg_constraint where contype = 'f' and connamespace = 'thumbrank'::regnamespace and conparentid = 0 order by oid"
)

_TRIGGERS: LiteralString = (
    "select distinct format('alter table %s', tgrelid::regclass) from pg_trigger join pg_class c on c.oid = tgrelid "
    "where not tgisinternal and tgparentid = 0 and c.relnamespace = 'thumbrank'::regnamespace"
)


@dataclass(frozen=True)
class Restored:
    """What was written, the migrations that followed, and the columns whose dates are past."""

    manifest: DumpManifest
    migrated: tuple[Migration, ...]


def rows_in_the_way(url: str, file: DumpFile, folder: Path) -> dict[str, int]:
    """The rows that a restore would remove, by table; empty: none. Everything that can be refused early is.

    Raises:
        DumpError: the dump is of another schema than this code knows, the server is too old, or others are connected.
        MigrationError: the database's schema is newer than this code.
        DatabaseUnreachable: no connection.
    """
    _require_known(file, read_folder(folder))
    with connect(url) as connection:
        _require_server(connection)
        migrate(connection, folder, dry_run=True)
        _require_alone(connection)
        with connection.transaction():
            tables = [table for table in read_shapes(connection) if table != MIGRATIONS_TABLE]
            counts = {table: _scalar(connection, "select count(*) from {}", table) for table in tables}
    return {table: count for table, count in counts.items() if count}


def restore(url: str, file: DumpFile, folder: Path, *, replace: bool, around: Around) -> Restored:
    """Make schema `thumbrank` what the dump says, then apply the migrations that are newer than it.

    The file is read and compared with its manifest before anything is written, and again while it is written.

    Args:
        url: the database.
        file: the dump.
        folder: the migrations.
        replace: whether rows that are there may go.
        around: is entered, inside the transaction, before the first row goes, and left when all rows are in.

    Raises:
        DumpError: the file is damaged or of a schema unknown here, rows are in the way, others are connected, or the server
            refuses; nothing has changed.
        MigrationError: a migration does not go in; nothing has changed.
        DatabaseUnreachable: no connection.
    """
    files = read_folder(folder)
    _require_known(file, files)
    file.check()
    with connect(url) as connection:
        _require_server(connection)
        migrate(connection, folder, dry_run=True)
        with _explained(place(connection), file), connection.transaction():
            connection.execute(UNHURRIED)
            connection.execute(sql.SQL("set local lock_timeout = {}").format(sql.Literal(LOCK_TIMEOUT_S * 1000)))
            hold_lock(connection)
            _require_alone(connection)
            _hold(connection, replace=replace)
            with around(connection):
                _make_schema(connection, file.manifest, files)
                _load(connection, file)
                rest = pending_of(files, read_applied(connection))
                for migration in rest:
                    apply_one(connection, migration, files)
            _analyze(connection)
    return Restored(file.manifest, tuple(rest))


def _require_known(file: DumpFile, files: Sequence[Migration]) -> None:
    known = {migration.version: migration for migration in files}
    for dumped in file.manifest.migrations:
        migration = known.get(dumped.version)
        if migration is None:
            raise DumpError(
                f"{file.path} is of a schema with the migration {dumped.version}_{dumped.name}, "
                "which this version of thumbrank does not know: update thumbrank."
            )
        if migration.checksum != dumped.checksum:
            raise DumpError(
                f"{file.path} is of a schema in which {migration.file_name} had another text: "
                "restore that file's text as it was when the dump was taken."
            )


def _require_server(connection: Connection) -> None:
    if connection.info.server_version < OLDEST_POSTGRES:
        raise DumpError(
            f"The {place(connection)} is PostgreSQL {connection.info.server_version // 10000}: restore into 15 or newer."
        )


def _require_alone(connection: Connection) -> None:
    deadline = time.monotonic() + LEAVING_S
    while others := _number(connection.execute(_OTHERS).fetchone()):
        if time.monotonic() > deadline:
            raise DumpError(
                f"Thumbrank is connected to the {place(connection)} {others} more time{'s' if others > 1 else ''}: "
                "stop Dagster and every other command on it, and restore again."
            )
        time.sleep(0.1)


def _hold(connection: Connection, *, replace: bool) -> None:
    """Take every table, so that nobody writes a row that we have not looked at."""
    shapes = read_shapes(connection)
    if shapes:
        tables = sql.SQL(", ").join(of_schema(table) for table in shapes)
        connection.execute(sql.SQL("lock table {} in access exclusive mode").format(tables))
    for table in shapes:
        if replace or table == MIGRATIONS_TABLE:
            continue
        if _scalar(connection, "select exists (select from {})::int", table):
            raise DumpError(
                f"The {place(connection)} has rows in thumbrank.{table}: restore into an empty database, "
                "or add --replace to remove them first."
            )


def _make_schema(connection: Connection, manifest: DumpManifest, files: Sequence[Migration]) -> None:
    """The schema as the dump's migrations made it, empty."""
    before = _outside(connection)
    connection.execute("drop schema if exists thumbrank cascade")
    if gone := before.items() - _outside(connection).items():
        # A view and its columns go together: one name is enough to begin with.
        _, name = min((kind, name) for (kind, _), name in gone)
        raise DumpError(
            f"{name} in the {place(connection)} is made of thumbrank's tables and would go with them: "
            "drop it, restore, and make it again."
        )
    connection.execute(CREATE_TABLE)
    versions = {migration.version for migration in manifest.migrations}
    for migration in files:
        if migration.version in versions:
            apply_one(connection, migration, files)


def _load(connection: Connection, file: DumpFile) -> None:
    """Every table's rows. References are checked once they are all in: a row at a time they would fill the server's memory."""
    manifest = file.manifest
    shapes = read_shapes(connection)
    _require_same_tables(connection, file, shapes)
    references = connection.execute(_REFERENCES).fetchall()
    triggers = [table for (table,) in connection.execute(_TRIGGERS)]
    for table, name, _ in references:
        connection.execute(f"{table} drop constraint {name}".encode())
    for table in triggers:  # they would change rows on their way in
        connection.execute(f"{table} disable trigger user".encode())
    # Migrations write rows too, in schema_migrations at least; the dump has them as they were.
    connection.execute(sql.SQL("truncate {}").format(sql.SQL(", ").join(of_schema(table) for table in shapes)))
    with track("restoring, MB", manifest.size // MB) as advance:
        for table in manifest.tables:
            _copy_in(connection, file, table, advance)
    with track("checking references", len(references)) as advance:
        for table, name, definition in references:
            connection.execute(f"{table} add constraint {name} {definition}".encode())
            advance(1)
    for table in triggers:
        connection.execute(f"{table} enable trigger user".encode())
    for sequence in manifest.sequences:
        connection.execute(
            "select setval(pg_get_serial_sequence(format('thumbrank.%%I', %s::text), %s), %s, %s)",
            (sequence.table, sequence.column, sequence.last_value, sequence.is_called),
        )


def _require_same_tables(connection: Connection, file: DumpFile, shapes: dict[str, Shape]) -> None:
    """The dump's tables are the schema's, column by column; their order may differ."""
    dumped = {table.name: frozenset(table.columns) for table in file.manifest.tables}
    made = {table: frozenset(shape.columns) for table, shape in shapes.items()}
    different = {table for table in {*dumped, *made} if dumped.get(table) != made.get(table)}
    numbered = {(sequence.table, sequence.column) for sequence in file.manifest.sequences}
    numbers = {(sequence.table, sequence.column) for sequence in read_sequences(connection, shapes)}
    different |= {table for table, _ in numbered ^ numbers}
    if different:
        raise DumpError(
            f"{file.path} has other columns in thumbrank.{min(different)} than its migrations make: "
            "the dumped database was altered by hand; undo that there, and dump it again."
        )


def _copy_in(connection: Connection, file: DumpFile, table: DumpedTable, advance: Callable[[int], None]) -> None:
    statement = sql.SQL("copy {} ({}) from stdin (format binary)").format(
        of_schema(table.name), names_of(table.columns)
    )
    try:
        with connection.cursor() as cursor:
            with cursor.copy(statement) as copy:
                for chunk in in_megabytes(file.chunks(table), advance):
                    copy.write(chunk)
            written = cursor.rowcount
    except (psycopg.DataError, psycopg.IntegrityError) as error:
        raise DumpError(
            f"The rows of {table.name} in {file.path} do not fit the table ({first_line(error)}): "
            "nothing was restored; take another dump."
        ) from None
    if written != table.rows:
        raise DumpError(
            f"{file.path} is damaged ({table.name} has {written} rows and should have {table.rows}): "
            "nothing was restored; take another dump."
        )


def _analyze(connection: Connection) -> None:
    """Rows that nobody has counted yet make slow plans."""
    tables = list(read_shapes(connection))
    with track("counting for the planner", len(tables)) as advance:
        for table in tables:
            connection.execute(sql.SQL("analyze {}").format(of_schema(table)))
            advance(1)


def _outside(connection: Connection) -> dict[tuple[int, int], str]:
    return {(kind, oid): name for kind, oid, name in connection.execute(_OUTSIDE)}


def _scalar(connection: Connection, statement: LiteralString, table: str) -> int:
    return _number(connection.execute(sql.SQL(statement).format(of_schema(table))).fetchone())


def _number(row: tuple[Any, ...] | None) -> int:
    assert row is not None, "the statement returns one row"
    return int(row[0])


@contextmanager
def _explained(where: str, file: DumpFile) -> Generator[None]:
    try:
        yield
    except psycopg.errors.LockNotAvailable:
        raise DumpError(
            f"Somebody works with the tables of the {where}: stop Dagster and every other command on it, and restore again; "
            "nothing was changed."
        ) from None
    except psycopg.errors.InsufficientPrivilege as error:
        raise DumpError(
            f"The {where} does not let this user make the schema anew ({first_line(error)}): "
            "restore as the owner of its schema thumbrank, who may create schemas; nothing was changed."
        ) from None
    except psycopg.errors.DiskFull:
        raise DumpError(f"The disk of the {where} is full: free space there; nothing was changed.") from None
    except psycopg.IntegrityError as error:
        raise DumpError(
            f"The rows in {file.path} do not fit together ({first_line(error)}): nothing was restored; take another dump."
        ) from None
    except psycopg.OperationalError as error:
        raise DumpError(
            f"The {where} ended the restore ({first_line(error)}): see that it runs, and restore again; nothing was changed."
        ) from None
