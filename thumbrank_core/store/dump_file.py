"""The file of a dump: a zip with one stream of rows a table, and a manifest with the sha256 of each.

What belongs here: writing it whole or not at all, and reading it with every byte checked. How rows come out of Postgres
is dump.py, how they go in again is restore.py.

The file holds data and nothing else: no statement of it is ever executed, so that a file from elsewhere can be wrong but
not dangerous. The schema comes from sql/migrations, whose checksums the manifest names.
"""

import errno
import fcntl
import hashlib
import json
import os
import zipfile
import zlib
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import IO, Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from thumbrank_core.progress import Advance, track
from thumbrank_core.store.errors import StoreError
from thumbrank_core.store.files import to_disk

FORMAT = "thumbrank dump"
VERSION = 1
MB = 1_000_000

_MANIFEST = "manifest.json"
_MANIFEST_LIMIT = 16 * MB
_CHUNK = 1 << 20
_LEVEL = 1  # higher ones cost several times the time for a tenth of the size
_DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError)
"""What zipfile says of a file that is cut off, changed, encrypted or packed as ours never are."""


class DumpError(StoreError):
    """A dump cannot be made, read or restored."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")


Count = Annotated[int, Field(ge=0)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class DumpedMigration(_Part):
    """A migration that was applied to the database."""

    version: str
    name: str
    checksum: Sha256


class DumpedColumn(_Part):
    """A column and its Postgres type by name; a domain goes by its base type."""

    name: str
    type: str


class DumpedTable(_Part):
    """A table's rows: `size` and `sha256` are of the stream as COPY gave it, before it was packed."""

    name: str
    columns: tuple[DumpedColumn, ...]
    rows: Count
    size: Count
    sha256: Sha256


class DumpedSequence(_Part):
    """Where the numbers of a column go on."""

    table: str
    column: str
    last_value: int
    is_called: bool


class DumpManifest(_Part):
    """What a dump holds. `dumped_at` is the moment of which all of its rows are, by the server's clock."""

    format: Literal["thumbrank dump"]
    format_version: Literal[1]
    dumped_at: datetime
    postgres: int
    migrations: tuple[DumpedMigration, ...]
    tables: tuple[DumpedTable, ...]
    sequences: tuple[DumpedSequence, ...]

    @property
    def rows(self) -> int:
        """Rows of all tables."""
        return sum(table.rows for table in self.tables)

    @property
    def size(self) -> int:
        """Bytes of all streams, unpacked."""
        return sum(table.size for table in self.tables)


class DumpWriter:
    """A dump that is being written; new_dump makes it."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive

    def add(self, table: str, chunks: Iterable[bytes], *, packed: bool) -> tuple[int, str]:
        """Write a table's stream; gives its size and sha256. `packed` False: for what does not compress."""
        # A bare ZipInfo is stored as it is; a name takes the archive's compression.
        entry = _member(table) if packed else zipfile.ZipInfo(_member(table))
        digest, size = hashlib.sha256(), 0
        with self._archive.open(entry, "w", force_zip64=True) as member:
            for chunk in chunks:
                digest.update(chunk)
                size += len(chunk)
                member.write(chunk)
        return size, digest.hexdigest()

    def finish(self, manifest: DumpManifest) -> None:
        """Write the manifest, last, when everything is known."""
        self._archive.writestr(_MANIFEST, manifest.model_dump_json(indent=1))


@contextmanager
def new_dump(path: Path) -> Generator[DumpWriter]:
    """A new file, private to its owner, that takes its name when the block has ended well, and is gone otherwise.

    Raises:
        DumpError: there is such a file already, another dump writes it, or the place cannot be written.
    """
    part = path.with_name(path.name + ".part")
    _refuse_existing(path)
    try:
        with _opened_alone(part) as file:
            try:
                with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=_LEVEL) as archive:
                    yield DumpWriter(archive)
                file.flush()
                os.fsync(file.fileno())
                _refuse_existing(path)
                part.rename(path)
                to_disk(path.parent)
            except BaseException:
                with suppress(FileNotFoundError):
                    part.unlink()
                raise
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DumpError(
                f"The disk that holds {path.parent} is full: free space there, or name a file on another disk."
            ) from None
        raise DumpError(
            f"{path} cannot be written ({error.strerror or type(error).__name__}): name a file in a folder that can."
        ) from None


