"""The picture store: content-addressed, so that a picture is kept once, is never changed, and is checked when read.

What belongs here: pictures by their sha256. What can be told of one picture is picture.py, where bytes lie is blobs.py.
"""

import hashlib
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path

from thumbrank_core.store.blobs import open_blobs
from thumbrank_core.store.picture import Picture, PictureError, inspect


def name_of(sha256: bytes) -> str:
    """The name of a picture in the store: `ab/abcdef…`, 64 hexadecimal figures in one of 256 folders."""
    figures = sha256.hex()
    return f"{figures[:2]}/{figures}"


class ImageStore:
    """Pictures named by their sha256, in a folder or behind any fsspec URL; safe to share between threads.

    Args:
        place: a folder, or a URL such as s3://bucket/prefix. Nothing is made before the first picture is kept.

    Raises:
        BlobError: the place is not usable; also from every method, when the disk is full or the store does not answer.
    """

    def __init__(self, place: str | Path) -> None:
        self._blobs = open_blobs(place)

    @property
    def place(self) -> str:
        """Where the pictures are, as a person would write it; it holds no secret."""
        return self._blobs.place

    def put(self, data: bytes) -> Picture:
        """Check and keep a picture.

        Raises:
            PictureError: it is not usable; nothing is written.
        """
        picture = inspect(data)
        self._blobs.write(name_of(picture.sha256), data)
        return picture

    def read(self, sha256: bytes) -> bytes:
        """The bytes of a kept picture.

        Raises:
            PictureError: `file_missing`: it is not there; `file_changed`: it is not what its name says.
        """
        try:
            data = self._blobs.read(name_of(sha256))
        except FileNotFoundError:
            raise PictureError("file_missing", f"the picture {sha256.hex()[:12]} is not in {self.place}.") from None
        if hashlib.sha256(data).digest() != sha256:
            raise PictureError(
                "file_changed", f"the picture {sha256.hex()[:12]} in {self.place} is not what its name says."
            )
        return data

    def exists(self, sha256: bytes) -> bool:
        """Whether the picture is kept; its content is not read."""
        return self._blobs.exists(name_of(sha256))

    def delete(self, sha256s: Iterable[bytes]) -> int:
        """Remove pictures for good; how many. An object store counts those that it did not have, too: it does not tell."""
        return self._blobs.delete(name_of(sha256) for sha256 in sha256s)

    def known(self, before: datetime) -> Iterator[bytes]:
        """The digests of the pictures written before that time, whether or not a row names them.

        A picture is kept shortly before its row is committed: what is to be removed for lack of a row must be older
        than any running fetch.
        """
        return (bytes.fromhex(name.partition("/")[2]) for name in self._blobs.names(before))
