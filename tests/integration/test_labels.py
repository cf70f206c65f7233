"""Criteria, baselines and pairs in a real Postgres, on videos whose answers are known by hand."""

import itertools

import pytest

from tests.integration.conftest import store_videos
from thumbrank_core.labels.baselines import replace_baselines
from thumbrank_core.labels.criteria import CRITERIA, mark_exclusions, skipped_for_imports
from thumbrank_core.labels.pairs import replace_pairs
from thumbrank_core.labels.splits import assign_splits, split_of
from thumbrank_core.niches import NICHES
from thumbrank_core.policy import PairPolicy, load_policy
from thumbrank_core.store.versions import data_version

PAIRS = PairPolicy(window_days=30)
CRITERIA_POLICY = load_policy().criteria
A, B = "UCaaaaaaaaaaaaaaaaaaaaaa", "UCbbbbbbbbbbbbbbbbbbbbbb"


def label(db, niche="tech"):
    with db.connection() as connection:
        assign_splits(connection)
        marked = mark_exclusions(connection, niche, CRITERIA_POLICY)
        baselines = replace_baselines(connection, niche)
        return marked, baselines, replace_pairs(connection, niche, PAIRS)


def pair_rows(db):
    with db.connection() as connection:
        return connection.execute(
            "select a.video_id, b.video_id, p.outcome, p.margin, p.age_gap_hours, p.weight from thumbrank.training_pairs p "
            "join thumbrank.thumbnails a on a.video_key = a_key join thumbrank.thumbnails b on b.video_key = b_key order by 1, 2"
        ).fetchall()


def test_pairs_are_of_one_channel_within_thirty_days_and_the_higher_rate_wins(db, images, world):
    views = {A: [(10, 24_000), (20, 24_000), (45, 54_000), (60, 10_000)], B: [(12, 5_000)]}
    made = store_videos(db, images, world, views)
    _, _, summary = label(db)
    ages, rates = [10, 20, 45, 60], [100.0, 50.0, 50.0, 10_000 / 1440]
    expected = {
        frozenset((made[A][i], made[A][j])): (rates[i], rates[j])
        for i, j in itertools.combinations(range(4), 2)
        if abs(ages[i] - ages[j]) <= 30
    }
    rows = pair_rows(db)
    assert {frozenset(row[:2]) for row in rows} == set(expected)
    rate = dict(zip(made[A], rates, strict=True))
    age = dict(zip(made[A], ages, strict=True))
    for a, b, outcome, margin, gap, weight in rows:
        assert outcome == (0.5 if rate[a] == rate[b] else float(rate[a] > rate[b]))
        assert margin == pytest.approx(abs(rate[a] - rate[b]) / max(rate[a], rate[b]))
        assert gap == pytest.approx(24 * (age[b] - age[a]))
        assert weight == pytest.approx(1 / len(rows))
    assert (summary.pairs, summary.channels, summary.videos, summary.ties) == (len(expected), 1, 4, 1)


def test_the_order_of_a_pair_tells_nothing(db, images, world):
    views = {f"UC{i:022d}": [(10 + day, 1_000 * (40 - day)) for day in range(24)] for i in range(2)}
    store_videos(db, images, world, views)
    _, _, summary = label(db)
    assert summary.newer_wins == 1.0
    assert abs(summary.a_wins - 0.5) < 5 * 0.5 / summary.pairs**0.5


def test_baselines_are_the_channel_s_own(db, images, world):
    store_videos(db, images, world, {A: [(10, 2_400), (10, 4_800), (10, 24_000)], B: [(10, 240_000)]})
    label(db)
    with db.connection() as connection:
        rows = connection.execute(
            "select c.channel_id, b.video_count, exp(b.median_log_vph) - 1, b.mean_vph, b.sd_vph from thumbrank.channel_baselines b "
            "join thumbrank.channels c using (channel_key) order by 1"
        ).fetchall()
    assert rows[0][:2] == (A, 3)
    assert rows[0][2:4] == pytest.approx((20.0, (10 + 20 + 100) / 3))
    assert rows[1][1:4] == (1, pytest.approx(1000.0), pytest.approx(1000.0))
    assert rows[1][4] is None


