"""What speaks for or against labels and pairs: each finding is planted, found, and absent where it was not planted."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from tests.integration.conftest import SEEN, store_videos
from tests.integration.test_labels import A, B, add_counts, label
from thumbrank_core.bootstrap import Interval
from thumbrank_core.labels.evidence import Clock, Staleness, clock, leaks, reliability, staleness
from thumbrank_core.labels.labelling import read_curves
from thumbrank_core.labels.sizes import NEEDS, sizes


def decided(db, function, *arguments):
    with db.connection() as connection:
        return function(connection, *arguments)


def channels(count, videos, seed=0):
    """Channels whose videos all earn the same, whatever their age, with a little noise."""
    generator = np.random.default_rng(seed)
    return {
        f"UC{i:022d}": [
            (float(age), int(5_000 * np.exp(0.2 * generator.normal()))) for age in np.linspace(8, 60, videos)
        ]
        for i in range(count)
    }


def test_without_pairs_there_is_no_clock_to_read(db):
    assert decided(db, clock, "tech") is None


def test_the_clock_is_read_with_its_channels_and_pairs(db, images, world):
    store_videos(db, images, world, channels(4, 5))
    built = label(db, label="views_per_hour")
    found = decided(db, clock, "tech")
    assert found is not None
    assert (found.n_pairs, found.n_channels) == (built.pairs.pairs, 4)
    assert found.accuracy.value == pytest.approx(built.pairs.newer_wins)
    assert found.accuracy.value > 0.9
    assert found.few_channels
    assert not found.rules


@pytest.mark.parametrize(
    ("low", "high", "channels", "rules"),
    [
        (0.56, 0.60, 80, True),
        (0.40, 0.44, 80, True),
        (0.54, 0.60, 80, False),
        (0.40, 0.46, 80, False),
        (0.48, 0.52, 80, False),
        (0.80, 0.90, 49, False),
    ],
)
def test_a_clock_rules_only_when_its_whole_interval_lies_outside_and_channels_are_enough(low, high, channels, rules):
    assert Clock(Interval((low + high) / 2, low, high), 1000, channels).rules is rules


def test_the_guide_s_label_is_a_clock(db, images, world):
    store_videos(db, images, world, channels(60, 3))
    label(db, label="views_per_hour")
    found = decided(db, clock, "tech")
    assert found is not None and found.rules


def test_nothing_leaks_from_a_niche_as_it_was_built(db, images, world):
    store_videos(db, images, world, channels(6, 5))
    label(db)
    assert decided(db, leaks, "tech").total == 0


@pytest.mark.parametrize(
    ("statement", "field"),
    [
        ("update thumbrank.channels set split = case split when 'test' then 'train' else 'test' end", "wrong_split"),
        (
            "update thumbrank.training_pairs set channel_key = (select max(channel_key) from thumbrank.channels)",
            "across_channels",
        ),
        ("update thumbrank.thumbnails set exclusion_reason = 'few_views'", "not_counted"),
        ("update thumbrank.picture_versions set phash = 1234567890123456789", "crossing_pictures"),
    ],
)
def test_each_leak_is_found(db, images, world, statement, field):
    store_videos(db, images, world, channels(12, 4))
    label(db)
    with db.connection() as connection:
        connection.execute(statement)
    assert getattr(decided(db, leaks, "tech"), field) > 0


def test_two_counts_tell_how_reliable_labels_are_by_age(db, images, world):
    """A video that overtakes another between its first count, at 2 days, and the last."""
    made = store_videos(db, images, world, {A: [(20, 9_000), (21, 5_000), (30, 2_000)]})
    for number, age, views in ((0, 2, 1_000), (1, 2, 2_000), (2, 10, 1_500)):
        add_counts(db, made[A][number], age, views)
    label(db, label="views_per_hour")
    with db.connection() as connection:
        curve = read_curves(connection, ["tech"])["tech"]
        found = reliability(connection, "tech", "views_per_hour", curve)
    assert [(flips.from_day, flips.to_day, flips.pairs, flips.flipped) for flips in found] == [(1.0, 3.0, 3, 1)]
    assert decided(db, reliability, "tech", "window_views", curve) == []


def test_one_count_a_video_says_nothing_about_reliability(db, images, world):
    store_videos(db, images, world, channels(3, 4))
    built = label(db)
    assert decided(db, reliability, "tech", "age_adjusted", built.labels.curve) == []


def test_only_counts_of_the_api_go_stale(db, images, world):
    now = SEEN + timedelta(days=36)
    store_videos(db, images, world, {A: [(10, 5_000)]})
    assert decided(db, staleness, "tech", now) == Staleness(None, None)
    store_videos(db, images, world, {B: [(10, 5_000)]}, source="youtube_api")
    found = decided(db, staleness, "tech", now)
    assert (found.newest, found.age, found.stale) == (SEEN, timedelta(days=36), True)
    assert not decided(db, staleness, "tech", SEEN + timedelta(days=35)).stale
    assert not Staleness(datetime.now(UTC), timedelta(0)).stale


def test_sizes_are_the_guide_s_and_count_all_niches(db, images, world):
    store_videos(db, images, world, {A: [(10, 5_000), (12, 6_000)]}, niche="tech")
    store_videos(db, images, world, {B: [(10, 5_000), (12, 6_000), (14, 9_000)]}, niche="news")
    label(db, "tech")
    label(db, "news")
    found = {(size.need.stage, size.need.unit): size for size in decided(db, sizes)}
    assert found["minimum", "thumbnails"].have == 5
    assert found["minimum", "channels"].have == 2
    assert found["phase 3", "pairs"].have == 4
    assert str(found["minimum", "channels"]) == (
        "minimum: 2 of 500 channels, 498 short (only unseen channels test a model, and a fifth of them is kept for that)"
    )
    needed = {(need.stage, need.unit): need.needed for need in NEEDS}
    assert needed == {
        ("minimum", "thumbnails"): 120_000,
        ("minimum", "channels"): 500,
        ("minimum", "pairs"): 50_000,
        ("recommended", "thumbnails"): 200_000,
        ("recommended", "channels"): 1_000,
        ("recommended", "pairs"): 150_000,
        ("recommended", "videos with real CTR"): 10_000,
        ("phase 1", "pairs"): 120_000,
        ("phase 2", "pairs"): 200_000,
        ("phase 2", "videos with real CTR"): 1,
        ("phase 3", "pairs"): 300_000,
        ("phase 3", "videos with real CTR"): 1,
    }
