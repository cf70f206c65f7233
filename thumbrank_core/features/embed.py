"""Embedding what a niche's pairs need, each picture and title once in its life, a batch a transaction.

Killed anywhere, the next run computes what is not stored: at most the batch in flight (on a GPU two) is computed again. Workers
share a niche by shards of digests. Which vectors there are is cache.py, which are wanted is wanted.py.
"""

import logging
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from thumbrank_core.batches import batched
from thumbrank_core.features import cache, misses
from thumbrank_core.features.cache import title_sha256
from thumbrank_core.features.decoding import Batch, Waited, decoded_ahead, decoders
from thumbrank_core.features.measuring import measure_pictures
from thumbrank_core.features.precision import settle
from thumbrank_core.features.preprocess import Square, to_square
from thumbrank_core.features.quality import unit_rows
from thumbrank_core.features.specs import CaptionSpec, EncoderSet, ImageSpec, TitleSpec
from thumbrank_core.features.stored import prompts_of
from thumbrank_core.features.wanted import ALL, Shard, pictures_of, titles_of, wanted_items
from thumbrank_core.progress import track
from thumbrank_core.store.catalog import keep_misses
from thumbrank_core.store.database import Database
from thumbrank_core.store.images import ImageStore

if TYPE_CHECKING:  # a run that has nothing to embed does without torch
    import torch

    from thumbrank_core.features.encoders import CaptionEncoder, ImageEncoder, TitleEncoder, Vectors

TEXT_BATCH = 64

logger = logging.getLogger(__name__)


@dataclass
class Embedded:
    """What one niche's embedding did. `wanted` counts distinct pictures and titles of the `videos` in pairs; `computed` are
    new vectors, the rest was stored before or missed. `captions`: the titles in CLIP's space. `measured`: pictures whose
    signals are new. Speed and waiting are of the pictures' vectors; None where none was computed."""

    videos: int = 0
    pictures_wanted: int = 0
    pictures_computed: int = 0
    titles_wanted: int = 0
    titles_computed: int = 0
    captions_computed: int = 0
    measured: int = 0
    misses: dict[str, int] = field(default_factory=dict[str, int])
    unmeasured: dict[str, int] = field(default_factory=dict[str, int])
    pictures_per_second: float | None = None
    data_wait_share: float | None = None


@lru_cache(maxsize=1)
def image_encoder(spec: ImageSpec, offline: bool, compiled: bool) -> "ImageEncoder":
    """The image tower, loaded once a process: six niches in one process load it once."""
    from thumbrank_core.features.encoders import ImageEncoder

    return ImageEncoder(spec, offline=offline, compile=compiled)


@lru_cache(maxsize=1)
def caption_encoder(spec: CaptionSpec, offline: bool) -> "CaptionEncoder":
    """CLIP's text tower, loaded once a process."""
    from thumbrank_core.features.encoders import CaptionEncoder

    return CaptionEncoder(spec, offline=offline)


@lru_cache(maxsize=1)
def title_encoder(spec: TitleSpec, offline: bool) -> "TitleEncoder":
    """The title model, loaded once a process."""
    from thumbrank_core.features.encoders import TitleEncoder

    return TitleEncoder(spec, offline=offline)


@dataclass(frozen=True)
class Embedding:
    """How a niche is embedded. `compiled`: the image tower goes through torch.compile."""

    encoders: EncoderSet
    offline: bool = False
    compiled: bool = False
    shard: Shard = ALL


def embed_niche(database: Database, images: ImageStore, niche: str, how: Embedding) -> Embedded:
    """Compute the vectors and signals that are wanted and not there yet.

    Raises:
        EncoderError: a model cannot be loaded.
    """
    with database.connection() as connection:
        encoders = settle(connection, how.encoders)
        items = wanted_items(connection, niche)
    pictures, titles = pictures_of(items), titles_of(items)
    result = Embedded(
        videos=len(items),
        pictures_wanted=len(how.shard.of(list(pictures))),
        titles_wanted=len(how.shard.of(list(titles))),
    )
    failed = _embed_pictures(database, images, niche, pictures, encoders.image, how, result)
    if how.shard == ALL:
        with database.connection() as connection:  # what was missed once and is there now, or is no longer wanted
            keep_misses(connection, "embedding", niche, failed)
    result.titles_computed = _embed_texts(
        database,
        f"{niche}: embedding titles",
        titles,
        encoders.title,
        how.shard,
        lambda: title_encoder(encoders.title, how.offline),
    )
    result.captions_computed = _embed_texts(
        database,
        f"{niche}: embedding titles with CLIP",
        titles | {title_sha256(prompt): prompt for prompt in prompts_of(encoders)},
        encoders.caption,
        how.shard,
        lambda: caption_encoder(encoders.caption, how.offline),
    )
    measured = measure_pictures(database, images, niche, how.shard.of(list(pictures)))
    result.measured, result.unmeasured = measured.pictures, measured.misses
    return result


