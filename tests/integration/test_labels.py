"""Criteria, baselines, labels and splits in a real Postgres, on videos whose answers are known by hand."""

import threading
import time
from datetime import timedelta

import numpy as np
import pytest

from tests.integration.conftest import SEEN, store_videos
from thumbrank_core.exclusions import Exclusions
from thumbrank_core.labels.baselines import replace_baselines
from thumbrank_core.labels.build import Rules, build_pairs, judge
from thumbrank_core.labels.criteria import CRITERIA, outlier_effect, skipped_for_imports
from thumbrank_core.labels.labelling import read_curves
from thumbrank_core.labels.splits import assign_splits, split_of
from thumbrank_core.niches import NICHES
from thumbrank_core.policy import load_policy
from thumbrank_core.store.catalog import PictureSeen, record_pictures
from thumbrank_core.store.tombstones import lock_for_removal
from thumbrank_core.store.versions import data_version

POLICY = load_policy()
NOTHING = Exclusions({}, {})
A, B = "UCaaaaaaaaaaaaaaaaaaaaaa", "UCbbbbbbbbbbbbbbbbbbbbbb"


def mark(db, niche="tech", *, policy=POLICY.criteria, languages=(), exclusions=NOTHING):
    with db.connection() as connection:
        return judge(connection, niche, Rules(POLICY.model_copy(update={"criteria": policy}), languages, exclusions))


def label(db, niche="tech", policy=POLICY, **changed):
    """Mark, and build with some fields of `labels` changed."""
    labels = policy.labels.model_copy(update=changed)
    with db.connection() as connection:
        rules = Rules(policy.model_copy(update={"labels": labels}), (), NOTHING)
        judge(connection, niche, rules)
        replace_baselines(connection, niche)
        return build_pairs(connection, niche, rules)


def values(db):
    with db.connection() as connection:
        rows = connection.execute(
            "select t.video_id, l.value from thumbrank.video_labels l join thumbrank.thumbnails t using (video_key)"
        ).fetchall()
    return dict(rows)


def add_counts(db, video_id, age_days, views):
    """Counts of a video at another age than the one it was stored with."""
    with db.connection() as connection:
        connection.execute(
            "insert into thumbrank.view_snapshots (video_key, observed_at, view_count) "
            "select video_key, published_at + %s, %s from thumbrank.thumbnails where video_id = %s",
            (timedelta(days=age_days), views, video_id),
        )


def change(db, video_id, assignment, *parameters):
    with db.connection() as connection:
        connection.execute(f"update thumbrank.thumbnails set {assignment} where video_id = %s", (*parameters, video_id))


# Criteria


def test_criteria_have_distinct_names_and_a_reason():
    assert len({criterion.name for criterion in CRITERIA}) == len(CRITERIA)
    assert all(criterion.says for criterion in CRITERIA)


@pytest.mark.parametrize(
    ("reason", "assignment"),
    [
        ("live", "live_broadcast = 'live'"),
        ("live", "video_kind = 'live'"),
        ("short", "video_kind = 'short'"),
        ("too_short", "duration_seconds = 59"),
        ("too_long", "duration_seconds = 3601"),
        ("other_language", "language = 'de-AT'"),
        ("made_for_kids", "made_for_kids = true"),
        ("training_refused", "trainability = 'none'"),
        ("expired", "title = null"),
        ("not_public_yet", "published_at = '2026-08-02'"),
        ("too_old", "published_at = '2026-05-01'"),
        (None, "duration_seconds = 60"),
        (None, "duration_seconds = 3600"),
        (None, "duration_seconds = null"),
        (None, "language = 'en-GB'"),
        (None, "language = null"),
        (None, "video_kind = 'premiere'"),
        (None, "made_for_kids = false"),
        (None, "trainability = 'all'"),
        (None, "published_at = '2026-05-03T00:00:01Z'"),
    ],
)
def test_each_criterion_marks_what_it_names_and_nothing_at_its_border(db, images, world, reason, assignment):
    made = store_videos(db, images, world, {A: [(10, 5_000), (12, 5_000)]})
    change(db, made[A][0], assignment)
    assert mark(db, languages=("en",)) == ({"counted": 1, reason: 1} if reason else {"counted": 2})
    with db.connection() as connection:
        assert connection.execute("select count(*) from thumbrank.thumbnails").fetchone() == (2,)


