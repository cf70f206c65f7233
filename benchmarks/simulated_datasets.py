"""Data sets of simulated worlds, in memory: what benchmarks of recipes train on, without Postgres, HTTP and Dagster.

    data, truth = simulated(seed=0, thumbnails=8_000, folder=Path("worlds"))

What belongs here: the way from a world to a `Dataset`, by the pipeline's own rules wherever they are functions, and by the
same rules in numpy where they are SQL (labels/criteria.py, labels/duplicates.py, sql/queries/training_pairs.sql). Not imitated:
what the search finds (every channel is known), and Postgres' hash of who is `a` in a pair (it is another coin).
Vectors cost minutes and are kept in the folder by seed; labels and pairs are computed anew each time. Remove the folder
after a change to the simulator's worlds or drawing.

    python benchmarks/simulated_datasets.py FOLDER SEED [SEED ...]    # fills it: 32,000 thumbnails a seed, and the figures
"""

import hashlib
import multiprocessing
import os
import resource
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from thumbrank_core.array_types import Floats, Ints
from thumbrank_core.batches import batched
from thumbrank_core.evaluation.learnt import Learnt
from thumbrank_core.evaluation.linear import Linear
from thumbrank_core.features.cache import normalise_title
from thumbrank_core.features.embed import TEXT_BATCH, image_encoder, title_encoder
from thumbrank_core.features.preprocess import to_square
from thumbrank_core.features.quality import unit_rows
from thumbrank_core.features.specs import EncoderSet, load_set
from thumbrank_core.labels.definitions import age_adjusted
from thumbrank_core.labels.duplicates import REASONS
from thumbrank_core.labels.growth import GrowthFit
from thumbrank_core.labels.splits import split_of, time_cut
from thumbrank_core.metrics import pair_accuracy_micro
from thumbrank_core.niches import NICHES
from thumbrank_core.policy import PairPolicy, Policy, load_policy
from thumbrank_core.progress import console_sink, listen, track
from thumbrank_core.simulator import traits
from thumbrank_core.simulator.ceiling import ages_in_days
from thumbrank_core.simulator.ids import digest
from thumbrank_core.simulator.picture_sizes import listed_sizes
from thumbrank_core.simulator.pictures import jpeg_bytes
from thumbrank_core.simulator.world import Video, World, WorldSettings, build_world
from thumbrank_core.store.catalog import SAME_PICTURE_BITS
from thumbrank_core.store.picture import inspect
from thumbrank_core.training.dataset import SPLITS, Dataset, Items, Pairs
from thumbrank_core.youtube.records import WIDE_SIZES

SIZES = (2_000, 8_000, 32_000)
CHANNELS = 400
"""A niche, in the one world of a seed: every size is its first channels. Enough for 35,000 thumbnails."""
WORKERS = 2
CHUNK = 256
"""Pictures, or distinct titles, a task."""

Flags = npt.NDArray[np.bool_]


class Vectors(NamedTuple):
    """What is kept of n videos: ids (n,), sha256 (n, 32) and perceptual hash (n,) of the picture, vectors (n, d) as stored."""

    video_id: npt.NDArray[np.str_]
    picture: npt.NDArray[np.uint8]
    phash: Ints
    image: npt.NDArray[np.float16]
    title: npt.NDArray[np.float16]


class Table(NamedTuple):
    """What is known of the n videos of a world, channels side by side; indices into NICHES, `World.channels` and SPLITS.

    `age`: in days, at `as_of`. `published`: seconds since 1970. `usable`: whether no criterion leaves it out but those of too
    few views and of creators who do not let everybody train.
    """

    niche: Ints
    channel: npt.NDArray[np.int32]
    number: Ints
    split: Ints
    views: Ints
    age: Floats
    published: Floats
    usable: Flags


