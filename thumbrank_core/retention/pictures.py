"""Picture files that no row names: those of a removal, and what a killed run left behind."""

from collections.abc import Callable, Collection
from datetime import UTC, datetime, timedelta

from thumbrank_core.batches import batched
from thumbrank_core.progress import track
from thumbrank_core.store.images import ImageStore

GRACE = timedelta(hours=1)
"""A file is written before the row that names it is committed: a younger one may be of a fetch that is under way."""
BATCH = 500


def old_enough(images: ImageStore) -> set[bytes]:
    """Digests of the files that are no running fetch's; whether a row names them is for the caller to ask."""
    with track("listing pictures") as advance:
        found: set[bytes] = set()
        for digest in images.known(datetime.now(UTC) - GRACE):
            found.add(digest)
            advance(1)
    return found


def delete(
    images: ImageStore, digests: Collection[bytes], unreferenced: Callable[[Collection[bytes]], Collection[bytes]]
) -> int:
    """Delete those of these files that no row names at that moment; returns how many there were. Safe to repeat.

    A fetch that wants one of them back between that moment and the deletion leaves a row without its file: whoever reads
    it records the miss `file_missing`.
    """
    count = images.delete(())  # which also takes away what killed writers left half written
    with track("deleting pictures", len(digests)) as advance:
        for batch in batched(sorted(digests), BATCH):
            count += images.delete(unreferenced(batch))
            advance(len(batch))
    return count
