"""Forward-only migrations: plain SQL files, applied once each, in order.

What belongs here: the runner. The files are in sql/migrations, named `<UTC timestamp>_<slug>.sql` as the Supabase
command line also names them. There is no way back: a mistake is mended by the next file.

Each file is one transaction that first takes a transaction-level lock, so concurrent runs apply each file once and it
also works behind a transaction pooler, which keeps no session.
"""

import hashlib
import re
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

import psycopg

from thumbrank_core.store.database import Connection, connect
from thumbrank_core.store.errors import MigrationError

_LOCK = 0x7468756D62  # "thumb"
_FILE_NAME = re.compile(r"(\d{14})_([a-z0-9]+(?:_[a-z0-9]+)*)\.sql")
_TRANSACTION = re.compile(r"^(begin|commit|rollback|start transaction)( work| transaction)? *;", re.I | re.M)
CREATE_TABLE = """
create schema if not exists thumbrank;
create table if not exists thumbrank.schema_migrations (
    version    text primary key,
    name       text not null,
    checksum   text not null,
    applied_at timestamptz not null default now()
);
comment on table thumbrank.schema_migrations is 'Which files of sql/migrations were applied, with the sha256 of each.'
"""


@dataclass(frozen=True)
class Migration:
    """One file: `version` is its UTC timestamp, `checksum` the sha256 of its text with line ends as \\n."""

    version: str
    name: str
    checksum: str
    text: str

    @property
    def file_name(self) -> str:
        """The file's name in the folder."""
        return f"{self.version}_{self.name}.sql"


@dataclass(frozen=True)
class MigrationStatus:
    """One version and how file and database agree on it.

    `changed`: applied, and the file has another text now. `unknown`: applied, and there is no such file.
    """

    version: str
    name: str
    state: Literal["applied", "pending", "changed", "unknown"]
    applied_at: datetime | None


@dataclass(frozen=True)
class Applied:
    """A migration as the database remembers it."""

    name: str
    checksum: str
    applied_at: datetime


def migrate(url_or_conn: str | Connection, folder: Path, *, dry_run: bool = False) -> list[Migration]:
    """Apply every file of `folder` that the database does not have yet; gives those (with `dry_run`: that it would).

    Args:
        url_or_conn: a URL, or a connection with no transaction open.
        folder: the migrations.
        dry_run: look, write nothing.

    Raises:
        MigrationError: a file that cannot go in (see `read_folder`), was changed after it was applied, fails, or is
            older than one applied; or a database newer than the folder. Files applied before it stay.
        DatabaseUnreachable: no connection.
    """
    files = read_folder(folder)
    with _opened(url_or_conn) as conn:
        if dry_run:
            with conn.transaction():
                return pending_of(files, read_applied(conn))
        with conn.transaction():
            hold_lock(conn)
            conn.execute(CREATE_TABLE)
            pending = pending_of(files, read_applied(conn))
        return [file for file in pending if apply_one(conn, file, files)]


def status(url_or_conn: str | Connection, folder: Path) -> list[MigrationStatus]:
    """Every version that the folder or the database knows, in order; writes nothing.

    Raises:
        MigrationError: a file that cannot go in (see `read_folder`).
        DatabaseUnreachable: no connection.
    """
    files = {file.version: file for file in read_folder(folder)}
    with _opened(url_or_conn) as conn, conn.transaction():
        applied = read_applied(conn)
    return [_status_of(version, files.get(version), applied.get(version)) for version in sorted({*files, *applied})]


def read_folder(folder: Path) -> list[Migration]:
    """The migrations of a folder, oldest first; files that do not end in .sql are not looked at.

    Raises:
        MigrationError: no folder, no file, a name that is not `<UTC timestamp>_<slug>.sql`, or a version used twice.
    """
    if not folder.is_dir():
        raise MigrationError(
            f"The folder of migrations {folder} does not exist: reinstall thumbrank, or correct the path."
        )
    found: dict[str, Migration] = {}
    for path in sorted(folder.glob("*.sql")):
        migration = _read_file(path)
        if migration.version in found:
            raise MigrationError(
                f"{found[migration.version].file_name} and {path.name} have the same version: "
                "give one of them another timestamp."
            )
        found[migration.version] = migration
    if not found:
        raise MigrationError(f"The folder {folder} holds no migration: reinstall thumbrank, or correct the path.")
    return [found[version] for version in sorted(found)]