def simulated(seed: int, thumbnails: int, folder: Path) -> tuple[Dataset, Floats]:
    """The first channels of the world of `seed`, evenly over six niches, that have at least so many videos that count.

    Args:
        seed: of the world; all else of it is as in the demo.
        thumbnails: how many videos count, at most about 35,000; a few of them are in no pair and so not among the items.
        folder: where vectors are kept; the larger sizes' are used for the smaller ones.

    Returns:
        The data set, and of each item the true effect of picture and title on log views, (n,).
    """
    policy = load_policy()
    world = build_world(WorldSettings(seed=seed, channels_per_niche=CHANNELS))
    table = _table(world, policy)
    rows, value = _labelled(world, table, policy, _channels_for(world, table, policy, thumbnails))
    vectors = _vectors(world, [world.videos[row].id for row in rows.tolist()], policy, folder)
    return _assemble(world, table, rows, value, vectors, policy.pairs)


def _table(world: World, policy: Policy) -> Table:
    index = {channel.id: index for index, channel in enumerate(world.channels)}
    channel = np.array([index[video.channel.id] for video in world.videos], dtype=np.int32)
    splits = np.array([SPLITS.index(split_of(channel.id)) for channel in world.channels])
    criteria = policy.criteria
    stored = Counter(video.channel.id for video in world.videos if video.is_listed)

    def usable(video: Video) -> bool:
        return (
            video.state == "public"
            and not traits.is_recorded_live(video)
            and criteria.min_minutes * 60 <= video.duration_seconds <= criteria.max_minutes * 60
            and not (traits.is_short(video) and criteria.shorts == "exclude")
            and stored[video.channel.id] >= criteria.active_min_videos
        )

    return Table(
        niche=np.array([NICHES.index(video.channel.niche) for video in world.videos]),
        channel=channel,
        number=np.array([video.channel.number for video in world.videos]),
        split=splits[channel],
        views=np.array([video.views for video in world.videos]),
        age=ages_in_days(world),
        published=np.array([video.published_at.timestamp() for video in world.videos]),
        usable=np.array([usable(video) for video in world.videos]),
    )


def _refused(world: World, policy: Policy, channels: int) -> set[str]:
    """The videos of the sample, among the first channels, that their creators do not let everybody train on."""
    found: set[str] = set()
    for niche in NICHES:
        stored = [
            v.id for v in world.videos if v.channel.niche == niche and v.channel.number < channels and v.is_listed
        ]
        stored.sort(key=lambda video: hashlib.md5(video.encode()).hexdigest())
        sample = stored[: policy.collection.trainability_sample]
        found |= {video for video in sample if traits.permitted_trainers(video) != ["all"]}
    return found


def _channels_for(world: World, table: Table, policy: Policy, thumbnails: int) -> int:
    """How many channels of each niche have so many videos that count."""
    counted = table.usable & (table.views >= policy.criteria.min_views)
    upto = np.cumsum(np.bincount(table.number[counted], minlength=CHANNELS)).tolist()
    for channels, count in enumerate(upto, start=1):
        if count >= thumbnails and count - len(_refused(world, policy, channels)) >= thumbnails:
            return channels
    raise ValueError(f"A world has about {upto[-1]:,} thumbnails that count: ask for fewer, or raise CHANNELS.")


def _labelled(world: World, table: Table, policy: Policy, channels: int) -> tuple[Ints, Floats]:
    """labels/labelling.py without a database: rows (n,) of the labelled videos of the first channels, and their labels (n,).

    In the order of training/dataset.py: by niche, channel id and video id.
    """
    refused = _refused(world, policy, channels)
    inside = table.usable & (table.number < channels) & np.array([video.id not in refused for video in world.videos])
    counted = inside & (table.views >= policy.criteria.min_views)
    value = np.empty(len(world.videos))
    for niche in range(len(NICHES)):
        fit = GrowthFit()
        used = inside & (table.niche == niche) & (table.split == SPLITS.index("train"))
        fit.add(table.views[used], table.age[used], table.channel[used])
        mine = counted & (table.niche == niche)
        value[mine] = age_adjusted(table.views[mine], table.age[mine], table.channel[mine], fit.curve())
    rows = np.flatnonzero(counted & (table.age >= policy.labels.min_age_days)).tolist()
    rows.sort(key=lambda row: (table.niche[row], world.videos[row].channel.id, world.videos[row].id))
    return np.array(rows), value[rows]