def test_what_policy_includes_counts(db, images, world):
    made = store_videos(db, images, world, {A: [(10, 5_000), (10, 5_000)]})
    change(db, made[A][0], "video_kind = 'short', duration_seconds = 30")
    change(db, made[A][1], "made_for_kids = true")
    policy = POLICY.criteria.model_copy(update={"shorts": "include", "made_for_kids": "include", "min_minutes": 0.0})
    assert mark(db, policy=policy) == {"counted": 2}


def test_views_pictures_and_removal_are_asked_for(db, images, world):
    made = store_videos(db, images, world, {A: [(10, 5_000), (10, 999), (10, 5_000), (10, 5_000), (10, 5_000)]})
    with db.connection() as connection:
        for table, video in (("picture_versions", made[A][2]), ("view_snapshots", made[A][3])):
            connection.execute(
                f"delete from thumbrank.{table} where video_key = "
                "(select video_key from thumbrank.thumbnails where video_id = %s)",
                (video,),
            )
        connection.execute(
            "insert into thumbrank.misses (kind, item_id, niche, reason, missed_at) values ('video', %s, 'tech', 'not_returned', now())",
            (made[A][4],),
        )
    assert mark(db) == {"counted": 1, "few_views": 1, "no_picture": 1, "no_views": 1, "removed": 1}


def test_a_curated_exclusion_reaches_what_was_stored_before_it(db, images, world):
    made = store_videos(db, images, world, {A: [(10, 5_000), (10, 5_000)], B: [(10, 5_000)]})
    assert mark(db, exclusions=Exclusions({B: "spam"}, {made[A][0]: "asked"})) == {"counted": 1, "excluded": 2}
    assert mark(db) == {"counted": 3}


@pytest.mark.parametrize(
    ("source", "subscribers", "counted"),
    [("import", 5, 3), ("import", 5_000, 3), ("youtube_api", 5_000, 0), ("youtube_api", 5, 0)],
)
def test_imports_are_not_held_to_activity_and_subscribers(db, images, world, source, subscribers, counted):
    store_videos(db, images, world, {A: [(10, 5_000)] * 3}, source=source, subscribers=subscribers)
    assert mark(db)["counted"] == counted
    assert skipped_for_imports() == ["few_subscribers", "inactive_channel"]


def test_marks_are_taken_back_when_the_reason_is_gone(db, images, world):
    made = store_videos(db, images, world, {A: [(10, 10), (12, 5_000)]})
    assert mark(db) == {"counted": 1, "few_views": 1}
    add_counts(db, made[A][0], 11, 50_000)
    assert mark(db) == {"counted": 2}


def test_the_guide_s_outlier_rule_is_off_by_default_and_its_effect_is_told(db, images, world):
    """One video of a hundred times its channel's usual, one of nearly nothing: the rule takes the success."""
    usual = [(10, 10_000 + 10 * number) for number in range(20)]
    made = store_videos(db, images, world, {A: [*usual, (10, 1_000_000), (10, 1_000)]})
    assert mark(db) == {"counted": 22}
    with db.connection() as connection:
        effect = outlier_effect(connection, "tech")
    assert (effect.videos, effect.left_out, effect.above) == (22, 1, 1)
    guide = load_policy(profile="guide").criteria
    assert mark(db, policy=guide) == {"counted": 21, "outlier": 1}
    with db.connection() as connection:
        assert outlier_effect(connection, "tech") == effect
        marked = connection.execute(
            "select video_id from thumbrank.thumbnails where exclusion_reason = 'outlier'"
        ).fetchall()
    assert marked == [(made[A][20],)]


# Baselines


def test_baselines_are_the_channel_s_own(db, images, world):
    store_videos(db, images, world, {A: [(10, 2_400), (20, 9_600), (40, 96_000)], B: [(10, 240_000)]})
    label(db)
    with db.connection() as connection:
        rows = connection.execute(
            "select c.channel_id, b.video_count, exp(b.median_log_vph) - 1, b.mean_vph, b.sd_vph, b.growth, "
            "b.last_published_at - b.first_published_at, b.as_of from thumbrank.channel_baselines b "
            "join thumbrank.channels c using (channel_key) order by 1"
        ).fetchall()
    slope = np.polyfit(np.log([240, 480, 960]), np.log1p([2_400, 9_600, 96_000]), 1)[0]
    assert rows[0][:2] == (A, 3)
    assert rows[0][2:6] == pytest.approx((20.0, (10 + 20 + 100) / 3, np.std([10, 20, 100], ddof=1), slope))
    assert rows[0][6:] == (timedelta(days=30), SEEN)
    assert rows[1][1:4] == (1, pytest.approx(1000.0), pytest.approx(1000.0))
    assert rows[1][4:6] == (None, None)