def _read_file(path: Path) -> Migration:
    parts = _FILE_NAME.fullmatch(path.name)
    if parts is None or not _is_timestamp(parts[1]):
        raise MigrationError(
            f"{path.name} is no name for a migration: call it <UTC timestamp, 14 digits>_<lower_case_words>.sql, "
            "such as 20260131120000_add_reach.sql."
        )
    try:
        text = path.read_bytes().decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError:
        raise MigrationError(f"{path.name} is not UTF-8 text: save it as UTF-8.") from None
    statement = _TRANSACTION.search(text)
    if statement is not None:
        raise MigrationError(
            f"{path.name} has {statement[0]!r} in it, but each migration is one transaction already: remove that line."
        )
    return Migration(parts[1], parts[2], hashlib.sha256(text.encode()).hexdigest(), text)


def _is_timestamp(digits: str) -> bool:
    try:
        datetime.strptime(f"{digits}+0000", "%Y%m%d%H%M%S%z")
    except ValueError:
        return False
    return True


@contextmanager
def _opened(url_or_conn: str | Connection) -> Generator[Connection]:
    if isinstance(url_or_conn, str):
        with connect(url_or_conn) as conn:
            yield conn
        return
    if url_or_conn.info.transaction_status != psycopg.pq.TransactionStatus.IDLE:
        raise MigrationError("The connection is inside a transaction: commit it before the migrations run.")
    yield url_or_conn


def hold_lock(conn: Connection) -> None:
    """Until the end of the transaction nobody else migrates, nor restores."""
    conn.execute("select pg_advisory_xact_lock(%s)", (_LOCK,))


def read_applied(conn: Connection) -> dict[str, Applied]:
    """What is in the database, by version; nothing where it was never migrated."""
    row = conn.execute("select to_regclass('thumbrank.schema_migrations') is not null").fetchone()
    if row is None or not row[0]:
        return {}
    rows = conn.execute("select version, name, checksum, applied_at from thumbrank.schema_migrations")
    return {version: Applied(name, checksum, applied_at) for version, name, checksum, applied_at in rows}


def pending_of(files: Sequence[Migration], applied: dict[str, Applied]) -> list[Migration]:
    """The files that are not applied yet, in order.

    Raises:
        MigrationError: the folder and the database do not go together.
    """
    known = {file.version: file for file in files}
    for version in sorted(applied):
        file = known.get(version)
        if file is None:
            raise MigrationError(
                f"The database has the migration {version}_{applied[version].name}, "
                "which this version of thumbrank does not know: update thumbrank."
            )
        if file.checksum != applied[version].checksum:
            raise MigrationError(
                f"{file.file_name} was changed after it was applied: "
                "restore its text, and write a new migration for the change."
            )
    pending = [file for file in files if file.version not in applied]
    newest = max(applied, default="")
    if pending and pending[0].version < newest:
        raise MigrationError(
            f"{pending[0].file_name} is older than {newest}, which is applied already: give it a newer timestamp."
        )
    return pending


def apply_one(conn: Connection, file: Migration, files: Sequence[Migration]) -> bool:
    """One file in one transaction; False if another run applied it while we waited for the lock."""
    with conn.transaction():
        hold_lock(conn)
        if file.version not in {pending.version for pending in pending_of(files, read_applied(conn))}:
            return False
        before = _transaction_id(conn)
        try:
            # Bytes: the text is a file's, and without parameters it may hold many statements and any % sign.
            conn.execute(file.text.encode())
        except psycopg.Error as error:
            raise MigrationError(
                f"{file.file_name}{_line(file, error)} failed ({str(error).strip().splitlines()[0]}): "
                "nothing of it was kept; correct the file and migrate again."
            ) from None
        if _transaction_id(conn) != before:
            raise MigrationError(
                f"{file.file_name} ends its own transaction, so part of it may be kept: "
                "take out its COMMIT or ROLLBACK, and undo by hand what it did."
            )
        conn.execute(
            "insert into thumbrank.schema_migrations (version, name, checksum) values (%s, %s, %s)",
            (file.version, file.name, file.checksum),
        )
    return True


def _transaction_id(conn: Connection) -> str:
    row = conn.execute("select pg_current_xact_id()::text").fetchone()
    assert row is not None
    return str(row[0])


def _line(file: Migration, error: psycopg.Error) -> str:
    position = error.diag.statement_position
    return f", line {file.text[: int(position) - 1].count(chr(10)) + 1}," if position else ""


def _status_of(version: str, file: Migration | None, applied: Applied | None) -> MigrationStatus:
    if applied is None:
        assert file is not None
        return MigrationStatus(version, file.name, "pending", None)
    if file is None:
        return MigrationStatus(version, applied.name, "unknown", applied.applied_at)
    state = "applied" if file.checksum == applied.checksum else "changed"
    return MigrationStatus(version, file.name, state, applied.applied_at)