def _losers(world: World, rows: Ints, split: Ints, phash: Ints) -> Ints:
    """(n,) index into REASONS, or -1: videos whose picture or upload a split above their own has (labels/duplicates.py)."""
    place = np.array([3, 2, 1])[split]
    reason = np.full(len(rows), -1)
    videos = [world.videos[row] for row in rows.tolist()]
    uploads = [(" ".join(video.title.lower().split()), video.duration_seconds) for video in videos]
    above: dict[tuple[str, int], int] = {}
    for upload, its_place in zip(uploads, place.tolist(), strict=True):
        above[upload] = min(its_place, above.get(upload, 3))
    for index, (title, seconds) in enumerate(uploads):
        same = min(above.get((title, seconds + longer), 3) for longer in (-1, 0, 1))
        if len(title) >= 12 and same < place[index]:
            reason[index] = REASONS.index("reupload")
    for mine in (2, 3):
        hashes = np.unique(phash[place < mine])
        for suspects in batched(np.flatnonzero(place == mine).tolist(), 256):
            near = np.bitwise_count((phash[suspects][:, None] ^ hashes).view(np.uint64)) <= SAME_PICTURE_BITS
            reason[np.array(suspects)[near.any(axis=1)]] = REASONS.index("near_duplicate")
    return reason


def _assemble(
    world: World, table: Table, rows: Ints, value: Floats, vectors: Vectors, policy: PairPolicy
) -> tuple[Dataset, Floats]:
    """Pairs of the labelled videos, without those that cross splits; the items are the videos of a pair."""
    kept = np.ones(len(rows), dtype=np.bool_)
    for niche in range(len(NICHES)):
        mine = np.flatnonzero(table.niche[rows] == niche)
        kept[mine] = _losers(world, rows[mine], table.split[rows[mine]], vectors.phash[mine]) < 0
    rows, value, vectors = rows[kept], value[kept], _taken(vectors, np.flatnonzero(kept))
    a, b = _partners(world, table, rows, policy)
    weight = 1 / np.bincount(table.channel[rows[a]])[table.channel[rows[a]]]
    left_out: dict[str, int] = {}
    crossing = _losers(world, rows, table.split[rows], vectors.phash)
    for index, reason in enumerate(REASONS):
        gone = (crossing[a] == index) | (crossing[b] == index)
        if gone.any():
            left_out[reason] = int(gone.sum())
        a, b, weight = a[~gone], b[~gone], weight[~gone]

    used = np.unique(np.concatenate([a, b]))
    rows, value, vectors = rows[used], value[used], _taken(vectors, used)
    order = np.lexsort((b, a))
    a, b, weight = np.searchsorted(used, a[order]), np.searchsorted(used, b[order]), weight[order]
    videos = [world.videos[row] for row in rows.tolist()]
    channels = list(dict.fromkeys(video.channel.id for video in videos))
    numbers = {name: index for index, name in enumerate(channels)}
    channel = np.array([numbers[video.channel.id] for video in videos])
    niche, split, published = table.niche[rows], table.split[rows], table.published[rows]
    cut = time_cut(world.settings.as_of, datetime.fromtimestamp(float(published.min()), UTC))
    later = (published >= cut.timestamp()).astype(np.int64)
    lead = (np.log(value[a]) - np.log(value[b])) / (2 * policy.soft_target_tau)
    dataset = Dataset(
        items=Items(
            video_id=[video.id for video in videos],
            title=[video.title for video in videos],
            picture=[row.tobytes() for row in vectors.picture],
            image=vectors.image.astype(np.float32),
            text=vectors.title.astype(np.float32),
            channel=channel,
            niche=niche,
            split=split,
            published=published,
            value=value,
        ),
        pairs=Pairs(
            a=a,
            b=b,
            outcome=np.where(value[a] == value[b], 0.5, (value[a] > value[b]).astype(np.float64)),
            margin=_as_real(np.abs(value[a] - value[b]) / np.maximum(value[a], value[b])),
            soft_target=_as_real(0.5 + 0.5 * np.tanh(lead)),
            age_gap_hours=_as_real((published[a] - published[b]) / 3600),
            weight=_as_real(weight),
            channel=channel[a],
            niche=niche[a],
            split=split[a],
            period=later[a] + later[b],
        ),
        channels=channels,
        niches=list(NICHES),
        versions=dict.fromkeys(NICHES, f"simulated-seed{world.settings.seed}"),
        sources=["simulator"],
        label="age_adjusted",
        left_out=left_out,
        encoders="tiny",
    )
    return dataset, world.effects[rows]


