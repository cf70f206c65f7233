"""Pictures that have no vector, as recorded misses of the videos that show them: never a zero, never left out in silence."""

from collections.abc import Mapping
from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt
import psycopg

from thumbrank_core.features.decoding import Batch
from thumbrank_core.store.catalog import Miss, record_misses
from thumbrank_core.store.picture import PictureError


def without_vector(batch: Batch, usable: npt.NDArray[np.bool_], encoder: str) -> dict[bytes, PictureError]:
    """The pictures of a batch that have no vector, and why.

    Args:
        batch: pictures that were decoded, and those that were not.
        usable: (n,) which of its n decoded pictures have a usable vector.
        encoder: what it is called in the sentence.
    """
    return batch.failed | {
        batch.digests[row]: PictureError("not_encodable", f"{encoder} gives no usable vector for the picture.")
        for row in np.flatnonzero(~usable)
    }


def record(connection: psycopg.Connection, niche: str, failed: Mapping[str, PictureError]) -> None:
    """Write why the pictures of these videos, by video id, have no vector; the next embedding of the niche forgets what it
    no longer misses."""
    now = datetime.now(UTC)
    record_misses(
        connection,
        niche,
        [Miss("embedding", video, error.reason, str(error), now) for video, error in failed.items()],
    )
