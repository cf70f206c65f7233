"""Pairs in a real Postgres: every rule against values known by hand and a plain loop, and what one niche does to another."""

import itertools
import math
import random
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import numpy as np
import psycopg
import pytest
from psycopg import sql

from thumbrank_core.labels.duplicates import block_masks, cross_split_duplicates, drop_cross_split
from thumbrank_core.labels.pairs import newer_wins_by_channel, pair_summary, replace_pairs
from thumbrank_core.niches import NICHES, UnknownNicheError
from thumbrank_core.paths import migrations_folder
from thumbrank_core.policy import PairPolicy
from thumbrank_core.store.database import Database, connect
from thumbrank_core.store.migrate import migrate
from thumbrank_core.store.versions import data_version

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
ALL = PairPolicy(window_days=30, later_partners=None, soft_target_tau=0.5, ties="half", min_margin=0)


@dataclass(frozen=True)
class Video:
    """A labelled video. `day` counts from NOON; pictures are (hash, day first seen)."""

    id: str
    day: float
    value: float
    channel: str = "UC-a"
    regime: int = 1
    title: str | None = None
    seconds: int | None = None
    pictures: tuple[tuple[int, float], ...] = ()


@dataclass
class Niche:
    """Videos of one niche; the split of a channel is in its id: UC-…-validation, UC-…-test, else train."""

    videos: list[Video] = field(default_factory=list)
    name: str = "tech"

    def store(self, db: Database) -> None:
        with db.connection() as connection:
            for channel in dict.fromkeys(v.channel for v in self.videos):
                connection.execute(
                    "insert into thumbrank.channels (channel_id, niche, split, source, fetched_at) values (%s, %s, %s, 'import', %s)",
                    (channel, self.name, split_in(channel), NOON),
                )
            for number, v in enumerate(self.videos):
                connection.execute(
                    "insert into thumbrank.thumbnails (video_id, channel_key, title, published_at, duration_seconds, source, fetched_at) "
                    "select %s, channel_key, %s, %s, %s, 'import', %s from thumbrank.channels where channel_id = %s",
                    (v.id, v.title, NOON + timedelta(days=v.day), v.seconds, NOON, v.channel),
                )
                for at, (phash, day) in enumerate(v.pictures):
                    connection.execute(
                        "insert into thumbrank.picture_versions select video_key, %s, null, 320, 180, 9, %s, %s, %s "
                        "from thumbrank.thumbnails where video_id = %s",
                        (
                            bytes([number % 256, number // 256, at]).ljust(32),
                            phash,
                            NOON + timedelta(days=day),
                            NOON,
                            v.id,
                        ),
                    )
        self.label(db)

    def label(self, db: Database) -> None:
        with db.connection() as connection:
            connection.execute("delete from thumbrank.video_labels where niche = %s", (self.name,))
            for v in self.videos:
                connection.execute(
                    "insert into thumbrank.video_labels select video_key, channel_key, %s, %s, %s, %s, coalesce(p.sha256, '') "
                    "from thumbrank.thumbnails left join thumbrank.first_pictures p using (video_key) where video_id = %s",
                    (self.name, v.value, v.regime, NOON, v.id),
                )


def split_in(channel: str) -> str:
    return next((split for split in ("validation", "test") if channel.endswith(split)), "train")


def build(db: Database, policy: PairPolicy = ALL, niche: str = "tech"):
    with db.connection() as connection:
        return replace_pairs(connection, niche, policy)


def version(db: Database, niche: str = "tech") -> str:
    with db.connection() as connection:
        return data_version(connection, "pairs", niche)


def rows(db: Database, niche: str = "tech") -> dict[tuple[str, str], tuple[str, float, float, float, float, float]]:
    """(a, b) -> channel, outcome, margin, soft target, age gap, weight."""
    with db.connection() as connection:
        found = connection.execute(
            "select a.video_id, b.video_id, c.channel_id, p.outcome, p.margin, p.soft_target, p.age_gap_hours, p.weight "
            "from thumbrank.training_pairs p join thumbrank.thumbnails a on a.video_key = a_key "
            "join thumbrank.thumbnails b on b.video_key = b_key join thumbrank.channels c on c.channel_key = p.channel_key "
            "where p.niche = %s",
            (niche,),
        ).fetchall()
    made = {(row[0], row[1]): tuple(row[2:]) for row in found}
    assert len(made) == len(found)
    return made


def unordered(db: Database, niche: str = "tech") -> set[frozenset[str]]:
    found = rows(db, niche)
    assert len({frozenset(pair) for pair in found}) == len(found)
    return {frozenset(pair) for pair in found}


def by_loop(videos: list[Video], policy: PairPolicy) -> dict[frozenset[str], tuple[Video, Video]]:
    """The pairs as the rules read, one video after the other: {ids: (earlier, later)}."""
    pairs: dict[frozenset[str], tuple[Video, Video]] = {}
    for x in videos:
        later = [
            y
            for y in videos
            if (y.channel, y.regime) == (x.channel, x.regime)
            and (y.day, y.id) > (x.day, x.id)
            and y.day - x.day <= policy.window_days
        ]
        for y in sorted(later, key=lambda v: (v.day, v.id))[: policy.later_partners]:
            if policy.ties == "drop" and x.value == y.value:
                continue
            if split_in(x.channel) == "train" and margin_of(x.value, y.value) < policy.min_margin:
                continue
            pairs[frozenset((x.id, y.id))] = (x, y)
    return pairs


def margin_of(a: float, b: float) -> float:
    return abs(a - b) / max(a, b) if max(a, b) > 0 else 0.0


def soft_target_of(a: float, b: float, tau: float) -> float:
    if a == b:
        return 0.5
    if min(a, b) == 0:
        return float(a > b)
    return 0.5 + 0.5 * math.tanh((math.log(a) - math.log(b)) / (2 * tau))


def check_against_loop(db: Database, videos: list[Video], policy: PairPolicy) -> None:
    expected, of_channel = by_loop(videos, policy), Counter[str]()
    for x, _ in expected.values():
        of_channel[x.channel] += 1
    found, video = rows(db), {v.id: v for v in videos}
    assert {frozenset(pair) for pair in found} == set(expected)
    for (a_id, b_id), (channel, outcome, margin, soft_target, gap, weight) in found.items():
        a, b = video[a_id], video[b_id]
        assert channel == a.channel == b.channel
        assert outcome == (0.5 if a.value == b.value else float(a.value > b.value))
        assert margin == pytest.approx(margin_of(a.value, b.value), abs=1e-6)
        assert soft_target == pytest.approx(soft_target_of(a.value, b.value, policy.soft_target_tau), abs=1e-6)
        assert gap == pytest.approx(24 * (a.day - b.day), abs=1e-3)
        assert weight == pytest.approx(1 / of_channel[channel], rel=1e-6)


def random_videos(seed: int, channels: int = 6, most: int = 25) -> list[Video]:
    """With ties, zeros, equal moments, three regimes, every split, and gaps of exactly the window."""
    draw = random.Random(seed)
    names = [f"UC-{n}{('', '-validation', '-test')[n % 3]}" for n in range(channels)]
    return [
        Video(
            f"v{draw.randrange(10**9)}-{channel}-{n}",
            draw.choice([0, 30, 60, round(draw.uniform(0, 90), 3)]),
            draw.choice([0.0, 1.0, 2.0, draw.lognormvariate(5, 2)]),
            channel,
            draw.choice([1, 1, 1, 2, 3]),
        )
        for channel in names
        for n in range(draw.randrange(1, most))
    ]


@pytest.mark.parametrize("cap", [None, 1, 3])
@pytest.mark.parametrize(("ties", "min_margin"), [("half", 0), ("drop", 0), ("half", 0.4), ("drop", 0.4)])
def test_pairs_are_those_of_a_plain_loop(db, cap, ties, min_margin):
    niche = Niche(random_videos(seed=7))
    niche.store(db)
    policy = replace_policy(later_partners=cap, ties=ties, min_margin=min_margin)
    summary = build(db, policy)
    check_against_loop(db, niche.videos, policy)
    expected = by_loop(niche.videos, policy)
    assert (summary.pairs, summary.ties) == (len(expected), sum(x.value == y.value for x, y in expected.values()))
    assert summary.channels == len({x.channel for x, _ in expected.values()})
    assert summary.videos == len(set().union(*expected))
    assert summary.by_split == {"train": 0, "validation": 0, "test": 0} | Counter(
        split_in(x.channel) for x, _ in expected.values()
    )
    decided = [(x, y) for x, y in expected.values() if x.value != y.value and x.day != y.day]
    assert summary.newer_wins == pytest.approx(np.mean([y.value > x.value for x, y in decided]))
    with db.connection() as connection:
        assert pair_summary(connection, "tech") == summary


def replace_policy(**changes: Any) -> PairPolicy:
    return PairPolicy(**(ALL.model_dump() | changes))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("policy", [{}, {"later_partners": 8}, {"window_days": 0.5, "soft_target_tau": 0.05}])
def test_pairs_are_those_of_a_plain_loop_on_other_data(db, seed, policy):
    niche = Niche(random_videos(seed, channels=4, most=40))
    niche.store(db)
    build(db, replace_policy(**policy))
    check_against_loop(db, niche.videos, replace_policy(**policy))


def test_the_window_ends_with_its_last_microsecond(db):
    micro = 1 / 86_400 / 1e6
    Niche([Video("a", 0, 1), Video("b", 30, 2), Video("c", 30 + micro, 3), Video("d", 60, 4)]).store(db)
    build(db)
    assert unordered(db) == {frozenset(p) for p in ("ab", "bc", "bd", "cd")}


def test_the_cap_takes_the_next_later_videos_and_orders_equal_moments_by_id(db):
    Niche([Video("d", 2, 1), Video("c", 1, 1), Video("a", 1, 1), Video("b", 1, 1)]).store(db)
    build(db, replace_policy(later_partners=1))
    assert unordered(db) == {frozenset(p) for p in ("ab", "bc", "cd")}
    build(db, replace_policy(later_partners=2))
    assert unordered(db) == {frozenset(p) for p in ("ab", "ac", "bc", "bd", "cd")}


def test_values_known_by_hand(db):
    Niche([Video("big", 0, 200), Video("small", 10, 50), Video("none", 11, 0), Video("zero", 12, 0)]).store(db)
    summary = build(db)
    expected = {  # winner, loser: margin, soft target with tau 0.5: a² / (a² + b²)
        ("big", "small"): (0.75, 16 / 17),
        ("big", "none"): (1.0, 1.0),
        ("big", "zero"): (1.0, 1.0),
        ("small", "none"): (1.0, 1.0),
        ("small", "zero"): (1.0, 1.0),
    }
    found = rows(db)
    for (winner, loser), (margin, soft_target) in expected.items():
        turned = (winner, loser) not in found
        _, outcome, *rest = found[(loser, winner) if turned else (winner, loser)]
        assert outcome == (0.0 if turned else 1.0)
        assert rest[:2] == pytest.approx([margin, 1 - soft_target if turned else soft_target])
        assert rest[3] == pytest.approx(1 / 6)
    tie = found.get(("none", "zero")) or found[("zero", "none")]
    assert tie[1:4] == (0.5, 0.0, 0.5)
    assert (summary.ties, summary.newer_wins) == (1, 0.0)


def test_no_label_overflows(db):
    values = [0, 1e-300, 1e-12, 1.0, 1e12, 1e300]
    Niche([Video(f"v{n}", n, value) for n, value in enumerate(values)]).store(db)
    build(db, replace_policy(soft_target_tau=0.05))
    for (a, b), (_, outcome, margin, soft_target, *_) in rows(db).items():
        assert soft_target == outcome == float(a > b)
        assert margin == pytest.approx(1)


def test_only_equal_regimes_are_compared(db):
    Niche([Video("a", 0, 1, regime=1), Video("b", 1, 2, regime=2), Video("c", 2, 3, regime=1)]).store(db)
    assert build(db).pairs == 1
    assert unordered(db) == {frozenset("ac")}


def test_the_smallest_margin_is_asked_of_training_pairs_only(db):
    channels = ("UC-a", "UC-validation", "UC-test")
    Niche([Video(f"{c}{n}", n, 10 + n, c) for c in channels for n in range(3)]).store(db)
    summary = build(db, replace_policy(min_margin=0.15))
    assert summary.by_split == {"train": 1, "validation": 3, "test": 3}
    assert {row[0]: row[5] for row in rows(db).values()} == {
        "UC-a": 1.0,
        "UC-validation": pytest.approx(1 / 3),
        "UC-test": pytest.approx(1 / 3),
    }


def test_the_order_of_a_pair_tells_nothing(db):
    """Neither the channel's order in time nor the outcome: both are strictly rising here."""
    Niche([Video(f"video-{c}-{n}", n / 2, n + 1, f"UC-{c}") for c in range(4) for n in range(50)]).store(db)
    summary = build(db)
    assert summary.newer_wins == 1.0
    assert summary.a_wins is not None
    assert abs(summary.a_wins - 0.5) < 4 * 0.5 / summary.pairs**0.5
    sides = Counter(a for a, _ in rows(db))
    partners = Counter(video for pair in rows(db) for video in pair)
    assert all(abs(sides[v] / n - 0.5) < 5 * 0.5 / n**0.5 for v, n in partners.items())


def test_keys_and_the_order_of_arrival_change_nothing(db):
    videos = random_videos(seed=11)
    Niche(videos).store(db)
    summary, found, first = build(db), rows(db), version(db)
    with db.connection() as connection:
        connection.execute("truncate thumbrank.channels cascade")
        connection.execute("truncate thumbrank.video_labels, thumbrank.training_pairs")
    Niche(sorted(videos, key=lambda v: v.id)).store(db)
    assert build(db) == summary
    assert rows(db) == found
    assert version(db) == first


def test_building_twice_changes_nothing(db):
    Niche(random_videos(seed=5)).store(db)
    summary, found, first = build(db), rows(db), version(db)
    assert build(db) == summary
    assert rows(db) == found
    assert version(db) == first


@pytest.mark.parametrize(
    "change",
    [
        "update thumbrank.training_pairs set outcome = 1 - outcome where a_key = (select min(a_key) from thumbrank.training_pairs)",
        "update thumbrank.training_pairs set margin = margin / 2",
        "update thumbrank.training_pairs set soft_target = soft_target / 2",
        "update thumbrank.training_pairs set weight = weight / 2",
        "update thumbrank.training_pairs set a_key = b_key, b_key = a_key",
        "delete from thumbrank.training_pairs where a_key = (select min(a_key) from thumbrank.training_pairs)",
        "update thumbrank.channels set split = 'test'",
        "update thumbrank.thumbnails set video_id = video_id || 'x'",
        "update thumbrank.pair_builds set label = 'views_per_hour'",
    ],
)
def test_the_version_is_that_of_what_is_learnt_from(db, change):
    Niche([Video("a", 0, 1), Video("b", 1, 2), Video("c", 2, 4)]).store(db)
    build(db)
    with db.connection() as connection:
        connection.execute(
            "insert into thumbrank.pair_builds values ('tech', 'age_adjusted', '{}', null, null, '{}', 0, 0, 0)"
        )
    first = version(db)
    with db.connection() as connection:
        connection.execute(change)
        assert data_version(connection, "pairs", "tech") != first


def test_newer_wins_by_channel(db):
    rising = [Video(f"r{n}", n, n + 1, "UC-b-test") for n in range(4)]
    mixed = [Video("m0", 0, 5, "UC-c"), Video("m1", 0, 3, "UC-c"), Video("m2", 1, 5, "UC-c"), Video("m3", 2, 9, "UC-c")]
    Niche([*mixed, *rising]).store(db)
    build(db)
    with db.connection() as connection:
        newer = newer_wins_by_channel(connection, "tech")
    # m0-m1 at once, m0-m2 a tie; m1-m2, m0-m3, m1-m3, m2-m3 won by the newer.
    assert (newer.wins.tolist(), newer.pairs.tolist(), newer.split) == ([6.0, 5.0], [6, 6], ["test", "train"])


def test_a_niche_without_labels_has_no_pairs(db):
    Niche([Video("a", 0, 1), Video("b", 1, 2)]).store(db)
    assert build(db).pairs == 1
    with db.connection() as connection:
        connection.execute("delete from thumbrank.video_labels")
    summary = build(db)
    assert (summary.pairs, summary.videos, summary.newer_wins, summary.a_wins) == (0, 0, None, None)
    with db.connection() as connection:
        assert newer_wins_by_channel(connection, "tech").pairs.shape == (0,)


def test_a_name_that_is_no_niche_reaches_no_statement(db):
    with db.connection() as connection, pytest.raises(UnknownNicheError):
        replace_pairs(connection, "tech; drop table thumbrank.channels", ALL)


def test_settings_are_as_before_afterwards(db):
    names = ["enable_nestloop", "enable_mergejoin", "work_mem", "hash_mem_multiplier", "maintenance_work_mem"]
    names += ["max_parallel_maintenance_workers", "max_parallel_workers_per_gather"]
    asked = "select name, current_setting(name) from unnest(%s::text[]) name"
    with db.connection() as connection:
        connection.execute("set local work_mem = '5MB'")
        before = connection.execute(asked, (names,)).fetchall()
        drop_cross_split(connection, "tech")
        replace_pairs(connection, "tech", ALL)
        data_version(connection, "pairs", "tech")
        assert connection.execute(asked, (names,)).fetchall() == before


def test_a_rebuilt_niche_is_a_partition_like_the_others(db):
    """Its columns, key and conditions are those the migration made."""
    asked = (
        "select (select array_agg((attname, atttypid::regtype, attnotnull)::text order by attname) from pg_attribute "
        "where attrelid = c.oid and attnum > 0), (select array_agg((conname, contype, pg_get_constraintdef(oid))::text order by "
        "contype, pg_get_constraintdef(oid)) from pg_constraint where conrelid = c.oid and contype <> 'n'), "
        "pg_get_expr(c.relpartbound, c.oid) from pg_class c where c.oid = 'thumbrank.training_pairs_tech_rows'::regclass"
    )
    Niche([Video("a", 0, 1), Video("b", 1, 2)]).store(db)
    with db.connection() as connection:
        made = connection.execute(asked).fetchone()
        for _ in range(2):
            replace_pairs(connection, "tech", ALL)
            assert connection.execute(asked).fetchone() == made
        tables = connection.execute("select count(*) from pg_class where relname like 'training_pairs%'").fetchone()
    assert tables == (1 + 6 * 3,)  # the parent; of each niche its partition, its rows and their key


# One niche and the others


def fingerprints(connection: psycopg.Connection, niches: tuple[str, ...]) -> list[tuple[object, ...]]:
    """The very rows: their place in the table, the transaction that wrote them, and every value."""
    return connection.execute(
        "select niche::text, count(*), md5(string_agg(p.ctid::text || p.xmin::text || p.tableoid::text || p::text, '|' "
        "order by a_key, b_key)) from thumbrank.training_pairs p where niche = any(%s) group by niche order by niche",
        (list(niches),),
    ).fetchall()


@pytest.fixture
def six(db) -> Database:
    """All niches with pairs."""
    for niche in NICHES:
        Niche(
            [replace(v, id=f"{niche}{v.id}", channel=f"{niche}{v.channel}") for v in random_videos(2, 3, 8)], niche
        ).store(db)
        build(db, niche=niche)
    return db


@pytest.fixture
def other(database_url) -> Iterator[psycopg.Connection]:
    """A second connection that waits for nobody."""
    with connect(database_url, autocommit=True) as connection:
        connection.execute("set lock_timeout = '200ms'")
        yield connection


def test_a_niche_touches_no_row_of_another_while_that_one_is_rebuilt_too(six, other):
    others = tuple(niche for niche in NICHES if niche not in ("tech", "news"))
    before = fingerprints(other, others)
    tech, news = fingerprints(other, ("tech",)), fingerprints(other, ("news",))
    with six.connection() as open_one:
        open_one.execute("set lock_timeout = '200ms'")
        replace_pairs(open_one, "news", ALL)  # not committed
        with other.transaction():
            replace_pairs(other, "tech", ALL)  # waits for nothing of it
            assert fingerprints(open_one, others) == before  # nor does the open one wait for this one
            replace_pairs(open_one, "news", ALL)
        assert fingerprints(other, ("tech",)) != tech
    assert fingerprints(other, others) == before
    assert fingerprints(other, ("news",)) != news


def test_only_the_niche_is_locked(six, other):
    with six.connection() as connection:
        drop_cross_split(connection, "tech")
        replace_pairs(connection, "tech", ALL)
        data_version(connection, "pairs", "tech")
        locks = connection.execute(
            "select c.relname, l.mode from pg_locks l join pg_class c on c.oid = l.relation where l.pid = pg_backend_pid() "
            "and l.mode not in ('AccessShareLock', 'RowExclusiveLock') and c.relnamespace = 'thumbrank'::regnamespace"
        ).fetchall()
        for niche in NICHES[1:]:
            assert other.execute(
                "select count(*) from thumbrank.training_pairs where niche = %s", (niche,)
            ).fetchone() != (0,)
            other.execute("delete from thumbrank.training_pairs where niche = %s and a_key = -1", (niche,))
        with pytest.raises(psycopg.errors.LockNotAvailable):
            other.execute("select count(*) from thumbrank.training_pairs where niche = 'tech'")
    assert {name for name, _ in locks} <= {
        f"training_pairs_tech{suffix}" for suffix in ("", "_rows", "_rows_pkey", "_built", "_built_pkey")
    }


def test_readers_see_the_old_pairs_or_the_new_and_never_both(six):
    """A writer goes to and fro between two sets of labels; a reader never waits for more than the exchange."""
    short, long = random_videos(2, 3, 8), random_videos(3, 4, 30)
    states, seen, failures = set(), [], []
    done = threading.Event()
    made = {}
    for name, videos in (("short", short), ("long", long)):
        made[name] = Niche([replace(v, id=f"{name}{v.id}", channel=f"{name}{v.channel}") for v in videos])
        made[name].store(six)

    def state(connection: psycopg.Connection) -> object:
        return connection.execute(
            "select count(*), sum(outcome), count(distinct a_key), sum(margin) from thumbrank.training_pairs where niche = 'tech'"
        ).fetchone()

    def read() -> None:
        try:
            while not done.is_set():
                with six.connection() as connection:
                    seen.append(state(connection))
        except psycopg.Error as error:
            failures.append(error)

    for name in ("short", "long"):
        made[name].label(six)
        build(six)
        with six.connection() as connection:
            states.add(state(connection))
    reader = threading.Thread(target=read)
    reader.start()
    try:
        for name in ("short", "long") * 6:
            made[name].label(six)
            build(six)
    finally:
        done.set()
        reader.join()
    assert not failures
    assert set(seen) == states and len(states) == 2


def test_the_old_pairs_are_read_while_the_new_are_made(six, other):
    """Up to the exchange: a writer that has the lock and has not exchanged yet stands in nobody's way."""
    with six.connection() as connection:
        connection.execute("lock table thumbrank.training_pairs_tech in exclusive mode")
        assert other.execute("select count(*) from thumbrank.training_pairs where niche = 'tech'").fetchone() != (0,)
        with pytest.raises(psycopg.errors.LockNotAvailable):
            other.execute("delete from thumbrank.training_pairs where niche = 'tech'")


def test_a_failed_rebuild_leaves_the_old_pairs(six, other):
    before, first = fingerprints(other, NICHES), version(six)
    with pytest.raises(RuntimeError), six.connection() as connection:
        connection.execute("delete from thumbrank.video_labels where niche = 'tech'")
        assert replace_pairs(connection, "tech", ALL).pairs == 0
        raise RuntimeError
    assert fingerprints(other, NICHES) == before
    assert version(six) == first
    build(six)
    assert version(six) == first


def test_two_rebuilds_of_one_niche_follow_one_another(six, other):
    with six.connection() as connection:
        replace_pairs(connection, "tech", ALL)
        with pytest.raises(psycopg.errors.LockNotAvailable), other.transaction():
            replace_pairs(other, "tech", ALL)
    with other.transaction():
        assert replace_pairs(other, "tech", ALL).pairs > 0


def test_an_owner_without_other_rights_can_rebuild(postgres):
    admin = psycopg.connect(postgres.url("postgres"), autocommit=True)
    name = sql.Identifier("pairs_owner")
    try:
        admin.execute(sql.SQL("create role {} login password 'secret'").format(name))
        admin.execute(sql.SQL("create database {} owner {}").format(name, name))
        parts = urlsplit(str(postgres.url("pairs_owner")))
        url = urlunsplit(parts._replace(netloc=f"pairs_owner:secret@{parts.hostname}:{parts.port}"))
        migrate(url, migrations_folder())
        with Database(url) as db:
            Niche(random_videos(seed=1)).store(db)
            summary = build(db)
            assert summary.pairs > 0
            assert build(db) == summary
    finally:
        admin.execute(sql.SQL("drop database if exists {} with (force)").format(name))
        admin.execute(sql.SQL("drop role if exists {}").format(name))
        admin.close()


# What is in two splits


def losers(db: Database, *niches: str) -> dict[str, str]:
    with db.connection() as connection:
        found = cross_split_duplicates(connection, niches or ("tech",))
        ids = dict(connection.execute("select video_key, video_id from thumbrank.thumbnails").fetchall())
    assert len({key for key, _ in found}) == len(found)
    return {ids[key]: reason for key, reason in found}


def picture(video: str, channel: str, *phashes: int) -> Video:
    return Video(video, 0, 1, channel, pictures=tuple((phash, day) for day, phash in enumerate(phashes)))


BASE = 0x0F1E2D3C4B5A6978
TRAIN, VALIDATION, TEST = "UC-train", "UC-validation", "UC-test"


@pytest.mark.parametrize(
    ("bits", "loses"), [((), True), ((63,), True), ((0, 31, 62), True), ((0, 1, 2, 3), False), (range(40), False)]
)
def test_a_near_picture_is_lost_by_training(db, bits, loses):
    near = BASE
    for bit in bits:
        near ^= 1 << bit
    signed = near - (1 << 64) if near >> 63 else near
    Niche([picture("test", TEST, BASE), picture("train", TRAIN, signed), picture("free", TRAIN, ~BASE)]).store(db)
    assert losers(db) == ({"train": "near_duplicate"} if loses else {})


def test_pictures_of_one_split_may_be_alike(db):
    Niche([picture(f"{n}{c}", f"{n}-{c}", BASE) for n in range(2) for c in (TRAIN,)]).store(db)
    assert losers(db) == {}


def test_a_chain_of_pictures(db):
    """x in train is near validation and not near test: validation loses to test, and train to validation all the same."""
    Niche(
        [picture("t", TEST, BASE), picture("v", VALIDATION, BASE ^ 0b111), picture("x", TRAIN, BASE ^ 0b111111)]
    ).store(db)
    assert losers(db) == {"v": "near_duplicate", "x": "near_duplicate"}


def test_validation_loses_to_test_and_train_to_both(db):
    videos = [
        picture("t", TEST, 5),
        picture("v", VALIDATION, 5),
        picture("v2", VALIDATION, BASE),
        picture("x", TRAIN, BASE),
    ]
    Niche([*videos, picture("x2", TRAIN, 5)]).store(db)
    assert set(losers(db)) == {"v", "x", "x2"}


def test_the_picture_of_a_video_is_the_one_its_label_names(db):
    Niche([picture("t", TEST, BASE, 0), picture("first", TRAIN, BASE, 0), picture("later", TRAIN, ~BASE, BASE)]).store(
        db
    )
    assert losers(db) == {"first": "near_duplicate"}


@pytest.mark.parametrize(
    ("title", "seconds", "loses"),
    [
        ("The very same title", 600, True),
        ("  the VERY\u00a0 same\t title ", 601, True),
        ("The very same title", 599, True),
        ("The very same title", 598, False),
        ("The very same title", None, False),
        ("The very same title 2", 600, False),
        ("Theverysame title", 600, False),
        (None, 600, False),
    ],
)
def test_a_reupload_is_lost_by_training(db, title, seconds, loses):
    first = Video("t", 0, 1, TEST, title="The very same title", seconds=600)
    Niche([first, Video("x", 0, 1, TRAIN, title=title, seconds=seconds)]).store(db)
    assert losers(db) == ({"x": "reupload"} if loses else {})


@pytest.mark.parametrize(
    ("title", "loses"), [("Twelve chars", True), ("Eleven char", False), ("  Eleven   char  ", False)]
)
def test_short_titles_are_no_reuploads(db, title, loses):
    Niche([Video("t", 0, 1, TEST, title=title, seconds=9), Video("x", 0, 1, TRAIN, title=title, seconds=9)]).store(db)
    assert set(losers(db)) == ({"x"} if loses else set())


def test_only_labelled_videos_of_the_niches_count(db):
    Niche([picture("t", TEST, BASE), picture("v", VALIDATION, 7)]).store(db)
    Niche([picture("x", "news-train", BASE), picture("y", "news-test", 7)], "news").store(db)
    assert losers(db) == losers(db, "news") == losers(db, "gaming") == {}
    assert losers(db, "tech", "news") == {"x": "near_duplicate", "v": "near_duplicate"}
    with db.connection() as connection:
        connection.execute("delete from thumbrank.video_labels where niche = 'tech'")
    assert losers(db, "tech", "news") == {}


def test_dropping_takes_the_label_and_counts_each_video_once(db):
    both = Video("x", 0, 1, TRAIN, title="The very same title", seconds=9, pictures=((BASE, 0),))
    first = replace(both, id="t", channel=TEST)
    again = replace(both, id="r", pictures=())
    Niche([first, both, again, replace(both, id="y", title="Another long title", pictures=((1, 0),))]).store(db)
    Niche([replace(both, id="n", channel="news-train")], "news").store(db)
    with db.connection() as connection:
        assert drop_cross_split(connection, "tech") == {"near_duplicate": 1, "reupload": 1}
        assert drop_cross_split(connection, "tech") == {"near_duplicate": 0, "reupload": 0}
        assert replace_pairs(connection, "tech", ALL).pairs == 0
        left = connection.execute(
            "select video_id from thumbrank.video_labels join thumbrank.thumbnails using (video_key)"
        )
        assert {row[0] for row in left} == {"t", "y", "n"}


def test_near_pictures_are_those_of_a_plain_loop(db):
    """Hashes that are crowded, so that many are near one another, over all splits."""
    draw = random.Random(4)
    centres = [draw.getrandbits(63) for _ in range(6)] + [0]
    hashes = [c ^ sum(1 << b for b in draw.sample(range(63), draw.randrange(4))) for c in centres for _ in range(20)]
    channels = [f"{n}-{split}" for n in range(3) for split in (TEST, VALIDATION, TRAIN)]
    videos = [picture(f"v{n}", draw.choice(channels[1:]), phash) for n, phash in enumerate(hashes)]
    Niche(videos).store(db)
    place = {v.id: ("test", "validation", "train").index(split_in(v.channel)) for v in videos}
    expected = {
        x.id
        for x, y in itertools.permutations(videos, 2)
        if place[y.id] < place[x.id] and (x.pictures[0][0] ^ y.pictures[0][0]).bit_count() <= 3
    }
    assert 10 < len(expected) < len(videos)
    assert losers(db) == dict.fromkeys(expected, "near_duplicate")


def test_any_three_bits_leave_one_mask_untouched():
    masks = [mask & (2**64 - 1) for mask in block_masks()]
    assert {mask.bit_count() for mask in masks} == {25, 26}
    assert all(
        any(not mask & (1 << a | 1 << b | 1 << c) for mask in masks) for a, b, c in itertools.combinations(range(64), 3)
    )