def _partners(world: World, table: Table, rows: Ints, policy: PairPolicy) -> tuple[Ints, Ints]:
    """sql/queries/training_pairs.sql in the default profile: both sides (p,) of each video with its next later ones.

    All videos of the world are of one view regime, so that only channels keep them apart.
    """
    ids = [world.videos[row].id for row in rows.tolist()]
    order = np.lexsort((np.array(ids), table.published[rows], table.channel[rows]))
    ordered, moments = table.channel[rows[order]], table.published[rows[order]]
    first: list[Ints] = []
    second: list[Ints] = []
    assert policy.later_partners is not None, "the default profile has a cap"
    for ahead in range(1, policy.later_partners + 1):
        near = (ordered[ahead:] == ordered[:-ahead]) & (
            moments[ahead:] - moments[:-ahead] <= policy.window_days * 86_400
        )
        at = np.flatnonzero(near)
        first.append(order[at])
        second.append(order[at + ahead])
    x, y = np.concatenate(first), np.concatenate(second)
    coin = (digest(1, "a and b", ids[i], ids[j])[0] & 1 for i, j in zip(x.tolist(), y.tolist(), strict=True))
    swapped = np.fromiter(coin, dtype=np.bool_, count=len(x))
    return np.where(swapped, y, x), np.where(swapped, x, y)


def _as_real(values: Floats) -> Floats:
    """As Postgres keeps them."""
    return values.astype(np.float32).astype(np.float64)


def _vectors(world: World, video_ids: list[str], policy: Policy, folder: Path) -> Vectors:
    """Of these videos, in this order; what is not kept yet is computed, and kept with the rest."""
    encoders = load_set("tiny").settled("float32", "float32")
    tag = f"{encoders.image.encoder_id}\n{encoders.title.encoder_id}"
    path = folder / f"seed{world.settings.seed}-{hashlib.sha256(tag.encode()).hexdigest()[:12]}.npz"
    kept: Vectors | None = None
    if path.is_file():
        with np.load(path) as arrays:
            kept = Vectors(*(arrays[name] for name in Vectors._fields))
    known = set(kept.video_id.tolist()) if kept is not None else set[str]()
    missing = [video for video in video_ids if video not in known]
    if missing:
        made = _computed(world, missing, encoders, policy.collection.largest_picture)
        kept = made if kept is None else Vectors._make(np.concatenate(both) for both in zip(kept, made, strict=True))
        folder.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(f".{os.getpid()}.part")
        with part.open("wb") as file:
            np.savez(file, **kept._asdict())
        part.replace(path)
    assert kept is not None, "a world has videos, and what was missing is made"
    place = {video: index for index, video in enumerate(kept.video_id.tolist())}
    return _taken(kept, np.array([place[video] for video in video_ids]))


def _taken(vectors: Vectors, rows: Ints) -> Vectors:
    return Vectors._make(column[rows] for column in vectors)


def _computed(world: World, video_ids: list[str], encoders: EncoderSet, largest: int) -> Vectors:
    titles = sorted({normalise_title(world.video(video).title) for video in video_ids}, key=lambda t: (len(t), t))
    tower, reader = encoders.image.dimension, encoders.title.dimension
    picture = np.empty((len(video_ids), 32), dtype=np.uint8)
    phash = np.empty(len(video_ids), dtype=np.int64)
    image = np.empty((len(video_ids), tower), dtype=np.float16)
    words = np.empty((len(titles), reader), dtype=np.float16)
    spawn = multiprocessing.get_context("spawn")
    begin = (world.settings, encoders)
    with ProcessPoolExecutor(WORKERS, mp_context=spawn, initializer=_begin, initargs=begin) as pool:
        with track(f"seed {world.settings.seed}: pictures", len(video_ids)) as advance:
            drawn = {
                pool.submit(_pictures, chunk, largest): start * CHUNK
                for start, chunk in enumerate(batched(video_ids, CHUNK))
            }
            for task in as_completed(drawn):
                start, found = drawn[task], task.result()
                there = slice(start, start + len(found[1]))
                picture[there], phash[there], image[there] = found
                advance(len(found[1]))
        with track(f"seed {world.settings.seed}: titles", len(titles)) as advance:
            read = {pool.submit(_titles, chunk): start * CHUNK for start, chunk in enumerate(batched(titles, CHUNK))}
            for task in as_completed(read):
                start, vectors = read[task], task.result()
                words[start : start + len(vectors)] = vectors
                advance(len(vectors))
    row = {title: index for index, title in enumerate(titles)}
    own = [row[normalise_title(world.video(video).title)] for video in video_ids]
    return Vectors(np.array(video_ids), picture, phash, image, words[own])


