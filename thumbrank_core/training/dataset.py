"""What training and evaluation see: the distinct items of some niches with their vectors, and the pairs between them.

Items are held once and pairs are indices into them: 150,000 pairs are a few megabytes, not copies of vectors.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import psycopg

from thumbrank_core.errors import ThumbrankError
from thumbrank_core.features import cache
from thumbrank_core.features.specs import EncoderSet
from thumbrank_core.labels.splits import Split
from thumbrank_core.store.database import Database
from thumbrank_core.store.versions import data_version

SPLITS: tuple[Split, ...] = ("train", "validation", "test")
Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


class DatasetError(ThumbrankError):
    """The database does not hold what training needs; the sentence names the niche and the step to run."""


@dataclass(frozen=True)
class Items:
    """N distinct videos. `published`: seconds since 1970; `views_per_hour`: at the newest snapshot."""

    video_id: list[str]
    title: list[str]
    picture: list[bytes]
    image: npt.NDArray[np.float32]
    text: npt.NDArray[np.float32]
    channel: Ints
    niche: Ints
    split: Ints
    published: Floats
    views_per_hour: Floats

    def __len__(self) -> int:
        return len(self.video_id)


@dataclass(frozen=True)
class Pairs:
    """P pairs as indices into the items. `age_gap_hours`: publication of a minus publication of b."""

    a: Ints
    b: Ints
    outcome: Floats
    margin: Floats
    age_gap_hours: Floats
    weight: Floats
    channel: Ints
    niche: Ints
    split: Ints

    def __len__(self) -> int:
        return len(self.a)

    def take(self, chosen: npt.NDArray[np.bool_]) -> "Pairs":
        """The pairs where `chosen` (P,) is true."""
        return Pairs(*(getattr(self, name)[chosen] for name in self.__dataclass_fields__))


@dataclass(frozen=True)
class Dataset:
    """Items, pairs and the names behind their integers. `pairs_without_vectors` were left out: an embedding is missing."""

    items: Items
    pairs: Pairs
    channels: list[str]
    niches: list[str]
    versions: dict[str, str]
    sources: list[str]
    label: str
    pairs_without_vectors: int

    def of(self, split: Split) -> Pairs:
        """The pairs of one split."""
        return self.pairs.take(self.pairs.split == SPLITS.index(split))

    def fingerprint(self) -> str:
        """A digest of everything that training reads: ids, vectors, labels, splits."""
        digest = hashlib.sha256()
        digest.update(repr((self.items.video_id, self.channels, self.niches, self.label)).encode())
        for array in (
            self.items.image,
            self.items.text,
            self.items.channel,
            self.items.split,
            self.items.views_per_hour,
        ):
            digest.update(np.ascontiguousarray(array).data)
        for array in (self.pairs.a, self.pairs.b, self.pairs.outcome, self.pairs.weight):
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()

    def counts(self, split: Split) -> tuple[int, int]:
        """(pairs, channels) of one split."""
        pairs = self.of(split)
        return len(pairs), len(np.unique(pairs.channel))


class _PairRow(NamedTuple):
    niche: str
    a_key: int
    b_key: int
    channel_id: str
    split: Split
    outcome: float
    margin: float
    age_gap_hours: float
    weight: float
    label: str


class _ItemRow(NamedTuple):
    video_key: int
    video_id: str
    title: str
    picture: bytes
    published: float
    views_per_hour: float


def load_dataset(database: Database, niches: Sequence[str], encoders: EncoderSet) -> Dataset:
    """Read pairs and vectors of the niches.

    Raises:
        DatasetError: a niche has no pairs, or its pairs have no vectors of these encoders.
    """
    with database.connection() as connection:
        pairs = _pair_rows(connection, niches)
        present = {row.niche for row in pairs}
        for niche in niches:
            if niche not in present:
                raise DatasetError(
                    f"{niche} has no training pairs: collect or import it first, or leave it out with --niche."
                )
        items = _item_rows(connection, sorted({key for row in pairs for key in (row.a_key, row.b_key)}))
        image_key = cache.encoder_key(connection, encoders.image)
        title_key = cache.encoder_key(connection, encoders.title)
        image = cache.read(connection, image_key, encoders.image.dimension, (row.picture for row in items))
        text = cache.read(
            connection, title_key, encoders.title.dimension, (cache.title_sha256(row.title) for row in items)
        )
        versions = {niche: data_version(connection, "pairs", niche) for niche in niches}
        sources = _sources(connection, niches)
    usable = {row.video_key for row in items if row.picture in image and cache.title_sha256(row.title) in text}
    kept = [row for row in pairs if row.a_key in usable and row.b_key in usable]
    for niche in niches:
        if not any(row.niche == niche for row in kept):
            raise DatasetError(f"{niche} has no {encoders.name} embeddings: run its embeddings step first.")
    usable_items = [row for row in items if row.video_key in usable]
    return _assemble(kept, usable_items, image, text, niches, versions, sources, len(pairs))


def _sources(connection: psycopg.Connection, niches: Sequence[str]) -> list[str]:
    rows = connection.execute(
        "select distinct source from thumbrank.channels c where niche = any(%s) "
        "and exists (select from thumbrank.training_pairs p where p.channel_key = c.channel_key) order by 1",
        (list(niches),),
    ).fetchall()
    return [str(row[0]) for row in rows]


def _pair_rows(connection: psycopg.Connection, niches: Sequence[str]) -> list[_PairRow]:
    rows = connection.execute(
        "select p.niche::text, p.a_key, p.b_key, c.channel_id, c.split, p.outcome, p.margin, p.age_gap_hours, p.weight, p.label "
        "from thumbrank.training_pairs p join thumbrank.channels c using (channel_key) where p.niche = any(%s) "
        # By public ids, never by keys: the order of rows must not depend on the order of arrival.
        "order by array_position(%s::text[], p.niche::text), c.channel_id, "
        "(select video_id from thumbrank.thumbnails where video_key = a_key), "
        "(select video_id from thumbrank.thumbnails where video_key = b_key)",
        (list(niches), list(niches)),
    ).fetchall()
    return [_PairRow(*row) for row in rows]


def _item_rows(connection: psycopg.Connection, keys: Sequence[int]) -> list[_ItemRow]:
    rows = connection.execute(
        "select t.video_key, t.video_id, t.title, p.sha256, extract(epoch from t.published_at)::float8, "
        "s.view_count / (extract(epoch from s.observed_at - t.published_at) / 3600.0)::float8 "
        "from thumbrank.thumbnails t join thumbrank.current_pictures p using (video_key) "
        "join thumbrank.latest_snapshots s using (video_key) where t.video_key = any(%s) "
        # Once the title expired, the pairs may stay longer than what they are learnt from (policy mode audited).
        "and t.title is not null",
        (list(keys),),
    ).fetchall()
    return [_ItemRow(*row) for row in rows]


def _assemble(
    pairs: Sequence[_PairRow],
    item_rows: Sequence[_ItemRow],
    image: Mapping[bytes, npt.NDArray[np.float32]],
    text: Mapping[bytes, npt.NDArray[np.float32]],
    niches: Sequence[str],
    versions: dict[str, str],
    sources: list[str],
    total_pairs: int,
) -> Dataset:
    channels = list(dict.fromkeys(row.channel_id for row in pairs))
    channel_index = {channel: index for index, channel in enumerate(channels)}
    niche_index = {niche: index for index, niche in enumerate(niches)}
    owner = {key: row for row in pairs for key in (row.a_key, row.b_key)}
    items = sorted(
        (row for row in item_rows if row.video_key in owner),
        key=lambda row: (channel_index[owner[row.video_key].channel_id], row.video_id),
    )
    position = {row.video_key: index for index, row in enumerate(items)}
    owners = [owner[row.video_key] for row in items]
    return Dataset(
        items=Items(
            video_id=[row.video_id for row in items],
            title=[row.title for row in items],
            picture=[row.picture for row in items],
            image=np.stack([image[row.picture] for row in items]),
            text=np.stack([text[cache.title_sha256(row.title)] for row in items]),
            channel=np.array([channel_index[row.channel_id] for row in owners]),
            niche=np.array([niche_index[row.niche] for row in owners]),
            split=np.array([SPLITS.index(row.split) for row in owners]),
            published=np.array([row.published for row in items]),
            views_per_hour=np.array([row.views_per_hour for row in items]),
        ),
        pairs=Pairs(
            a=np.array([position[row.a_key] for row in pairs]),
            b=np.array([position[row.b_key] for row in pairs]),
            outcome=np.array([row.outcome for row in pairs], dtype=np.float64),
            margin=np.array([row.margin for row in pairs], dtype=np.float64),
            age_gap_hours=np.array([row.age_gap_hours for row in pairs], dtype=np.float64),
            weight=np.array([row.weight for row in pairs], dtype=np.float64),
            channel=np.array([channel_index[row.channel_id] for row in pairs]),
            niche=np.array([niche_index[row.niche] for row in pairs]),
            split=np.array([SPLITS.index(row.split) for row in pairs]),
        ),
        channels=channels,
        niches=list(niches),
        versions=versions,
        sources=sources,
        label=pairs[0].label,
        pairs_without_vectors=total_pairs - len(pairs),
    )
