"""Data out: a niche's videos, pairs and channels as files for other tools, with a manifest that says what they are.

What belongs here: from the documented views (sql/migrations, docs/data-out.md) to files. What does not: what the columns
mean (the views' comments say it, and the manifest repeats them), pictures, models.

Postgres writes CSV and nothing here looks into it, so that a title stays what it is byte for byte; Parquet is the same
stream, read by its columns' types. Rows pass in pieces of PIECE_BYTES, so that memory stays flat however many there are.
"""

import errno
import hashlib
import os
from collections.abc import Callable, Generator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, BinaryIO, Literal, LiteralString

import psycopg
from psycopg import sql
from pydantic import BaseModel, ConfigDict, ValidationError

from thumbrank_core.errors import ThumbrankError
from thumbrank_core.niches import NICHES
from thumbrank_core.progress import track
from thumbrank_core.store.alone import alone_in
from thumbrank_core.store.copy import table_name
from thumbrank_core.store.database import Database
from thumbrank_core.store.versions import Step, data_version

Format = Literal["parquet", "csv"]
FORMATS: tuple[Format, ...] = ("parquet", "csv")

PIECE_BYTES = 2**24
"""So much CSV is held at once; of pairs about 110,000 rows, which is also a row group of the Parquet file."""

MANIFEST = "manifest.json"
_PART = ".part"
_STEPS: tuple[Step, ...] = ("videos", "pictures", "baselines", "pairs")

# One snapshot for all files of a niche, in text that does not depend on the server's or the user's settings. The pairs of a
# large niche take longer than the two minutes that some hosts allow a statement.
_SNAPSHOT: tuple[LiteralString, ...] = (
    "set transaction isolation level repeatable read, read only",
    "set local time zone 'UTC'",
    "set local datestyle to 'ISO'",
    "set local extra_float_digits to 1",
    "set local statement_timeout to 0",
)


class ExportError(ThumbrankError):
    """There is nothing to export, or the folder cannot take it."""


@dataclass(frozen=True)
class _Table:
    """One file of an export: its name without ending, the view it is of, and how many rows that has of a niche.

    `order`: the view's columns that order the file; empty where sorting millions of rows would serve nobody.
    """

    name: str
    view: str
    count: LiteralString
    order: tuple[str, ...] = ()


_TABLES = (
    _Table(
        "videos",
        "thumbrank.videos",
        "select count(*) from thumbrank.thumbnails join thumbrank.channels c using (channel_key) where c.niche = %s",
        ("channel_id", "video_id"),
    ),
    _Table("pairs", "thumbrank.pairs", "select count(*) from thumbrank.training_pairs where niche = %s"),
    _Table(
        "channels",
        "thumbrank.channels_with_baselines",
        "select count(*) from thumbrank.channels where niche = %s",
        ("channel_id",),
    ),
)

# Of the API is what expires, and, should a writer have forgotten the date, what its source says.
_OF_API: LiteralString = (
    "select count(*)::int, min(coalesce(expires_at, fetched_at + make_interval(days => %(days)s))) from ("
    "select source, fetched_at, expires_at from thumbrank.videos where niche = %(niche)s union all "
    "select source, fetched_at, expires_at from thumbrank.channels_with_baselines where niche = %(niche)s) r "
    "where expires_at is not null or source = 'youtube_api'"
)


class ExportedFile(BaseModel):
    """One file beside the manifest. `columns`: name -> what it means, in the file's order."""

    model_config = ConfigDict(frozen=True)

    rows: int
    bytes: int
    sha256: str
    columns: dict[str, str]


class ExportManifest(BaseModel):
    """What an export of one niche is. It is written last: files without it are of an export that did not end.

    `data_version`: step -> 16 hexadecimal figures, equal for equal rows (store/versions.py). `label`, `as_of`, `cut`: what
    the pairs compare, the newest counts in them and where the time holdout begins; None without pairs. `api_rows`: videos
    and channels with data of the YouTube API, and when the first of it has to be refreshed or deleted.
    """

    model_config = ConfigDict(frozen=True)

    niche: str
    format: Format
    exported_at: datetime
    thumbrank_version: str
    data_version: dict[str, str]
    label: str | None
    as_of: datetime | None
    cut: datetime | None
    api_rows: int
    delete_or_refresh_by: datetime | None
    files: dict[str, ExportedFile]


@dataclass(frozen=True)
class _Column:
    name: str
    type: str
    meaning: str


