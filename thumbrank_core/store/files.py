"""A file in place of the last one: all of it or nothing.

What belongs here: writing one local file beside its place and renaming it, so that whoever reads meanwhile, or after a
crash, has the old file or the new one. What does not: files that take their names together (exporting.py), folders
(deployable.py), a file that must never replace another (dump_file.py), names that many write at once (blobs.py).
"""

import os
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

PART = ".part"
"""What is being written has the file's own name and this behind it. A killed process leaves it; the next write takes it over."""


@contextmanager
def replacing(path: Path, *, private: bool = False, durable: bool = False) -> Generator[Path]:
    """The temporary file to write; it takes the place of `path` when the block has ended well, and is gone otherwise.

    One at a time: two that write the same file at once need a lock of their own.

    Args:
        path: its folder must be there.
        private: the temporary file is there already, with mode 0600. Otherwise the block makes it, and the umask rules.
        durable: file and name are on the disk when this returns; otherwise a power cut may still take the new file.

    Raises:
        OSError: the folder is absent, full or not ours, or the block wrote nothing; the old file stays. Also, durable, where the
            new one has its place and the disk did not take its name.
    """
    part = path.with_name(path.name + PART)
    if private:
        part.unlink(missing_ok=True)  # what a killed process left may be open to others
        part.touch(mode=0o600, exist_ok=False)
    try:
        yield part
        if durable:
            to_disk(part)
        part.replace(path)
    except BaseException:
        with suppress(OSError):  # what went wrong before says more
            part.unlink()
        raise
    if durable:
        to_disk(path.parent)


def write_bytes(path: Path, content: bytes, *, durable: bool = False) -> None:
    """Put bytes in place of a file's last ones; `durable` and errors as with `replacing`."""
    with replacing(path, durable=durable) as part:
        part.write_bytes(content)


def write_text(path: Path, text: str, *, private: bool = False, durable: bool = False) -> None:
    """Put text, as UTF-8, in place of a file's last one; `private`, `durable` and errors as with `replacing`."""
    with replacing(path, private=private, durable=durable) as part:
        part.write_text(text, encoding="utf-8")


def to_disk(path: Path) -> None:
    """Wait until a file's content, or the names in a folder, are on the disk.

    Raises:
        OSError: they cannot be written there, or `path` cannot be opened.
    """
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
