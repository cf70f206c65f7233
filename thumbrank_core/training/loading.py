"""A data set out of the database: pairs, vectors, signals and owners' rates of some niches."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import NamedTuple, cast

import numpy as np
import numpy.typing as npt
import psycopg

from thumbrank_core.features import cache
from thumbrank_core.features.signals.definitions import SIGNALS
from thumbrank_core.features.specs import EncoderSet
from thumbrank_core.features.stored import read_signals
from thumbrank_core.features.wanted import Item
from thumbrank_core.labels.splits import Split
from thumbrank_core.policy import LabelName
from thumbrank_core.store.arrays import Rows, read_all
from thumbrank_core.store.database import Database
from thumbrank_core.store.versions import data_version
from thumbrank_core.training.borders import Purpose, Shares, judge, look
from thumbrank_core.training.dataset import SPLITS, Dataset, DatasetError, Items, Pairs
from thumbrank_core.training.owner_rates import load_owner_rates
from thumbrank_core.training.traits import load_traits


@dataclass(frozen=True)
class _Build:
    """How the pairs of a niche were made."""

    label: LabelName
    cut: datetime


class _ItemRow(NamedTuple):
    video_key: int
    video_id: str
    title: str
    picture: bytes
    published: float
    value: float
    channel_id: str
    split: Split
    niche: str


_PAIR = np.dtype(
    [
        ("a_key", "i4"),
        ("b_key", "i4"),
        ("outcome", "f4"),
        ("margin", "f4"),
        ("soft_target", "f4"),
        ("age_gap_hours", "f4"),
        ("weight", "f4"),
    ]
)


def load_dataset(
    database: Database,
    niches: Sequence[str],
    encoders: EncoderSet,
    purpose: Purpose = "measure",
    now: datetime | None = None,
) -> Dataset:
    """Read pairs and vectors of the niches, after each of them passed its border (borders.py).

    Args:
        database: where they are.
        niches: their keys.
        encoders: whose vectors, their precisions settled.
        purpose: what for; less is asked of what is only measured on.
        now: until when counts have aged; None: the clock says it.

    Raises:
        BorderError: niches that may not pass; the sentence names every one.
        DatasetError: a niche that may pass has no pair whose sides both have vectors.
    """
    with database.connection() as connection:
        seen = look(connection, niches, now or datetime.now(UTC))
        borders = judge(seen, purpose) if purpose == "measure" else ()
        builds = _builds(connection, niches)
        pairs = {niche: _pair_rows(connection, niche) for niche in niches}
        items = _item_rows(connection, niches)
        image_key = cache.encoder_key(connection, encoders.image)
        title_key = cache.encoder_key(connection, encoders.title)
        image, pictured = cache.load(connection, image_key, encoders.image.dimension, [row.picture for row in items])
        titles = [cache.title_sha256(row.title) for row in items]
        text, titled = cache.load(connection, title_key, encoders.title.dimension, titles)
        if purpose == "train":
            covered = {niche: _covered(niche, pairs[niche], items, titles, pictured, titled) for niche in niches}
            borders = judge(seen, purpose, covered)
        versions = {niche: data_version(connection, "pairs", niche) for niche in niches}
        sources = _sources(connection, niches)
    embedded = _keys(row.video_key for row in items)[pictured & titled]
    left_out: dict[str, int] = {}
    for niche in niches:
        for reason in sorted(set(seen.crossing.values())):
            losers = _keys(key for key, why in seen.crossing.items() if why == reason)
            pairs[niche] = _without(pairs[niche], losers, reason, left_out)
        gone = np.setdiff1d(np.concatenate([pairs[niche]["a_key"], pairs[niche]["b_key"]]), embedded)
        pairs[niche] = _without(pairs[niche], gone, "no_vectors", left_out)
        if len(pairs[niche]) == 0:
            raise DatasetError(f"{niche} has no {encoders.name} embeddings: run its embeddings step first.")
    dataset = _assemble(pairs, items, image, text, builds, versions, sources, left_out, encoders.name)
    with database.connection() as connection:
        return replace(
            dataset,
            signals=_signals(connection, dataset.items, encoders),
            owners=load_owner_rates(connection, dataset.items.video_id),
            traits=load_traits(connection, dataset.items, dataset.channels),
            cuts={niche: builds[niche].cut.timestamp() for niche in niches},
            borders=borders,
        )


def _signals(connection: psycopg.Connection, items: Items, encoders: EncoderSet) -> npt.NDArray[np.float32] | None:
    """The six signals of the items, each split ranked among its own: nothing of a test channel moves a training target."""
    found = np.full((len(items), len(SIGNALS)), np.nan, dtype=np.float32)
    for split in range(len(SPLITS)):
        rows = np.flatnonzero(items.split == split)
        shown = [Item(items.video_id[row], items.title[row], items.picture[row]) for row in rows]
        if shown:
            found[rows] = read_signals(connection, shown, encoders.before_tuning).values
    return found if np.isfinite(found).any() else None


def _covered(
    niche: str,
    pairs: Rows,
    items: Sequence[_ItemRow],
    titles: Sequence[bytes],
    pictured: npt.NDArray[np.bool_],
    titled: npt.NDArray[np.bool_],
) -> Shares:
    """The shares of `features.inventory.coverage`, out of what was read anyway; `titles`: the digests of the items' titles."""
    wanted = set(np.concatenate([pairs["a_key"], pairs["b_key"]]).tolist())
    rows = [number for number, row in enumerate(items) if row.niche == niche and row.video_key in wanted]
    pictures = {items[row].picture: bool(pictured[row]) for row in rows}
    named = {titles[row]: bool(titled[row]) for row in rows}
    return {
        kind: sum(there.values()) / len(there) if there else 1.0
        for kind, there in (("pictures", pictures), ("titles", named))
    }


