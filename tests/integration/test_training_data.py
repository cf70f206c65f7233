"""What training reads of several niches: the same rows whatever the order of arrival, and nothing that crosses splits."""

import itertools
from collections import Counter

import numpy as np
import pytest

from tests.integration.conftest import SEEN, store_videos
from tests.integration.test_labels import label
from thumbrank_core.features import cache
from thumbrank_core.features.specs import load_set
from thumbrank_core.labels.splits import split_of
from thumbrank_core.training.dataset import PERIODS, SPLITS, DatasetError
from thumbrank_core.training.loading import load_dataset

ENCODERS = load_set("tiny")


def channel_in(split, number=0):
    """A channel id whose hash falls into the split."""
    ids = (f"UC{i:022d}" for i in itertools.count())
    return next(itertools.islice((i for i in ids if split_of(i) == split), number, None))


def embed(db):
    """A vector for every picture and title; which one does not matter here."""
    generator = np.random.default_rng(0)
    with db.connection() as connection:
        pictures = {bytes(d) for (d,) in connection.execute("select sha256 from thumbrank.picture_versions")}
        titles = {cache.title_sha256(t) for (t,) in connection.execute("select title from thumbrank.thumbnails")}
        for spec, wanted in ((ENCODERS.image, pictures), (ENCODERS.title, titles)):
            vectors = generator.normal(size=(len(wanted), spec.dimension)).astype(np.float32)
            cache.write(connection, cache.encoder_key(connection, spec), sorted(wanted), vectors)


@pytest.fixture
def two_niches(db, images, world):
    """A training channel in tech, a test channel in news, four videos each."""
    made = store_videos(db, images, world, {channel_in("train"): [(d, 5_000 + d) for d in (10, 11, 35, 36)]})
    made |= store_videos(db, images, world, {channel_in("test"): [(10 + d, 9_000 - d) for d in range(4)]}, niche="news")
    with db.connection() as connection:  # the helper gives both channels the same pictures
        connection.execute("update thumbrank.picture_versions set phash = hashint8extended(video_key, 0)")
        connection.execute(
            "update thumbrank.picture_versions set sha256 = sha256(int8send(video_key)) where video_key in "
            "(select video_key from thumbrank.thumbnails join thumbrank.channels using (channel_key) where niche = 'news')"
        )
    embed(db)
    label(db, "tech")
    label(db, "news")
    return made


def test_every_pair_comes_with_its_items_splits_and_period(db, two_niches):
    dataset = load_dataset(db, ["tech", "news"], ENCODERS)
    assert (len(dataset.pairs), len(dataset.items), dataset.left_out) == (12, 8, {})
    assert (dataset.label, dataset.encoders) == ("age_adjusted", ENCODERS.name)
    assert dataset.items.video_id == [video for channel in two_niches for video in sorted(two_niches[channel])]
    assert {SPLITS[split] for split in dataset.of("test").split} == {"test"}
    pairs, items = dataset.pairs, dataset.items
    assert (items.channel[pairs.a] == items.channel[pairs.b]).all()
    assert (pairs.outcome == (items.value[pairs.a] > items.value[pairs.b])).all()
    assert ((pairs.soft_target > 0.5) == (pairs.outcome > 0.5)).all()
    assert Counter(PERIODS[period] for period in pairs.period[pairs.niche == 0]) == {
        "earlier": 1,
        "across": 4,
        "later": 1,
    }
    assert dataset.cuts["tech"] == SEEN.timestamp() - 18 * 86_400
    assert len(dataset.of("train")) == len(dataset.later("train")) == 1
    assert len(dataset.of("test")) == 6


def test_a_picture_of_a_test_channel_in_another_niche_takes_its_copy_out_of_training(db, two_niches):
    tech, news = two_niches
    with db.connection() as connection:
        connection.execute(
            "update thumbrank.picture_versions set phash = 77 where video_key in "
            "(select video_key from thumbrank.thumbnails where video_id = any(%s))",
            ([two_niches[tech][0], two_niches[news][0]],),
        )
    label(db, "tech")
    label(db, "news")
    dataset = load_dataset(db, ["tech", "news"], ENCODERS)
    assert dataset.left_out == {"near_duplicate": 3}
    assert two_niches[tech][0] not in dataset.items.video_id
    assert two_niches[news][0] in dataset.items.video_id
    alone = load_dataset(db, ["tech"], ENCODERS)
    assert (len(alone.pairs), alone.left_out) == (6, {})


def test_a_pair_without_a_vector_is_left_out_and_counted(db, two_niches):
    with db.connection() as connection:
        connection.execute(
            "delete from thumbrank.embeddings where sha256 = (select sha256 from thumbrank.picture_versions "
            "join thumbrank.thumbnails using (video_key) where video_id = %s)",
            (two_niches[channel_in("train")][1],),
        )
    dataset = load_dataset(db, ["tech", "news"], ENCODERS)
    assert (len(dataset.pairs), dataset.left_out) == (9, {"no_vectors": 3})


def test_a_niche_without_vectors_names_the_step(db, two_niches):
    with db.connection() as connection:
        connection.execute("delete from thumbrank.embeddings")
    with pytest.raises(DatasetError, match="tech has no tiny embeddings: run its embeddings step first"):
        load_dataset(db, ["tech", "news"], ENCODERS)


def test_the_label_s_picture_is_the_first_one_seen(db, two_niches):
    video = two_niches[channel_in("train")][0]
    with db.connection() as connection:
        first = connection.execute(
            "insert into thumbrank.picture_versions select video_key, sha256('later'::bytea), url, width, height, bytes, phash, "
            "first_seen_at + interval '40 days', last_seen_at + interval '40 days' from thumbrank.picture_versions "
            "join thumbrank.thumbnails using (video_key) where video_id = %s returning video_key",
            (video,),
        ).fetchone()
        [(sha256,)] = connection.execute(
            "select sha256 from thumbrank.first_pictures where video_key = %s", first
        ).fetchall()
    dataset = load_dataset(db, ["tech", "news"], ENCODERS)
    assert dataset.items.picture[dataset.items.video_id.index(video)] == bytes(sha256)