# Labels


def test_the_label_of_the_policy_is_written_for_every_video_that_counts(db, images, world):
    made = store_videos(db, images, world, {A: [(10, 24_000), (20, 24_000), (30, 100)]})
    built = label(db, label="views_per_hour")
    assert values(db) == {made[A][0]: pytest.approx(100.0), made[A][1]: pytest.approx(50.0)}
    assert (built.labels.videos, built.labels.as_of) == (2, SEEN)


def test_age_adjusted_is_the_default_and_its_curve_is_kept(db, images, world):
    generator = np.random.default_rng(0)
    ages = {f"UC{i:022d}": generator.uniform(7, 85, 14) for i in range(6)}
    views = {c: [(float(age), int(2_000 * age**0.8)) for age in of] for c, of in ages.items()}
    store_videos(db, images, world, views)
    label(db)
    found = np.log(list(values(db).values()))
    raw = np.log([count for of in views.values() for _, count in of])
    assert found.std() < 0.2 * raw.std(), "videos that follow the growth curve are all about as usual"
    with db.connection() as connection:
        curve = read_curves(connection, ["tech", "news"])
    training = sum(split_of(channel) == "train" for channel in views)
    assert list(curve) == ["tech"]
    assert (curve["tech"].n_channels, curve["tech"].n_videos) == (training, 14 * training)


def test_growth_is_fitted_on_training_channels_only(db, images, world):
    channels = [f"UC{i:022d}" for i in range(12)]
    ages = np.linspace(8, 85, 10)
    store_videos(db, images, world, {c: [(float(age), int(5_000 * age**0.3)) for age in ages] for c in channels})
    label(db)
    with db.connection() as connection:
        before = read_curves(connection, ["tech"])["tech"]
        connection.execute(
            "update thumbrank.view_snapshots s set view_count = 9000000 from thumbrank.thumbnails t join thumbrank.channels c "
            "using (channel_key) where s.video_key = t.video_key and c.split <> 'train'"
        )
    label(db)
    with db.connection() as connection:
        after = read_curves(connection, ["tech"])["tech"]
    assert {split_of(channel) for channel in channels} == {"train", "validation", "test"} or before.n_channels < 12
    assert after.log_growth.tolist() == before.log_growth.tolist()


def test_a_video_younger_than_a_week_has_no_label_and_is_counted(db, images, world):
    made = store_videos(db, images, world, {A: [(6.9, 5_000), (7.0, 5_000), (20, 5_000)]})
    built = label(db)
    assert set(values(db)) == set(made[A][1:])
    assert built.left_out == {"too_young": 1}


def test_window_views_come_from_snapshots_around_the_window_s_end(db, images, world):
    made = store_videos(db, images, world, {A: [(40, 8_000), (40, 8_000), (28, 7_000)]})
    add_counts(db, made[A][0], 20, 4_000)
    built = label(db, label="window_views")
    found = values(db)
    assert set(found) == {made[A][0], made[A][2]}
    assert found[made[A][2]] == pytest.approx(7_000)
    assert 4_000 < found[made[A][0]] < 8_000
    assert built.left_out == {"no_window": 1}


def test_counts_of_different_meanings_are_not_paired(db, images, world):
    made = store_videos(db, images, world, {A: [(10, 5_000), (12, 6_000), (14, 7_000)]})
    with db.connection() as connection:
        connection.execute(
            "update thumbrank.view_snapshots set observed_at = '2026-08-30' where video_key = "
            "(select video_key from thumbrank.thumbnails where video_id = %s)",
            (made[A][0],),
        )
    built = label(db)
    assert (built.labels.videos, built.pairs.pairs) == (3, 1)


# Pictures that change


def see(db, images, world, video_id, days, number):
    """Another look at the picture of a video, `days` after the first."""
    picture = images.put(_picture(world, number))
    with db.connection() as connection:
        record_pictures(connection, [PictureSeen(video_id, picture, None, SEEN + timedelta(days=days))])


def _picture(world, number):
    from thumbrank_core.simulator.pictures import jpeg_bytes

    return jpeg_bytes(world, world.videos[number], "medium")


def changed_at(db, video_id):
    with db.connection() as connection:
        row = connection.execute(
            "select picture_changed_at from thumbrank.thumbnails where video_id = %s", (video_id,)
        ).fetchone()
    return row[0]