def test_each_criterion_marks_and_none_deletes(db, images, world):
    store_videos(db, images, world, {A: [(10, 5_000), (10, 10), (-1, 5_000)]})
    with db.connection() as connection:
        connection.execute(
            "insert into thumbrank.thumbnails (video_id, channel_key, title, published_at, live_broadcast, source, "
            "fetched_at) select v.id, channel_key, 't', '2026-07-20', v.live, 'import', '2026-08-01' "
            "from thumbrank.channels, (values ('nopicture', 'none'), ('noviews', 'none'), ('live', 'live')) v(id, live)"
        )
        connection.execute(
            "insert into thumbrank.view_snapshots select video_key, '2026-08-01', 9000 from thumbrank.thumbnails "
            "where video_id in ('nopicture', 'live')"
        )
    marked, _, _ = label(db)
    assert marked == {"counted": 1, "few_views": 1, "not_public_yet": 1, "no_picture": 1, "no_views": 1, "live": 1}
    with db.connection() as connection:
        assert connection.execute("select count(*) from thumbrank.thumbnails").fetchone() == (6,)


@pytest.mark.parametrize(
    ("source", "subscribers", "counted"),
    [("import", 5, 3), ("import", 5_000, 3), ("youtube_api", 5_000, 0), ("youtube_api", 5, 0)],
)
def test_imports_are_not_held_to_activity_and_subscribers(db, images, world, source, subscribers, counted):
    store_videos(db, images, world, {A: [(10, 5_000)] * 3}, source=source, subscribers=subscribers)
    assert label(db)[0]["counted"] == counted
    assert skipped_for_imports() == ["few_subscribers", "inactive_channel"]


def test_marks_are_taken_back_when_the_reason_is_gone(db, images, world):
    made = store_videos(db, images, world, {A: [(10, 10), (12, 5_000)]})
    assert label(db)[0] == {"counted": 1, "few_views": 1}
    with db.connection() as connection:
        connection.execute(
            "insert into thumbrank.view_snapshots select video_key, '2026-08-02', 50000 from thumbrank.thumbnails "
            "where video_id = %s",
            (made[A][0],),
        )
    assert label(db)[0] == {"counted": 2}


def test_a_niche_is_replaced_without_touching_another(db, images, world):
    store_videos(db, images, world, {A: [(10, 5_000), (12, 6_000)]}, niche="tech")
    store_videos(db, images, world, {B: [(10, 5_000), (12, 6_000)]}, niche="news")
    label(db, "tech")
    label(db, "news")
    with db.connection() as connection:
        before = data_version(connection, "pairs", "news")
        connection.execute("update thumbrank.thumbnails set exclusion_reason = 'few_views'")
        replace_pairs(connection, "tech", PAIRS)
        assert data_version(connection, "pairs", "news") == before
        assert connection.execute("select count(*) from thumbrank.training_pairs where niche = 'tech'").fetchone() == (
            0,
        )


def test_building_twice_gives_the_same_version(db, images, world):
    store_videos(db, images, world, {A: [(10, 5_000), (12, 6_000), (14, 7_000)]})
    label(db)
    with db.connection() as connection:
        first = data_version(connection, "pairs", "tech")
    label(db)
    with db.connection() as connection:
        assert data_version(connection, "pairs", "tech") == first


def test_every_channel_gets_the_split_of_its_hash_once(db, images, world):
    store_videos(db, images, world, {A: [(10, 5_000)], B: [(10, 5_000)]})
    with db.connection() as connection:
        assert assign_splits(connection) == 2
        assert assign_splits(connection) == 0
        rows = dict(connection.execute("select channel_id, split from thumbrank.channels").fetchall())
    assert rows == {A: split_of(A), B: split_of(B)}


def test_the_database_knows_exactly_the_frozen_niches(db):
    with db.connection() as connection:
        rows = connection.execute("select unnest(%s::text[])::thumbrank.niche", (list(NICHES),)).fetchall()
        partitions = connection.execute(
            "select inhrelid::regclass::text from pg_inherits where inhparent = 'thumbrank.training_pairs'::regclass"
        ).fetchall()
    assert len(rows) == len(NICHES)
    assert {name for (name,) in partitions} == {f"thumbrank.training_pairs_{niche}" for niche in NICHES}


def test_criteria_have_distinct_names_and_a_reason():
    assert len({criterion.name for criterion in CRITERIA}) == len(CRITERIA)
    assert all(criterion.says for criterion in CRITERIA)
