"""Labels and what is told of them, at their borders: in a real Postgres, on videos whose answers are known by hand."""

from datetime import timedelta

import numpy as np
import pytest

from tests.integration.conftest import SEEN, store_videos
from tests.integration.test_labels import A, B, add_counts, change, label, mark, values
from tests.integration.test_pairs import Niche, Video, build
from thumbrank_core.exclusions import Exclusions
from thumbrank_core.labels.build import Rules, build_pairs
from thumbrank_core.labels.evidence import leaks, reliability
from thumbrank_core.labels.pairs import pair_summary
from thumbrank_core.labels.splits import split_of
from thumbrank_core.policy import LabelName, load_policy

POLICY = load_policy()
TEN = [(10.0 + number, 5_000) for number in range(10)]


@pytest.mark.parametrize(
    ("videos", "subscribers", "found"),
    [
        (TEN, 100, {"counted": 10}),
        (TEN, 99, {"counted": 0, "few_subscribers": 10}),
        (TEN, None, {"counted": 10}),  # hidden
        (TEN[:9], 100, {"counted": 0, "inactive_channel": 9}),
        ([*TEN[:9], (90, 5_000)], 100, {"counted": 10}),
        ([*TEN[:9], (90.1, 5_000)], 100, {"counted": 0, "inactive_channel": 9, "too_old": 1}),
        ([*TEN[:9], (10, 1_000)], 100, {"counted": 10}),
        ([*TEN[:9], (10, 999)], 100, {"counted": 9, "few_views": 1}),
    ],
)
def test_a_channel_at_the_limits_of_the_policy(db, images, world, videos, subscribers, found):
    store_videos(db, images, world, {A: videos}, source="youtube_api", subscribers=subscribers)
    assert mark(db) == found


def test_a_channel_s_uploads_are_counted_by_channel(db, images, world):
    """Six and four are ten, and of neither channel."""
    store_videos(db, images, world, {A: TEN[:6], B: TEN[:4]}, source="youtube_api")
    assert mark(db) == {"counted": 0, "inactive_channel": 10}


def test_activity_is_counted_back_from_the_newest_look_at_the_niche(db, images, world):
    made = store_videos(db, images, world, {A: [*TEN[:9], (95, 5_000)]}, source="youtube_api")
    change(db, made[A][0], "fetched_at = %s", SEEN - timedelta(days=30))
    assert mark(db) == {"counted": 0, "inactive_channel": 9, "too_old": 1}


def test_the_first_reason_of_the_table_is_the_one_that_is_written(db, images, world):
    made = store_videos(db, images, world, {A: [(10, 5), (10, 5_000)]})
    change(db, made[A][0], "video_kind = 'short', duration_seconds = 30, made_for_kids = true")
    assert mark(db) == {"counted": 1, "short": 1}


@pytest.mark.parametrize(("languages", "counted"), [(("EN",), 1), (("de", "en"), 2), ((), 3)])
def test_languages_are_compared_without_case_and_none_named_is_all(db, images, world, languages, counted):
    made = store_videos(db, images, world, {A: [(10, 5_000)] * 3})
    for video, language in zip(made[A], ("En-us", "DE", "fr"), strict=True):
        change(db, video, "language = %s", language)
    assert mark(db, languages=languages)["counted"] == counted


def test_baselines_are_as_of_the_newest_counts(db, images, world):
    made = store_videos(db, images, world, {A: [(10, 5_000), (20, 5_000)]})
    add_counts(db, made[A][0], 12, 6_000)
    label(db)
    with db.connection() as connection:
        assert connection.execute("select as_of from thumbrank.channel_baselines").fetchone() == (
            SEEN + timedelta(days=2),
        )


def test_in_baselines_an_age_below_an_hour_counts_as_an_hour(db, images, world):
    hours = [0.25, 1.5, 12]
    store_videos(db, images, world, {A: [(hour / 24, 2_000 + 3_000 * n) for n, hour in enumerate(hours)]})
    label(db)
    slope = np.polyfit(np.log([1, 1.5, 12]), np.log1p([2_000, 5_000, 8_000]), 1)[0]
    with db.connection() as connection:
        row = connection.execute("select mean_vph, growth from thumbrank.channel_baselines").fetchone()
    assert row == pytest.approx(((2_000 + 5_000 / 1.5 + 8_000 / 12) / 3, slope), abs=2e-6)


def test_a_niche_without_a_video_is_built_of_nothing(db):
    with db.connection() as connection:
        built = build_pairs(connection, "tech", Rules(POLICY, (), Exclusions({}, {})))
        builds = connection.execute("select label, as_of, cut, left_out, videos, pairs from thumbrank.pair_builds")
        assert builds.fetchall() == [("age_adjusted", None, None, {}, 0, 0)]
        assert connection.execute("select from thumbrank.growth_curves").fetchall() == []
    assert (built.labels.videos, built.labels.as_of, built.pairs.pairs, built.left_out) == (0, None, 0, {})