def _keys(keys: Iterable[int]) -> npt.NDArray[np.int32]:
    return np.fromiter(keys, dtype=np.int32)


def _without(pairs: Rows, keys: npt.NDArray[np.int32], reason: str, left_out: dict[str, int]) -> Rows:
    """The pairs of which neither side is among `keys`; the others are counted."""
    gone = np.isin(pairs["a_key"], keys) | np.isin(pairs["b_key"], keys)
    if gone.any():
        left_out[reason] = left_out.get(reason, 0) + int(gone.sum())
    return pairs[~gone]


def _builds(connection: psycopg.Connection, niches: Sequence[str]) -> dict[str, _Build]:
    rows = connection.execute(
        "select niche::text, label, cut from thumbrank.pair_builds where niche = any(%s) and cut is not null",
        (list(niches),),
    ).fetchall()
    return {str(niche): _Build(cast(LabelName, label), cut) for niche, label, cut in rows}


def _sources(connection: psycopg.Connection, niches: Sequence[str]) -> list[str]:
    rows = connection.execute(
        "select distinct t.source from thumbrank.video_labels l join thumbrank.thumbnails t using (video_key) "
        "where l.niche = any(%s) order by 1",
        (list(niches),),
    ).fetchall()
    return [str(row[0]) for row in rows]


def _pair_rows(connection: psycopg.Connection, niche: str) -> Rows:
    return read_all(
        connection,
        "select a_key, b_key, outcome, margin, soft_target, age_gap_hours, weight from thumbrank.training_pairs "
        "where niche = %(niche)s",
        {"niche": niche},
        _PAIR,
    )


def _item_rows(connection: psycopg.Connection, niches: Sequence[str]) -> list[_ItemRow]:
    """The labelled videos, by public ids: the order of rows must not depend on the order of arrival."""
    rows = connection.execute(
        "select t.video_key, t.video_id, t.title, l.picture_sha256, extract(epoch from t.published_at)::float8, l.value, "
        "c.channel_id, c.split, l.niche::text from thumbrank.video_labels l join thumbrank.thumbnails t using (video_key) "
        "join thumbrank.channels c on c.channel_key = l.channel_key "
        # Once the title expired, the pairs may stay longer than what they are learnt from (policy mode audited).
        "where l.niche = any(%s) and t.title is not null "
        "order by array_position(%s::text[], l.niche::text), c.channel_id, t.video_id",
        (list(niches), list(niches)),
    ).fetchall()
    return [_ItemRow(*row) for row in rows]


def _assemble(
    pairs: Mapping[str, Rows],
    item_rows: Sequence[_ItemRow],
    image: cache.Halves,
    text: cache.Halves,
    builds: Mapping[str, _Build],
    versions: dict[str, str],
    sources: list[str],
    left_out: dict[str, int],
    encoders: str,
) -> Dataset:
    niches = list(pairs)
    rows = np.concatenate(list(pairs.values()))
    used = np.unique(np.concatenate([rows["a_key"], rows["b_key"]]))
    kept = np.flatnonzero(np.isin(_keys(row.video_key for row in item_rows), used))
    items = [item_rows[index] for index in kept.tolist()]
    channels = list(dict.fromkeys(row.channel_id for row in items))
    channel_index = {channel: index for index, channel in enumerate(channels)}
    channel = np.array([channel_index[row.channel_id] for row in items])
    niche = np.array([niches.index(row.niche) for row in items])
    split = np.array([SPLITS.index(row.split) for row in items])
    published = np.array([row.published for row in items])
    place = np.empty(int(used[-1]) + 1, dtype=np.int64)
    place[[row.video_key for row in items]] = np.arange(len(items))
    a, b = place[rows["a_key"]], place[rows["b_key"]]
    order = np.lexsort((b, a))
    rows, a, b = rows[order], a[order], b[order]
    cut = np.array([builds[name].cut.timestamp() for name in niches])[niche]
    later = (published >= cut).astype(np.int64)
    return Dataset(
        items=Items(
            video_id=[row.video_id for row in items],
            title=[row.title for row in items],
            picture=[row.picture for row in items],
            image=image[kept].astype(np.float32),
            text=text[kept].astype(np.float32),
            channel=channel,
            niche=niche,
            split=split,
            published=published,
            value=np.array([row.value for row in items]),
        ),
        pairs=Pairs(
            a=a,
            b=b,
            outcome=rows["outcome"].astype(np.float64),
            margin=rows["margin"].astype(np.float64),
            soft_target=rows["soft_target"].astype(np.float64),
            age_gap_hours=rows["age_gap_hours"].astype(np.float64),
            weight=rows["weight"].astype(np.float64),
            channel=channel[a],
            niche=niche[a],
            split=split[a],
            period=later[a] + later[b],
        ),
        channels=channels,
        niches=niches,
        versions=versions,
        sources=sources,
        label=builds[niches[0]].label,
        left_out=left_out,
        encoders=encoders,
    )
