"""Named bytes in a folder, or behind any fsspec URL such as s3://bucket/prefix. What the bytes are is no business of this
module.

Credentials come from the environment, as the URL's own library reads them (for s3: AWS_ACCESS_KEY_ID,
AWS_SECRET_ACCESS_KEY, AWS_ENDPOINT_URL); a URL that carries any is refused without being repeated.
"""

import os
import re
import time
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol
from uuid import uuid4

from thumbrank_core.batches import batched
from thumbrank_core.errors import ThumbrankError

PARTS = ".part"
"""The folder of files that are being written."""
PART_SECONDS = 3600
"""A file that is being written for longer was left behind by a process that was killed."""
DELETED_AT_ONCE = 1000
"""What S3 deletes in one request."""

# What is read is checked against its sha256, and not every S3 of another maker understands Amazon's newer checksums.
_CHECKSUMS = {"request_checksum_calculation": "when_required", "response_checksum_validation": "when_required"}
_S3 = ("s3", "s3a")


class BlobError(ThumbrankError):
    """A place that is not usable: one sentence with the place and the mend, no secret."""


class Blobs(Protocol):
    """A place for named bytes. Names have the form `ab/abcdef…`; the same name always has the same bytes."""

    @property
    def place(self) -> str:
        """What a person calls it."""
        ...

    def write(self, name: str, data: bytes) -> None:
        """Keep `data` whole or not at all; BlobError where that cannot be."""
        ...

    def read(self, name: str) -> bytes:
        """The bytes; FileNotFoundError where there are none, BlobError where the place does not answer."""
        ...

    def exists(self, name: str) -> bool:
        """Whether there are bytes of this name."""
        ...

    def delete(self, names: Iterable[str]) -> int:
        """Remove them; how many. Object stores do not tell what was absent from what was removed: both count there."""
        ...

    def names(self, before: datetime) -> Iterator[str]:
        """The names of what was written before that time."""
        ...


def open_blobs(place: str | Path) -> Blobs:
    """The place that a path or an fsspec URL names; nothing is opened or made yet.

    Raises:
        BlobError: the URL carries credentials or parameters, names nothing, or needs a package that is not installed.
    """
    scheme, separator, rest = str(place).partition("://")
    if not separator:
        if not isinstance(place, Path) and re.match(r"[A-Za-z][A-Za-z0-9+.-]+:", place):
            raise BlobError("THUMBRANK_IMAGES is neither a folder nor a URL such as s3://bucket/prefix: mend it.")
        return Folder(Path(place).expanduser().absolute())
    if scheme.lower() == "file":
        if not rest.startswith("/"):
            raise BlobError("THUMBRANK_IMAGES names a folder without its root: write file:///folder.")
        return Folder(Path(rest))
    # A secret may itself contain "/", so that no part of the URL may have an @.
    if not re.fullmatch(r"[A-Za-z0-9+.-]+", scheme) or re.search(r"[@?#*\[\]\s]|::", rest):
        raise BlobError(
            "THUMBRANK_IMAGES carries credentials, parameters or wildcards: name only the place, such as s3://bucket/prefix, "
            "and set AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_ENDPOINT_URL in the environment."
        )
    if not rest.strip("/"):
        raise BlobError("THUMBRANK_IMAGES names no place: write file:///folder or s3://bucket/prefix.")
    return Remote(scheme.lower(), rest.rstrip("/"))


class Folder:
    """A folder of this machine. A file appears under its name complete: it is written beside and then renamed."""

    def __init__(self, root: Path) -> None:
        self._root = root

    @property
    def place(self) -> str:
        """The folder."""
        return str(self._root)

    def write(self, name: str, data: bytes) -> None:
        """Keep `data`. Where a file of that name and length is there, it counts as written now: somebody needs it."""
        target = self._root / name
        part = self._root / PARTS / uuid4().hex
        with self._explained("written"):
            if _renewed(target, len(data)):
                return
            try:
                _create(part, data)
                _move(part, target)
            except BaseException:
                part.unlink(missing_ok=True)
                raise

    def read(self, name: str) -> bytes:
        """The bytes; FileNotFoundError where there are none."""
        try:
            return (self._root / name).read_bytes()
        except FileNotFoundError:
            raise
        except OSError as error:
            raise self._error("read", error) from None

    def exists(self, name: str) -> bool:
        """Whether there is such a file."""
        return (self._root / name).is_file()

    def delete(self, names: Iterable[str]) -> int:
        """Remove files, and what killed processes left half written; how many of `names` there were."""
        removed = 0
        with self._explained("written"):
            for name in names:
                try:
                    (self._root / name).unlink()
                    removed += 1
                except FileNotFoundError:
                    continue
            self._sweep()
        return removed

    def names(self, before: datetime) -> Iterator[str]:
        """Names of files last written before that time, folder by folder."""
        with self._explained("read"):
            folders = sorted(self._root.glob("[0-9a-f][0-9a-f]"))
            for folder in folders:
                for file in sorted(folder.iterdir()):
                    if (written := _written_at(file)) is not None and written < before.timestamp():
                        yield f"{folder.name}/{file.name}"

    def _sweep(self) -> None:
        for part in (self._root / PARTS).glob("*"):
            if (written := _written_at(part)) is not None and written < time.time() - PART_SECONDS:
                part.unlink(missing_ok=True)

    @contextmanager
    def _explained(self, doing: str) -> Generator[None]:
        try:
            yield
        except OSError as error:
            raise self._error(doing, error) from None

    def _error(self, doing: str, error: OSError) -> BlobError:
        return BlobError(
            f"The picture store {self._root} cannot be {doing} ({error.strerror or type(error).__name__}): "
            "free space there or mend its permissions, or set THUMBRANK_IMAGES to another place."
        )