@pytest.mark.parametrize(
    ("other", "shares"),
    [
        (Video("b", 0, 9), (None, True)),  # published at once: neither is the newer one
        (Video("b", 1, 5), (None, False)),  # a tie
        (Video("b", 1, 9), (1.0, True)),
        (Video("b", 1, 1), (0.0, True)),
    ],
)
def test_the_newer_one_wins_among_pairs_that_have_a_winner_and_a_newer_one(db, other, shares):
    Niche([Video("a", 0, 5), other]).store(db)
    summary = build(db)
    assert (summary.newer_wins, summary.a_wins is not None) == shares
    assert (summary.pairs, summary.channels, summary.videos) == (1, 1, 2)


def test_splits_without_pairs_have_none(db, images, world):
    store_videos(db, images, world, {A: [(10, 5_000), (12, 6_000)]})
    label(db)
    with db.connection() as connection:
        summary = pair_summary(connection, "tech")
    assert summary.by_split == {"train": 0, "validation": 0, "test": 0} | {split_of(A): 1}


@pytest.mark.parametrize(
    ("came", "left", "changed", "kept"),
    [
        (-1, 0, 1, True),  # seen with the very counts
        (-1, -0.01, 1, False),
        (-1, 2, 0, False),  # the other one was there when they were counted
        (-1, 2, 0.01, True),
        (1, 2, 1, False),  # nobody knows which was first
    ],
)
def test_views_are_the_first_picture_s_where_it_was_there_until_they_were_counted(
    db, images, world, came, left, changed, kept
):
    """In days after the counts: when the first picture was first and last seen, and when the other one was first."""
    made = store_videos(db, images, world, {A: [(10, 5_000), (12, 5_000)]})
    change(db, made[A][0], "picture_changed_at = %s", SEEN + timedelta(days=changed))
    with db.connection() as connection:
        connection.execute(
            "update thumbrank.picture_versions set first_seen_at = %s, last_seen_at = %s where video_key = "
            "(select video_key from thumbrank.thumbnails where video_id = %s)",
            (SEEN + timedelta(days=came), SEEN + timedelta(days=left), made[A][0]),
        )
    assert label(db).left_out == ({} if kept else {"picture_changed": 1})


@pytest.mark.parametrize("name", ["age_adjusted", "window_views"])
def test_labels_do_not_depend_on_how_many_rows_are_read_at_a_time(db, images, world, monkeypatch, name):
    channels = (f"UC{number:022d}" for number in range(5))
    made = store_videos(db, images, world, {c: [(28 + n, 2_000 * (n + 1)) for n in range(3)] for c in channels})
    for videos in made.values():
        add_counts(db, videos[0], 60, 90_000)
    label(db, label=name)
    whole = values(db)
    assert len(whole) >= 5
    for module in ("labels.labelling", "store.arrays"):
        monkeypatch.setattr(f"thumbrank_core.{module}.CHUNK_ROWS", 2)
    label(db, label=name)
    assert values(db) == whole


def reliable(db, name: LabelName = "views_per_hour"):
    built = label(db, label=name)
    with db.connection() as connection:
        return [
            (one.from_day, one.to_day, one.pairs, one.flipped)
            for one in reliability(connection, "tech", name, built.labels.curve)
        ]


def test_flips_are_counted_by_the_age_of_the_younger_video_when_first_counted(db, images, world):
    """A pair a channel, both videos counted at 40 and 41 days, and first one after the other; every second pair turned round."""
    first = (0.5, 1.0, 3.0, 6.9, 7.0, 14.0, 29.9, 30.0, 39.0, 39.1)
    channels = [f"UC{number:022d}" for number in range(len(first))]
    made = store_videos(db, images, world, {c: [(40, 90_000), (41, 5_000)] for c in channels})
    for number, (age, channel) in enumerate(zip(first, channels, strict=True)):
        turned = number % 2 == 0
        add_counts(db, made[channel][0], age, 1 if turned else 2_000)
        add_counts(db, made[channel][1], age + 1, 2_000 if turned else 1)
    expected = [
        (0.0, 1.0, 1, 1),
        (1.0, 3.0, 1, 0),
        (3.0, 7.0, 2, 1),
        (7.0, 14.0, 1, 1),
        (14.0, 30.0, 2, 1),
        (30.0, float("inf"), 2, 1),  # that of 39.1 days was counted again less than a day later
    ]
    assert reliable(db) == expected
    assert reliable(db, "age_adjusted") == expected


def test_two_videos_that_were_equal_once_have_not_changed_sides(db, images, world):
    made = store_videos(db, images, world, {A: [(40, 9_000), (40, 5_000)]})
    for video in made[A]:
        add_counts(db, video, 20, 2_000)
    assert reliable(db) == []


def test_a_video_whose_title_expired_is_no_leak_and_crossing_pictures_are_looked_for_where_they_may_be(
    db, images, world
):
    store_videos(db, images, world, {f"UC{number:022d}": [(10, 5_000), (12, 6_000)] for number in range(12)})
    label(db)
    with db.connection() as connection:
        connection.execute("update thumbrank.thumbnails set exclusion_reason = 'expired', title = null")
        connection.execute("update thumbrank.picture_versions set phash = 1234567890123456789")
        assert leaks(connection, "tech", none_crosses=True).total == 0
        found = leaks(connection, "tech")
    assert (found.total, found.not_counted) == (found.crossing_pictures, 0)
    assert found.crossing_pictures > 0