@pytest.fixture
def one_video(db, images, world):
    made = store_videos(db, images, world, {A: [(10, 5_000), (12, 5_000)]})
    with db.connection() as connection:
        connection.execute("delete from thumbrank.picture_versions")
    for video in made[A]:
        see(db, images, world, video, 0.1, 20)
    return made[A][0]


def test_the_same_picture_seen_again_changes_nothing(db, images, world, one_video):
    see(db, images, world, one_video, 30, 20)
    assert changed_at(db, one_video) is None
    assert label(db).left_out == {}


def test_views_that_two_pictures_earned_have_no_label(db, images, world, one_video):
    see(db, images, world, one_video, 30, 40)
    assert changed_at(db, one_video) == SEEN + timedelta(days=30)
    add_counts(db, one_video, 41, 9_000)
    assert label(db).left_out == {"picture_changed": 1}


def test_counts_from_before_the_change_keep_their_label(db, images, world, one_video):
    see(db, images, world, one_video, 30, 40)
    assert label(db).left_out == {}


def test_a_change_is_remembered_when_the_first_picture_has_expired(db, images, world, one_video):
    see(db, images, world, one_video, 30, 40)
    add_counts(db, one_video, 45, 9_000)
    with db.connection() as connection:
        connection.execute(
            "delete from thumbrank.picture_versions where last_seen_at < %s", (SEEN + timedelta(days=1),)
        )
    assert label(db).left_out["picture_changed"] == 1


# Splits, and the whole


def test_every_channel_gets_the_split_of_its_hash_once(db, images, world):
    store_videos(db, images, world, {A: [(10, 5_000)], B: [(10, 5_000)]})
    with db.connection() as connection:
        assert assign_splits(connection, "news") == 0
        assert assign_splits(connection, "tech") == 2
        assert assign_splits(connection, "tech") == 0
        rows = dict(connection.execute("select channel_id, split from thumbrank.channels").fetchall())
    assert rows == {A: split_of(A), B: split_of(B)}


@pytest.mark.parametrize(("oldest", "holdout"), [(80, 30), (60, 30), (24, 12)])
def test_the_time_holdout_is_thirty_days_or_half_of_what_there_is(db, images, world, oldest, holdout):
    store_videos(db, images, world, {A: [(10, 5_000), (oldest, 6_000)]})
    label(db)
    with db.connection() as connection:
        row = connection.execute("select label, as_of, cut, left_out from thumbrank.pair_builds").fetchone()
    assert row == ("age_adjusted", SEEN, SEEN - timedelta(days=holdout), {})


def test_building_twice_changes_nothing(db, images, world):
    store_videos(db, images, world, {A: [(10, 5_000), (12, 6_000), (14, 7_000)], B: [(20, 9_000), (30, 4_000)]})

    def state():
        label(db)
        with db.connection() as connection:
            tables = ("video_labels", "training_pairs", "channel_baselines", "growth_curves", "pair_builds")
            rows = {t: connection.execute(f"select * from thumbrank.{t} order by 1, 2").fetchall() for t in tables}
            return rows, data_version(connection, "pairs", "tech"), data_version(connection, "baselines", "tech")

    assert state() == state()


def test_a_niche_is_replaced_without_touching_another(db, images, world):
    store_videos(db, images, world, {A: [(10, 5_000), (12, 6_000)]}, niche="tech")
    store_videos(db, images, world, {B: [(10, 5_000), (12, 6_000)]}, niche="news")
    label(db, "tech")
    label(db, "news")

    def news():
        with db.connection() as connection:
            tables = ("video_labels", "training_pairs", "channel_baselines", "growth_curves", "pair_builds")
            return [
                connection.execute(f"select ctid, xmin, * from thumbrank.{t} where niche = 'news'").fetchall()
                for t in tables
            ]

    before = news()
    with db.connection() as connection:
        connection.execute("update thumbrank.view_snapshots set view_count = 1")
        build_pairs(connection, "tech", Rules(POLICY, (), NOTHING))
    assert news() == before
    with db.connection() as connection:
        assert connection.execute("select count(*) from thumbrank.training_pairs where niche = 'tech'").fetchone() == (
            0,
        )