def _embed_pictures(
    database: Database,
    images: ImageStore,
    niche: str,
    videos: Mapping[bytes, Sequence[str]],
    spec: ImageSpec,
    how: Embedding,
    result: Embedded,
) -> list[str]:
    """Vectors of the pictures that have none; gives the videos whose picture has none after it."""
    with database.connection() as connection:
        key = cache.encoder_key(connection, spec)
        todo = sorted(cache.missing(connection, key, how.shard.of(list(videos))))
    if not todo:
        return []
    encoder = image_encoder(spec, how.offline, how.compiled)

    def prepare(digest: bytes) -> Square:
        return to_square(images.read(digest), encoder.side, spec.resize)

    failed: list[str] = []
    waited, begun = Waited(), time.perf_counter()
    batches = decoded_ahead(todo, encoder.batch, prepare, encoder.new_batch, decoders("://" in images.place), waited)
    with track(f"{niche}: embedding pictures", len(todo)) as advance, closing(batches):
        for batch, vectors in _encoded(encoder, batches):
            usable = unit_rows(vectors)
            absent = misses.without_vector(batch, usable, spec.model)
            for error in absent.values():
                result.misses[error.reason] = result.misses.get(error.reason, 0) + 1
            of_video = {video: error for digest, error in absent.items() for video in videos[digest]}
            failed += of_video
            digests = [batch.digests[row] for row in np.flatnonzero(usable)]
            with database.connection() as connection:
                result.pictures_computed += cache.write(connection, key, digests, vectors[usable])
                misses.record(connection, niche, of_video)
            advance(len(batch.digests) + len(batch.failed))
    seconds = time.perf_counter() - begun
    result.pictures_per_second = round(len(todo) / seconds, 1)
    result.data_wait_share = round(waited.seconds / seconds, 3)
    return failed


def _encoded(encoder: "ImageEncoder", batches: Generator[Batch]) -> "Iterator[tuple[Batch, Vectors]]":
    """Each batch with its vectors; on a GPU the encoder asks for the next batch before it gives the last one's."""
    asked: deque[Batch] = deque()

    def pixels() -> "Iterator[torch.Tensor]":
        for batch in batches:
            asked.append(batch)
            yield batch.pixels

    for vectors in encoder.encode(pixels()):
        yield asked.popleft(), vectors


def _embed_texts(
    database: Database,
    description: str,
    texts: Mapping[bytes, str],
    spec: CaptionSpec | TitleSpec,
    shard: Shard,
    load: "Callable[[], CaptionEncoder | TitleEncoder]",
) -> int:
    """Vectors of the texts that have none; how many. Sorted by length, so that a batch is padded by little."""
    with database.connection() as connection:
        key = cache.encoder_key(connection, spec)
        missing = cache.missing(connection, key, shard.of(list(texts)))
    if not missing:
        return 0
    todo = sorted(missing, key=lambda digest: (len(texts[digest]), digest))
    encoder, computed = load(), 0
    with track(description, len(todo)) as advance:
        for batch in batched(todo, TEXT_BATCH):
            vectors = encoder.encode([texts[digest] for digest in batch])
            usable = unit_rows(vectors)
            for row in np.flatnonzero(~usable):
                logger.warning("%s gives no usable vector for the title %r.", spec.model, texts[batch[row]])
            with database.connection() as connection:
                digests = [batch[row] for row in np.flatnonzero(usable)]
                computed += cache.write(connection, key, digests, vectors[usable])
            advance(len(batch))
    return computed