def _create(path: Path, data: bytes) -> None:
    try:
        file = path.open("xb")
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("xb")
    with file:
        file.write(data)


def _move(path: Path, target: Path) -> None:
    try:
        path.replace(target)
    except FileNotFoundError:  # the first file of its folder
        target.parent.mkdir(exist_ok=True)
        path.replace(target)


def _renewed(path: Path, size: int) -> bool:
    try:
        if path.stat().st_size != size:
            return False
        with suppress(PermissionError):  # another account's file, which serves as well
            os.utime(path)
    except FileNotFoundError:
        return False
    return True


def _written_at(path: Path) -> float | None:
    """Seconds since 1970; None where another process has removed the file meanwhile."""
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return None


class Remote:
    """An object store behind fsspec. Its writes are whole or not at all by nature, so each is one request."""

    def __init__(self, scheme: str, rest: str) -> None:
        import fsspec

        self.place = f"{scheme}://{rest}"
        # The scheme's own caches would hide what other processes write, and credentials that changed.
        options: dict[str, Any] = {"use_listings_cache": False, "skip_instance_cache": True}
        if scheme in _S3:
            options["config_kwargs"] = _CHECKSUMS
        try:
            self._files, self._root = fsspec.url_to_fs(self.place, **options)  # pyright: ignore[reportPrivateImportUsage]
        except ImportError:
            extra = "pip install 'thumbrank[s3]'" if scheme in _S3 else f"fsspec's package for {scheme}"
            raise BlobError(f"Pictures in {scheme}:// need a package that is not installed: {extra}.") from None
        except ValueError:
            raise BlobError(
                f"THUMBRANK_IMAGES begins with {scheme}://, which fsspec does not know: use a folder, or s3://bucket/prefix."
            ) from None
        self._failures = _failures(scheme)

    def write(self, name: str, data: bytes) -> None:
        """Put `data`, also where it is already: asking first would cost more requests than it saves."""
        with self._explained("written"):
            self._files.pipe_file(f"{self._root}/{name}", data)

    def read(self, name: str) -> bytes:
        """The bytes; FileNotFoundError where there are none."""
        try:
            return bytes(self._files.cat_file(f"{self._root}/{name}"))
        except FileNotFoundError:
            raise
        except self._failures as error:
            raise self._error("read", error) from None

    def exists(self, name: str) -> bool:
        """Whether there is such an object."""
        with self._explained("read"):
            return bool(self._files.exists(f"{self._root}/{name}"))

    def delete(self, names: Iterable[str]) -> int:
        """Remove objects, a thousand a request."""
        removed = 0
        with self._explained("written"):
            for batch in batched(names, DELETED_AT_ONCE):
                paths = [f"{self._root}/{name}" for name in batch]
                try:
                    self._files.rm(paths)
                    removed += len(paths)
                except FileNotFoundError:  # a store that does tell; it may have stopped half way
                    removed += sum(self._delete_one(path) for path in paths)
        return removed

    def names(self, before: datetime) -> Iterator[str]:
        """Names of objects written before that time; a listing for each of the 256 folders, so that none is large."""
        with self._explained("read"):
            for folder in sorted(self._list(self._root)):
                for path, entry in self._list(folder).items():
                    if (written := _entry_time(entry)) is not None and written < before:
                        yield "/".join(path.split("/")[-2:])

    def _list(self, folder: str) -> dict[str, dict[str, Any]]:
        try:
            return {entry["name"]: entry for entry in self._files.ls(folder, detail=True)}
        except FileNotFoundError:  # nothing has been written there
            return {}

    def _delete_one(self, path: str) -> bool:
        try:
            self._files.rm_file(path)
        except FileNotFoundError:
            return False
        return True

    @contextmanager
    def _explained(self, doing: str) -> Generator[None]:
        try:
            yield
        except self._failures as error:
            raise self._error(doing, error) from None

    def _error(self, doing: str, error: Exception) -> BlobError:
        name = type(error).__name__
        if isinstance(error, FileNotFoundError):
            why = "there is no such bucket: make it, or correct THUMBRANK_IMAGES"
        elif isinstance(error, PermissionError) or "Credentials" in name:
            why = f"{name}: check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and what they may do there"
        else:
            why = f"{name}: check AWS_ENDPOINT_URL, AWS_DEFAULT_REGION and the network"
        return BlobError(f"The picture store {self.place} cannot be {doing} ({why}).")


def _failures(scheme: str) -> tuple[type[Exception], ...]:
    """What the store's own library raises: OSError from all, and botocore's own root from s3."""
    if scheme not in _S3:
        return (OSError, NotImplementedError)
    from botocore.exceptions import BotoCoreError, ClientError

    return (OSError, NotImplementedError, BotoCoreError, ClientError)


def _entry_time(entry: dict[str, Any]) -> datetime | None:
    """When an object was written, under the name that its store has for it; None where it does not say."""
    value = entry.get("LastModified") or entry.get("created") or entry.get("mtime")
    if isinstance(value, int | float):
        return datetime.fromtimestamp(value, UTC)
    return value if isinstance(value, datetime) else None