def test_the_database_knows_exactly_the_frozen_niches(db):
    with db.connection() as connection:
        rows = connection.execute("select unnest(%s::text[])::thumbrank.niche", (list(NICHES),)).fetchall()
        partitions = connection.execute(
            "select inhrelid::regclass::text from pg_inherits where inhparent = 'thumbrank.training_pairs'::regclass"
        ).fetchall()
    assert len(rows) == len(NICHES)
    assert {name for (name,) in partitions} == {f"thumbrank.training_pairs_{niche}" for niche in NICHES}


# Beside others


def test_what_was_collected_after_the_judging_is_judged_with_the_pairs(db, images, world):
    """A video of a handful of views that came in between, on a channel that has no split yet."""
    store_videos(db, images, world, {A: [(10, 5_000), (12, 6_000)]})
    mark(db)
    store_videos(db, images, world, {B: [(10, 5), (12, 7), (14, 9_000)]})
    with db.connection() as connection:
        built = build_pairs(connection, "tech", Rules(POLICY, (), NOTHING))
        splits = connection.execute("select count(*) from thumbrank.channels where split is null").fetchone()
    assert (built.labels.videos, built.pairs.pairs, splits) == (3, 1, (0,))


def test_two_builds_of_one_niche_follow_one_another_and_a_removal_waits(db, images, world):
    store_videos(db, images, world, {A: [(10, 5_000), (12, 6_000)]})
    rules, begun, ended = Rules(POLICY, (), NOTHING), threading.Event(), []

    def work(number, function):
        begun.wait()
        with db.connection() as connection:
            function(connection)
            ended.append(number)

    def forget_all(connection):
        lock_for_removal(connection)
        for table in ("training_pairs", "video_labels", "thumbnails"):
            connection.execute(f"delete from thumbrank.{table}")

    others = [
        threading.Thread(target=work, args=(number, function))
        for number, function in enumerate((lambda c: build_pairs(c, "tech", rules), forget_all))
    ]
    for other in others:
        other.start()
    with db.connection() as connection:
        build_pairs(connection, "tech", rules)
        begun.set()
        time.sleep(0.3)
        assert ended == []
    for other in others:
        other.join(30)
    assert sorted(ended) == [0, 1]
    with db.connection() as connection:
        left = connection.execute(
            "select count(*) from thumbrank.video_labels l left join thumbrank.thumbnails t using (video_key) "
            "where t.video_key is null"
        ).fetchone()
    assert left == (0,)


def test_judging_a_niche_writes_no_row_of_another(db, images, world):
    store_videos(db, images, world, {A: [(10, 5_000)]}, niche="tech")
    store_videos(db, images, world, {B: [(10, 5_000)]}, niche="news")
    mark(db, "tech")
    with db.connection() as connection:
        assert connection.execute("select split from thumbrank.channels where niche = 'news'").fetchall() == [(None,)]


def test_a_window_before_the_change_of_what_a_view_is_keeps_its_regime_and_its_picture(db, images, world):
    """Counted again after the change and after a new picture: neither belongs to the window's views."""
    made = store_videos(db, images, world, {A: [(28, 5_000), (28.1, 7_000)]})
    for video in made[A]:
        add_counts(db, video, 27, 4_000)
        add_counts(db, video, 70, 90_000)
    change(db, made[A][0], "picture_changed_at = %s", SEEN + timedelta(days=20))
    built = label(db, label="window_views")
    assert (built.labels.videos, built.pairs.pairs, built.left_out) == (2, 1, {})
    with db.connection() as connection:
        rows = connection.execute("select distinct regime, observed_at <= %s from thumbrank.video_labels", (SEEN,))
        assert rows.fetchall() == [(0, True)]


def test_growth_is_learnt_from_videos_of_few_views_too(db, images, world):
    """Without them the young videos of a small channel are only its successes, and the curve comes out too flat."""
    generator = np.random.default_rng(0)
    ages = generator.uniform(7, 85, (40, 12))
    views = {
        f"UC{c:022d}": [(a, int(600 * a**0.5 * np.exp(0.8 * generator.normal()))) for a in of]
        for c, of in enumerate(ages)
    }
    store_videos(db, images, world, views)
    label(db)
    with db.connection() as connection:
        curve = read_curves(connection, ["tech"])["tech"]
        marked = connection.execute(
            "select count(*) from thumbrank.thumbnails where exclusion_reason = 'few_views'"
        ).fetchone()
    assert marked[0] > 25
    assert np.diff(curve.at(np.array([7.0, 85.0])))[0] == pytest.approx(0.5 * np.log(85 / 7), rel=0.25)