def _refuse_existing(path: Path) -> None:
    if os.path.lexists(path):
        raise DumpError(f"{path} is there already: name another file, or remove it first.")


@contextmanager
def _opened_alone(part: Path) -> Generator[IO[bytes]]:
    """The unfinished file, emptied of what a killed dump left, and locked against a second dump of the same name."""
    handle = os.open(part, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    with os.fdopen(handle, "r+b") as file:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # A dump that ended between our two calls has renamed the file we opened: it is no longer ours to empty.
            alone = os.path.samestat(os.fstat(handle), part.lstat())
        except (BlockingIOError, FileNotFoundError):
            alone = False
        if not alone:
            raise DumpError(f"Another dump writes {part} at this moment: wait for it, or name another file.")
        os.fchmod(handle, 0o600)
        os.ftruncate(handle, 0)
        yield file


class DumpFile:
    """A dump that is read; its manifest is checked when it is opened, its rows by `check` and whenever they are read.

    Raises:
        DumpError: it is no dump, damaged, or written by a newer thumbrank.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._archive = zipfile.ZipFile(path)
        except OSError as error:
            raise DumpError(f"{path} cannot be read ({error.strerror}): correct the path.") from None
        except _DAMAGE:
            raise self._damaged("it is no zip file, or its end is missing") from None
        try:
            self.manifest = self._read_manifest()
        except BaseException:
            self._archive.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._archive.close()

    def check(self) -> None:
        """Read every stream once and compare it with the manifest.

        Raises:
            DumpError: one of them is not what was written; the sentence names its table.
        """
        with track("checking the file, MB", self.manifest.size // MB) as advance:
            for _ in in_megabytes((chunk for table in self.manifest.tables for chunk in self.chunks(table)), advance):
                pass

    def chunks(self, table: DumpedTable) -> Iterator[bytes]:
        """A table's stream in pieces of at most a megabyte.

        Raises:
            DumpError: at the end, when it was not what the manifest says; at once, when it is longer.
        """
        digest, size = hashlib.sha256(), 0
        try:
            with self._archive.open(_member(table.name)) as member:
                while size <= table.size and (chunk := member.read(_CHUNK)):
                    digest.update(chunk)
                    size += len(chunk)
                    yield chunk
        except (*_DAMAGE, KeyError):
            raise self._damaged(f"the rows of {table.name} cannot be read") from None
        except OSError as error:
            raise DumpError(f"{self.path} cannot be read any further ({error.strerror}): copy it here again.") from None
        if size != table.size or digest.hexdigest() != table.sha256:
            raise self._damaged(f"the rows of {table.name} are not those that were dumped")

    def _read_manifest(self) -> DumpManifest:
        try:
            if self._archive.getinfo(_MANIFEST).file_size > _MANIFEST_LIMIT:
                raise self._damaged("its manifest is too long")
            text = self._archive.read(_MANIFEST)
            said: Any = json.loads(text)
        except KeyError:
            raise DumpError(f"{self.path} is no dump of thumbrank: name a file of `thumbrank db dump`.") from None
        except (*_DAMAGE, ValueError, RecursionError):
            raise self._damaged("its manifest cannot be read") from None
        if isinstance(said, dict) and said.get("format") == FORMAT and said.get("format_version") != VERSION:
            raise DumpError(f"{self.path} was written by a newer thumbrank: update thumbrank to restore it.")
        try:
            manifest = DumpManifest.model_validate_json(text)
        except ValidationError:
            raise self._damaged("its manifest is not one") from None
        names = [table.name for table in manifest.tables]
        if len(set(names)) < len(names):
            raise self._damaged("its manifest names a table twice")
        return manifest

    def _damaged(self, what: str) -> DumpError:
        return DumpError(f"{self.path} is damaged ({what}): copy it here again, or take another dump.")


def in_megabytes(chunks: Iterable[bytes], advance: Advance) -> Iterator[bytes]:
    """The same chunks, while whole megabytes of them are told to `advance`."""
    pending = 0
    for chunk in chunks:
        yield chunk
        whole, pending = divmod(pending + len(chunk), MB)
        advance(whole)


def _member(table: str) -> str:
    return f"tables/{table}.copy"
