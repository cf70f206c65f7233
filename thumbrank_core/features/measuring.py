"""Measuring the weak signals of a niche's pictures, once a picture: threads decode and look, a batch a transaction."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from thumbrank_core.batches import batched
from thumbrank_core.features import signal_store
from thumbrank_core.features.decoding import decoders
from thumbrank_core.features.signals.definitions import MEASURES, Reading
from thumbrank_core.features.signals.measure import measure
from thumbrank_core.progress import track
from thumbrank_core.store.database import Database
from thumbrank_core.store.images import ImageStore
from thumbrank_core.store.picture import PictureError

BATCH = 64


@dataclass
class MeasurementCounts:
    """How many pictures were measured, and of how many nothing could be measured, by reason."""

    pictures: int = 0
    misses: dict[str, int] = field(default_factory=dict[str, int])


def measure_pictures(database: Database, images: ImageStore, niche: str, digests: Sequence[bytes]) -> MeasurementCounts:
    """Write the readings that the pictures lack. A picture that does not decode is counted and asked again next time."""
    result = MeasurementCounts()
    with database.connection() as connection:
        keys = signal_store.measure_keys(connection, MEASURES)
        todo = sorted(signal_store.unmeasured(connection, list(keys.values()), digests))
    if not todo:
        return result

    def look(digest: bytes) -> list[Reading] | PictureError:
        try:
            return measure(images.read(digest))
        except PictureError as error:
            return error

    with (
        track(f"{niche}: reading weak signals from pictures", len(todo)) as advance,
        ThreadPoolExecutor(decoders("://" in images.place), thread_name_prefix="measure") as pool,
    ):
        for batch in batched(todo, BATCH):
            found = dict(zip(batch, pool.map(look, batch), strict=True))
            rows = [
                (keys[reading.measure], digest, reading.value, reading.reason)
                for digest, readings in found.items()
                if not isinstance(readings, PictureError)
                for reading in readings
            ]
            with database.connection() as connection:
                signal_store.write_readings(connection, rows)
            failed = [error for error in found.values() if isinstance(error, PictureError)]
            for error in failed:
                result.misses[error.reason] = result.misses.get(error.reason, 0) + 1
            result.pictures += len(batch) - len(failed)
            advance(len(batch))
    return result