def niches_to_export(database: Database, wanted: Sequence[str]) -> list[str]:
    """Those of `wanted` (none: every niche), in the frozen order.

    Raises:
        ExportError: one of `wanted` has no video, or nothing has.
    """
    with database.connection() as connection:
        rows = connection.execute(
            "select distinct c.niche::text from thumbrank.channels c "
            "where exists (select from thumbrank.thumbnails t where t.channel_key = c.channel_key)"
        ).fetchall()
    stored = {str(niche) for (niche,) in rows}
    for niche in wanted:
        if niche not in stored:
            raise ExportError(
                f"No video of niche {niche} is stored, so there is nothing to export: bring some in with "
                f"`thumbrank collect --niche {niche}` or `thumbrank import`."
            )
    if not stored:
        raise ExportError(
            "No video is stored, so there is nothing to export: bring some in with `thumbrank collect` or `thumbrank import`."
        )
    return [niche for niche in NICHES if niche in (wanted or stored)]


def export_niche(
    database: Database, niche: str, folder: Path, file_format: Format, retention_days: int
) -> ExportManifest:
    """Write `folder`/{videos,pairs,channels}.{parquet|csv} and the manifest, all of one moment; replaces what is there.

    Every file is written beside its name and takes it once all of them are whole; a run that is ended before leaves none.

    Args:
        database: a migrated database.
        niche: a niche key.
        folder: made where it is not there.
        file_format: `parquet` or `csv`.
        retention_days: how long API data stays (policy retention.days), for rows that carry no date.

    Raises:
        ExportError: the folder is a file, full, not writable, or another export is writing it.
    """
    with _explained(folder):
        folder.mkdir(parents=True, exist_ok=True)
        busy = ExportError(f"Another export is writing to {folder}: wait for it, or name another folder with --out.")
        with alone_in(folder, busy):
            names = [f"{table.name}.{file_format}" for table in _TABLES]
            try:
                manifest = _write_parts(database, niche, folder, file_format, retention_days)
                _take_names(folder, [*names, MANIFEST])
            finally:
                for name in [*names, MANIFEST]:
                    (folder / (name + _PART)).unlink(missing_ok=True)
    return manifest


def _write_parts(
    database: Database, niche: str, folder: Path, file_format: Format, retention_days: int
) -> ExportManifest:
    files: dict[str, ExportedFile] = {}
    with database.connection() as connection:
        _begin_snapshot(connection, niche)
        for table in _TABLES:
            name = f"{table.name}.{file_format}"
            files[name] = _write_table(connection, table, niche, folder / (name + _PART), file_format)
        build = connection.execute(
            "select label, as_of, cut from thumbrank.pair_builds where niche = %s", (niche,)
        ).fetchone()
        label, as_of, cut = build or (None, None, None)
        of_api = connection.execute(_OF_API, {"niche": niche, "days": retention_days}).fetchone()
        assert of_api is not None, "an aggregate without group by returns one row"
        manifest = ExportManifest(
            niche=niche,
            format=file_format,
            exported_at=datetime.now(UTC),
            thumbrank_version=version("thumbrank"),
            data_version={step: data_version(connection, step, niche) for step in _STEPS},
            label=label,
            as_of=as_of,
            cut=cut,
            api_rows=of_api[0],
            delete_or_refresh_by=of_api[1],
            files=files,
        )
    with _whole_file(folder / (MANIFEST + _PART)) as file:
        file.write(manifest.model_dump_json(indent=2).encode() + b"\n")
    return manifest


def _begin_snapshot(connection: psycopg.Connection, niche: str) -> None:
    """Let everything that follows in the transaction be of one moment.

    A rebuild swaps the table of the niche's pairs for another, which a snapshot made before would see empty: the lock, which
    readers do not feel, lets a swap that has begun end and a later one wait. The snapshot is made by the first query.
    """
    for statement in _SNAPSHOT:
        connection.execute(statement)
    pairs = table_name(f"thumbrank.training_pairs_{niche}")
    connection.execute(sql.SQL("lock table {} in access share mode").format(pairs))


def _write_table(
    connection: psycopg.Connection, table: _Table, niche: str, path: Path, file_format: Format
) -> ExportedFile:
    columns = _columns_of(connection, table.view)
    count = connection.execute(table.count, (niche,)).fetchone()
    assert count is not None, "an aggregate without group by returns one row"
    rows = 0
    with (
        track(f"{niche}: exporting {table.name}", count[0]) as advance,
        _whole_file(path) as file,
        _writer(file, columns, file_format) as write,
        closing(_pieces(connection, _statement(table, columns, niche))) as pieces,
    ):
        for number, piece in pieces:
            write(piece)
            rows += number
            advance(number)
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return ExportedFile(
        rows=rows, bytes=path.stat().st_size, sha256=digest, columns={c.name: c.meaning for c in columns}
    )


def _columns_of(connection: psycopg.Connection, view: str) -> list[_Column]:
    """The view's columns in their order, each with its base type and its comment."""
    rows = connection.execute(
        "select a.attname::text, format_type(case when t.typtype = 'd' then t.typbasetype else t.oid end, null), "
        "coalesce(col_description(a.attrelid, a.attnum), '') from pg_attribute a join pg_type t on t.oid = a.atttypid "
        "where a.attrelid = %s::regclass and a.attnum > 0 and not a.attisdropped order by a.attnum",
        (view,),
    ).fetchall()
    return [_Column(*row) for row in rows]


