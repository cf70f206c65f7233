"""One process at a time writes into a folder; a second one is told, and does not wait for who knows how long."""

import fcntl
import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from thumbrank_core.errors import ThumbrankError


@contextmanager
def alone_in(folder: Path, busy: ThumbrankError) -> Generator[None]:
    """A lock on the folder itself, which the system lets go of when its holder dies.

    Args:
        folder: it must be there.
        busy: raised where another process holds it.
    """
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise busy from None
        yield
    finally:
        os.close(handle)
