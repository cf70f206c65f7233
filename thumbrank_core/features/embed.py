"""Embedding the videos of a niche that count, once: pictures decoded ahead in threads, titles sorted by length."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from thumbrank_core.batches import batched
from thumbrank_core.features import cache
from thumbrank_core.features.encoders import ImageEncoder, TitleEncoder
from thumbrank_core.features.specs import EncoderSet, ImageSpec, TitleSpec
from thumbrank_core.progress import track
from thumbrank_core.store.catalog import Miss, clear_misses, record_misses
from thumbrank_core.store.database import Database
from thumbrank_core.store.images import ImageStore
from thumbrank_core.store.picture import PictureError

PICTURE_BATCH = 128
TITLE_BATCH = 64
DECODERS = 2


@dataclass(frozen=True)
class Item:
    """A video that counts, with what is encoded of it."""

    video_id: str
    title: str
    picture: bytes


@dataclass
class Embedded:
    """What one niche's embedding did. `wanted` counts distinct pictures and titles of the `videos`
    that count; `computed` are new vectors, the rest was cached or missed."""

    videos: int = 0
    pictures_wanted: int = 0
    pictures_computed: int = 0
    titles_wanted: int = 0
    titles_computed: int = 0
    misses: dict[str, int] = field(default_factory=dict[str, int])

    @property
    def coverage(self) -> float:
        """Share of the wanted pictures that have a vector."""
        return 1.0 - sum(self.misses.values()) / self.pictures_wanted if self.pictures_wanted else 1.0


@lru_cache(maxsize=1)
def image_encoder(spec: ImageSpec, offline: bool) -> ImageEncoder:
    """The image tower, loaded once a process: six niches in one process load it once."""
    return ImageEncoder(spec, offline=offline)


@lru_cache(maxsize=1)
def title_encoder(spec: TitleSpec, offline: bool) -> TitleEncoder:
    """The title model, loaded once a process."""
    return TitleEncoder(spec, offline=offline)


def counted_items(database: Database, niche: str) -> list[Item]:
    """The videos of the niche that no criterion left out, with their title and the picture that their label is about."""
    with database.connection() as connection:
        rows = connection.execute(
            "select t.video_id, t.title, p.sha256 from thumbrank.thumbnails t join thumbrank.first_pictures p using (video_key) "
            "join thumbrank.channels c using (channel_key) where c.niche = %(n)s and t.exclusion_reason is null and t.title is not null "
            "order by t.video_key",
            {"n": niche},
        ).fetchall()
    return [Item(str(video), str(title), bytes(digest)) for video, title, digest in rows]


def embed_niche(
    database: Database, images: ImageStore, niche: str, encoders: EncoderSet, *, offline: bool = False
) -> Embedded:
    """Compute the vectors that are wanted and not there yet.

    Raises:
        EncoderError: a model cannot be loaded.
    """
    items = counted_items(database, niche)
    result = Embedded(videos=len(items))
    _embed_pictures(database, images, niche, items, encoders, result, offline=offline)
    _embed_titles(database, niche, items, encoders, result, offline=offline)
    return result


def _embed_pictures(
    database: Database,
    images: ImageStore,
    niche: str,
    items: Sequence[Item],
    encoders: EncoderSet,
    result: Embedded,
    *,
    offline: bool,
) -> None:
    owner = {item.picture: item.video_id for item in items}
    result.pictures_wanted = len(owner)
    with database.connection() as connection:
        key = cache.encoder_key(connection, encoders.image)
        todo = sorted(cache.missing(connection, key, owner))
    if not todo:
        return
    encoder = image_encoder(encoders.image, offline)

    def prepare(digest: bytes) -> npt.NDArray[np.uint8] | PictureError:
        try:
            return encoder.prepare(images.read(digest))
        except PictureError as error:
            return error
        except (OSError, SyntaxError, ValueError) as error:
            return PictureError("unreadable", f"the picture does not decode ({type(error).__name__}).")

    with track(f"{niche}: embedding pictures", len(todo)) as advance:
        for batch in batched(_ahead(prepare, todo), PICTURE_BATCH):
            ready = [(digest, made) for digest, made in batch if not isinstance(made, PictureError)]
            failed = [(owner[digest], made) for digest, made in batch if isinstance(made, PictureError)]
            now = datetime.now(UTC)
            with database.connection() as connection:
                if ready:
                    vectors = encoder.encode([pixels for _, pixels in ready])
                    result.pictures_computed += cache.write(connection, key, [digest for digest, _ in ready], vectors)
                    clear_misses(connection, "embedding", [owner[digest] for digest, _ in ready])
                record_misses(
                    connection,
                    niche,
                    [Miss("embedding", video, error.reason, str(error), now) for video, error in failed],
                )
            for _, error in failed:
                result.misses[error.reason] = result.misses.get(error.reason, 0) + 1
            advance(len(batch))


def _embed_titles(
    database: Database, niche: str, items: Sequence[Item], encoders: EncoderSet, result: Embedded, *, offline: bool
) -> None:
    texts = {cache.title_sha256(item.title): cache.normalise_title(item.title) for item in items}
    result.titles_wanted = len(texts)
    with database.connection() as connection:
        key = cache.encoder_key(connection, encoders.title)
        todo = sorted(cache.missing(connection, key, texts), key=lambda digest: (len(texts[digest]), digest))
    if not todo:
        return
    encoder = title_encoder(encoders.title, offline)
    with track(f"{niche}: embedding titles", len(todo)) as advance:
        for batch in batched(todo, TITLE_BATCH):
            vectors = encoder.encode([texts[digest] for digest in batch])
            with database.connection() as connection:
                result.titles_computed += cache.write(connection, key, batch, vectors)
            advance(len(batch))


Made = npt.NDArray[np.uint8] | PictureError


def _ahead(prepare: Callable[[bytes], Made], digests: Sequence[bytes]) -> Iterator[tuple[bytes, Made]]:
    """Prepare pictures in threads, at most two batches ahead of the model, in order."""
    with ThreadPoolExecutor(DECODERS, thread_name_prefix="decode") as pool:
        waiting: deque[tuple[bytes, Future[Made]]] = deque()
        source = iter(digests)
        try:
            for digest in source:
                waiting.append((digest, pool.submit(prepare, digest)))
                if len(waiting) >= 2 * PICTURE_BATCH:
                    first, future = waiting.popleft()
                    yield first, future.result()
            while waiting:
                first, future = waiting.popleft()
                yield first, future.result()
        finally:
            for _, future in waiting:
                future.cancel()