_given: tuple[World, EncoderSet]
"""A worker's world and encoders."""


def _begin(settings: WorldSettings, encoders: EncoderSet) -> None:
    global _given  # noqa: PLW0603 what a pool's initializer makes has no other place
    _given = build_world(settings), encoders
    torch.set_num_threads(1)  # what OMP_NUM_THREADS=1 says: each worker has a core


def _pictures(video_ids: Sequence[str], largest: int) -> tuple[npt.NDArray[np.uint8], Ints, npt.NDArray[np.float16]]:
    """sha256 (n, 32), perceptual hash (n,) and vector (n, d) of the pictures that a collection would store."""
    world, encoders = _given
    encoder = image_encoder(encoders.image, True, False)

    def stored(video: Video) -> bytes:
        sizes = listed_sizes(video)
        return jpeg_bytes(world, video, next(s for s, high in WIDE_SIZES.items() if high <= largest and s in sizes))

    files = [stored(world.video(video)) for video in video_ids]
    known = [inspect(data) for data in files]

    def batches() -> Iterator[torch.Tensor]:
        for batch in batched(files, encoder.batch):
            squares = [to_square(data, encoder.side, encoders.image.resize) for data in batch]
            yield torch.from_numpy(np.stack(squares))

    vectors = np.concatenate(list(encoder.encode(batches())))
    assert unit_rows(vectors).all(), "the tiny CLIP has a usable vector for every drawn picture"
    digests = np.frombuffer(b"".join(picture.sha256 for picture in known), dtype=np.uint8).reshape(-1, 32)
    return digests, np.array([picture.phash for picture in known]), vectors.astype(np.float16)


def _titles(titles: Sequence[str]) -> npt.NDArray[np.float16]:
    """Vectors (n, d) of normalised titles, shortest first."""
    encoder = title_encoder(_given[1].title, True)
    vectors = np.concatenate([encoder.encode(batch) for batch in batched(titles, TEXT_BATCH)])
    assert unit_rows(vectors).all(), "MiniLM has a usable vector for every title"
    return vectors.astype(np.float16)


def figures(dataset: Dataset, truth: Floats) -> dict[str, float]:
    """Counts, the ceiling and what the ridges get on test pairs."""
    test, linear = dataset.of("test"), Linear(Learnt(dataset))

    def accuracy(score: Floats) -> float:
        return round(pair_accuracy_micro(score[test.a] - score[test.b], test.outcome), 4)

    return {
        "thumbnails": len(dataset.items),
        "channels": len(dataset.channels),
        "pairs": len(dataset.pairs),
        "test_pairs": len(test),
        "test_channels": len(np.unique(test.channel)),
        "ridge_title": accuracy(linear.title()),
        "ridge_image": accuracy(linear.image()),
        "ridge_both": accuracy(linear.both()),
        "ceiling": accuracy(truth),
    }


def main() -> None:
    folder, *seeds = sys.argv[1:]
    with listen(console_sink()):
        for seed in map(int, seeds):
            for size in reversed(SIZES):
                begun = time.perf_counter()
                dataset, truth = simulated(seed, size, Path(folder))
                seconds = time.perf_counter() - begun
                peak = [
                    resource.getrusage(who).ru_maxrss // 1024
                    for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
                ]
                print(f"seed {seed}, {size:,}: {figures(dataset, truth)}, left out {dataset.left_out}", flush=True)
                print(f"  {seconds:.1f} s, peak {peak[0]} MB, of a worker at most {peak[1]} MB", flush=True)


if __name__ == "__main__":
    main()