def _statement(table: _Table, columns: Sequence[_Column], niche: str) -> sql.Composed:
    # As text a truth value is true or false; COPY alone writes t or f, which few tools read.
    selected = sql.SQL(", ").join(
        sql.SQL("{}::text").format(sql.Identifier(c.name)) if c.type == "boolean" else sql.Identifier(c.name)
        for c in columns
    )
    order = sql.SQL(", ").join(sql.SQL('{} collate "C"').format(sql.Identifier(name)) for name in table.order)
    return sql.SQL("copy (select {} from {} where niche = {}{}) to stdout (format csv, encoding 'UTF8')").format(
        selected,
        table_name(table.view),
        sql.Literal(niche),
        sql.SQL(" order by {}").format(order) if table.order else sql.SQL(""),
    )


def _pieces(connection: psycopg.Connection, statement: sql.Composed) -> Generator[tuple[int, bytes]]:
    """CSV in pieces of about PIECE_BYTES that end with a row, each with its number of rows.

    A message of the server is one row ("CopyData" in Postgres' message formats), quoted line ends included.
    """
    piece, rows = bytearray(), 0
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        for row in copy:
            piece += row
            rows += 1
            if len(piece) >= PIECE_BYTES:
                yield rows, bytes(piece)
                piece.clear()
                rows = 0
    if rows:
        yield rows, bytes(piece)


@contextmanager
def _writer(file: BinaryIO, columns: Sequence[_Column], file_format: Format) -> Generator[Callable[[bytes], object]]:
    """What takes pieces of CSV and writes them in the format asked for."""
    if file_format == "csv":
        file.write(",".join(column.name for column in columns).encode() + b"\n")
        yield file.write
        return
    import pyarrow.parquet as pq

    schema = _schema(columns)
    with pq.ParquetWriter(file, schema, compression="zstd") as writer:
        yield lambda piece: writer.write_table(_table_of(piece, schema))


def _schema(columns: Sequence[_Column]) -> Any:
    """The columns' Arrow types, each with its meaning beside it: a Parquet file then says itself what it holds."""
    import pyarrow as pa

    types = {
        "text": pa.string(),
        "smallint": pa.int16(),
        "integer": pa.int32(),
        "bigint": pa.int64(),
        "real": pa.float32(),
        "double precision": pa.float64(),
        "boolean": pa.bool_(),
        "timestamp with time zone": pa.timestamp("us", tz="UTC"),
    }
    return pa.schema([pa.field(c.name, types[c.type], metadata={"description": c.meaning}) for c in columns])


def _table_of(piece: bytes, schema: Any) -> Any:
    """Rows of CSV as Postgres writes it: null is nothing, the empty text is "", quoted text may hold line ends."""
    import pyarrow as pa
    from pyarrow import csv

    table = csv.read_csv(
        pa.BufferReader(piece),
        # One block: a row may be longer than the reader's usual ones.
        read_options=csv.ReadOptions(column_names=schema.names, block_size=len(piece) + 1),
        parse_options=csv.ParseOptions(newlines_in_values=True),
        convert_options=csv.ConvertOptions(
            column_types=schema, null_values=[""], strings_can_be_null=True, quoted_strings_can_be_null=False
        ),
    )
    return pa.table(table.columns, schema=schema)


@contextmanager
def _whole_file(path: Path) -> Generator[BinaryIO]:
    """A file that is on the disk when the block ends."""
    with path.open("wb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())


def _take_names(folder: Path, names: Sequence[str]) -> None:
    """Give the parts their names, the manifest last, and remove what an earlier export left in another format.

    The old manifest goes first: one that is there always describes what lies beside it.
    """
    manifest = folder / MANIFEST
    try:
        earlier = ExportManifest.model_validate_json(manifest.read_bytes()).files
    except (FileNotFoundError, ValidationError):
        earlier = {}
    manifest.unlink(missing_ok=True)
    ours = {f"{table.name}.{file_format}" for table in _TABLES for file_format in FORMATS}
    for name in ours.intersection(earlier).difference(names):
        (folder / name).unlink(missing_ok=True)
    for name in names:
        (folder / (name + _PART)).replace(folder / name)


@contextmanager
def _explained(folder: Path) -> Generator[None]:
    """Errors of the disk as one sentence."""
    try:
        yield
    except (FileExistsError, NotADirectoryError):
        raise ExportError(f"{folder} is a file or lies below one: name a folder with --out.") from None
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise ExportError(
                f"The disk that holds {folder} is full: free space there, or name a folder on another one with --out; "
                "no half-written file is left."
            ) from None
        raise ExportError(
            f"{folder} cannot be written ({error.strerror or error}): mend that, or name another folder with --out."
        ) from None
