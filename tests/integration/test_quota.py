"""The quota ledger: what is charged, to which day, who may spend what is left, and what a collection does at the end of it."""

import threading
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from tests.integration.collecting import (
    DAY,
    POLICY,
    RICH,
    TINY,
    as_written,
    attempts_from_here,
    collect,
    difference,
    emptied,
    generous,
    ledger,
    ledger_by_day,
    policy_of,
    rows,
    youtube_of,
)
from thumbrank_core.niches import NicheConfig
from thumbrank_core.policy import QuotaPolicy
from thumbrank_core.simulator.behaviour import Behaviour
from thumbrank_core.simulator.server import SimulatorServer
from thumbrank_core.store.database import Database
from thumbrank_core.youtube.quota import (
    BUCKETS,
    SHARE,
    BudgetSpentError,
    QuotaLedger,
    next_reset,
    pacific_date,
)

NOON = datetime(2026, 8, 1, 19, tzinfo=UTC)  # in California
LIMITS = QuotaPolicy(search=60, stats_batch=600, default=600)
QUERIES = NicheConfig(title="Technology", queries=("tech review", "smartphone"))
RESET = datetime(2026, 8, 1, 7, tzinfo=UTC)
"""The first midnight, Pacific time, after the worlds' `as_of`, where a test has a world of its own."""


@pytest.fixture
def db(collecting_db):
    return emptied(collecting_db)


@pytest.fixture(scope="module")
def rich():
    """A world whose clock goes on from test to test, and its views with it."""
    with generous(RICH) as server:
        yield server


@pytest.fixture(scope="module")
def undisturbed(rich, postgres, migrated_template):
    """Collects the rich world now, from nothing to the end, in a database of its own; gives the tables after it."""
    with Database(postgres.create_database("undisturbed_quota", template=migrated_template)) as db:

        def collected(**options):
            assert collect(emptied(db), rich, **options).state == "complete"
            return as_written(db)

        yield collected


def has_the_rows_of(found, *days):
    """Whether nothing is missing and nothing there twice, and each row is as it was read on one of the days."""
    return all(
        [row[0] for row in found_rows] == [row[0] for row in days[0][table]]
        and all(any(row in day[table] for day in days) for row in found_rows)
        for table, found_rows in found.items()
    )


@pytest.mark.parametrize(
    ("moment", "day", "reset"),
    [
        # Summer: seven hours behind UTC; winter: eight.
        ("2026-08-01T06:59:59+00:00", "2026-07-31", "2026-08-01T07:00:00+00:00"),
        ("2026-08-01T07:00:00+00:00", "2026-08-01", "2026-08-02T07:00:00+00:00"),
        ("2026-12-24T07:59:59+00:00", "2026-12-23", "2026-12-24T08:00:00+00:00"),
        ("2026-12-31T23:00:00-08:00", "2026-12-31", "2027-01-01T08:00:00+00:00"),
        # 8 March 2026 has 23 hours in California, 1 November 25.
        ("2026-03-08T08:00:00+00:00", "2026-03-08", "2026-03-09T07:00:00+00:00"),
        ("2026-03-08T09:59:59+00:00", "2026-03-08", "2026-03-09T07:00:00+00:00"),
        ("2026-03-08T10:00:00+00:00", "2026-03-08", "2026-03-09T07:00:00+00:00"),
        ("2026-03-09T06:59:59+00:00", "2026-03-08", "2026-03-09T07:00:00+00:00"),
        ("2026-11-01T07:00:00+00:00", "2026-11-01", "2026-11-02T08:00:00+00:00"),
        ("2026-11-01T09:30:00+00:00", "2026-11-01", "2026-11-02T08:00:00+00:00"),
        ("2026-11-02T07:59:59+00:00", "2026-11-01", "2026-11-02T08:00:00+00:00"),
        ("2026-11-02T08:00:00+00:00", "2026-11-02", "2026-11-03T08:00:00+00:00"),
    ],
)
def test_a_quota_day_ends_at_midnight_in_california(moment, day, reset):
    now = datetime.fromisoformat(moment)
    assert pacific_date(now) == date.fromisoformat(day)
    assert next_reset(now) == datetime.fromisoformat(reset)
    assert next_reset(now).utcoffset() == timedelta(0)


@pytest.mark.parametrize(("day", "hours"), [("2026-03-08", 23), ("2026-11-01", 25), ("2026-07-04", 24)])
def test_days_with_a_change_of_clocks_have_23_or_25_hours(day, hours):
    begins = next_reset(datetime.fromisoformat(f"{day}T00:00:00+00:00"))
    assert pacific_date(begins) == date.fromisoformat(day)
    assert next_reset(begins) - begins == timedelta(hours=hours)
    assert pacific_date(next_reset(begins) - timedelta(seconds=1)) == date.fromisoformat(day)


def account(db, niche="tech", limits=LIMITS, now=NOON):
    return QuotaLedger(db, limits, niche, lambda: now)


def prepay(db, account, bucket, wanted):
    with db.connection() as connection:
        return account.prepay(connection, bucket, wanted)


def test_each_bucket_is_charged_for_itself(db):
    tech = account(db)
    for bucket, times in zip(BUCKETS, (2, 3, 4), strict=True):
        for _ in range(times):
            tech.attempt(bucket)
    assert ledger(db) == {"search": 2, "stats_batch": 3, "default": 4}
    assert tech.spent == ledger(db)


def test_a_prepaid_attempt_is_charged_once_and_a_retry_again(db):
    tech = account(db)
    assert prepay(db, tech, "default", 3) == 3
    assert ledger(db)["default"] == 3
    for _ in range(3):
        tech.attempt("default")
    assert ledger(db)["default"] == 3
    tech.attempt("default")
    assert ledger(db)["default"] == 4


def test_no_more_is_granted_than_is_left(db):
    tech = account(db, limits=QuotaPolicy(search=0, stats_batch=5, default=5))
    assert prepay(db, tech, "default", 3) == 3
    assert prepay(db, tech, "default", 3) == 2
    assert prepay(db, tech, "default", 3) == 0
    with pytest.raises(BudgetSpentError, match=r"^Today's 0 units of the search bucket are spent\.$") as caught:
        tech.attempt("search")
    assert caught.value.resumes_at == next_reset(NOON)
    for _ in range(5):
        tech.attempt("default")
    with pytest.raises(BudgetSpentError, match="Today's 5 units of the default bucket are spent"):
        tech.attempt("default")
    assert ledger(db) == {"search": 0, "stats_batch": 0, "default": 5}


def test_a_cap_ends_a_collection_and_not_the_day(db):
    tech = account(db)
    tech.attempt("default")
    tech.cap({"default": 2})
    assert prepay(db, tech, "default", 9) == 2
    assert prepay(db, tech, "search", 9) == 0
    refused = tech.why_not("default")
    assert "spent the 3 units of the default bucket that were planned for it" in str(refused)
    assert refused.resumes_at == NOON, "it may go on at once"
    assert prepay(db, account(db, "news"), "default", 9) == 9


def test_what_a_running_collection_keeps_is_not_for_others_until_it_ends(db):
    tech, news = account(db), account(db, "news")
    kept = LIMITS.search // SHARE
    tech.reserve()
    assert prepay(db, news, "search", 1000) == LIMITS.search - kept
    refused = news.why_not("search")
    assert f"({kept:,} units) is kept for other niches' running collections" in str(refused)
    assert prepay(db, tech, "search", kept - 4) == kept - 4, "what is kept for it is its own"
    with db.connection() as connection:
        assert news.status(connection, "search").kept_for_others == 4
    tech.release()
    assert prepay(db, news, "search", 1000) == 4
    assert ledger(db)["search"] == LIMITS.search


def test_two_niches_that_keep_a_share_share_the_rest(db):
    tech, news = account(db), account(db, "news")
    tech.reserve()
    news.reserve()
    kept = LIMITS.default // SHARE
    assert prepay(db, tech, "default", 1000) == LIMITS.default - kept
    assert prepay(db, news, "default", 1000) == kept
    assert ledger(db)["default"] == LIMITS.default


def test_the_share_of_a_collection_that_died_is_free_after_ten_minutes(db):
    account(db).reserve()
    news = account(db, "news")
    for minutes, kept in ((9, LIMITS.default // SHARE), (11, 0)):
        with db.connection() as connection:
            connection.execute(
                "update thumbrank.quota_ledger set renewed_at = now() - make_interval(mins => %s)", (minutes,)
            )
            assert news.status(connection, "default").kept_for_others == kept


def test_spending_shows_that_a_collection_is_alive(db):
    tech = account(db)
    tech.reserve()
    with db.connection() as connection:
        connection.execute("update thumbrank.quota_ledger set renewed_at = now() - interval '11 minutes'")
    tech.attempt("default")
    with db.connection() as connection:
        assert account(db, "news").status(connection, "default").kept_for_others == LIMITS.default // SHARE - 1


def test_a_share_is_of_a_day_and_not_of_the_next(db):
    account(db).reserve()
    with db.connection() as connection:
        tomorrow = account(db, "news", now=NOON + timedelta(days=1)).status(connection, "default")
    assert (tomorrow.kept_for_others, tomorrow.left) == (0, LIMITS.default)


def test_when_youtube_says_that_a_bucket_is_spent_it_is_for_everybody_until_midnight(db):
    tech, news = account(db), account(db, "news")
    tech.attempt("search")
    tech.exhaust("search")
    assert prepay(db, news, "search", 1) == 0
    assert str(news.why_not("search")) == "YouTube says that the search bucket is spent today."
    assert news.why_not("search").resumes_at == next_reset(NOON)
    assert prepay(db, news, "default", 1) == 1
    assert prepay(db, account(db, "news", now=NOON + timedelta(days=1)), "search", 1) == 1
    assert rows(
        db, "select niche::text, spent, exhausted_at from thumbrank.quota_ledger where exhausted_at is not null"
    ) == [("tech", 1, NOON)]


def test_charging_from_many_threads_and_pools_at_once_never_exceeds_the_limit(database_url):
    """Each pool stands for a process: they share nothing but Postgres."""
    limits, workers = QuotaPolicy(search=60, stats_batch=60, default=137), 6
    granted, refused, failed = [], [], []

    def spend(niche):
        try:
            with Database(database_url) as db:
                mine = account(db, niche, limits)
                for turn in range(20):
                    if turn % 2:
                        granted.append(prepay(db, mine, "default", 3))
                    else:
                        try:
                            mine._prepaid["default"] = 0
                            mine.attempt("default")
                            granted.append(1)
                        except BudgetSpentError as error:
                            refused.append(error)
        except Exception as error:  # noqa: BLE001 -- asserted below: a thread has nobody to raise to
            failed.append(error)

    threads = [threading.Thread(target=spend, args=(niche,)) for niche in ("tech", "gaming", "news") * (workers // 3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert sum(granted) == limits.default
    assert refused
    with Database(database_url) as db:
        assert ledger(db) == {"search": 0, "stats_batch": 0, "default": limits.default}


def test_one_collection_s_threads_share_its_account(db):
    mine = account(db, limits=QuotaPolicy(search=1, stats_batch=1, default=50))
    prepay(db, mine, "default", 20)
    went, refused = [], []

    def attempt():
        for _ in range(10):
            try:
                mine.attempt("default")
                went.append(1)
            except BudgetSpentError:
                refused.append(1)

    threads = [threading.Thread(target=attempt) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(went), len(refused)) == (50, 30)
    assert ledger(db)["default"] == mine.spent["default"] == 50


def test_the_ledger_says_what_the_server_counted(db, rich):
    attempts = attempts_from_here(rich)
    collect(db, rich)
    first, today = attempts(), pacific_date(rich.advance(0))
    assert ledger(db) == first
    rich.advance(DAY)
    collect(db, rich)
    assert ledger(db) == attempts()
    assert attempts()["stats_batch"] == 4
    assert _all_buckets(ledger_by_day(db)[today]) == first
    assert len(ledger_by_day(db)) == 2
    assert rows(db, "select max(reserved), max(renewed_at) from thumbrank.quota_ledger where reserved > 0") == [
        (None, None)
    ]


def _all_buckets(units):
    return dict.fromkeys(BUCKETS, 0) | units


def test_the_ledger_counts_attempts_that_failed_too(db, rich):
    attempts, served = attempts_from_here(rich), rich.served()
    rich.set_faults({"http_500": 0.2, "truncated_json": 0.2, "dropped": 0.2, "throttle_403": 0.2})
    try:
        collect(db, youtube_of(rich, attempts=2))
    finally:
        rich.set_faults({})
    assert ledger(db) == attempts()
    assert sum(difference(rich.served(), served).values()) < sum(attempts().values()), "some attempts failed"


def test_an_attempt_is_in_the_ledger_before_it_is_sent(db, rich):
    seen = []

    class Spy:
        def __init__(self, ledger):
            self.ledger = ledger

        def attempt(self, bucket):
            self.ledger.attempt(bucket)
            seen.append((ledger(db)["default"], sum(attempts().values())))

    attempts = attempts_from_here(rich)
    api = youtube_of(rich)
    api.meter = Spy(account(db, limits=POLICY.quota, now=TINY.as_of))
    for _ in range(3):
        api.channels(["UC1"])
    assert seen == [(1, 0), (2, 1), (3, 2)]


@pytest.mark.parametrize(
    ("bucket", "limit"),
    [("search", 3), ("default", 9)],
)
def test_a_spent_day_stops_the_collection_and_the_next_day_ends_it_with_the_same_tables(
    db, rich, undisturbed, bucket, limit
):
    policy, today = policy_of(quota={bucket: limit}), undisturbed(config=QUERIES)
    attempts, reset = attempts_from_here(rich), next_reset(rich.advance(0))
    first = collect(db, rich, config=QUERIES, policy=policy)
    assert (first.state, first.resumes_at) == ("partial", reset)
    assert first.reason == f"Today's {limit} units of the {bucket} bucket are spent."
    assert attempts()[bucket] == limit
    again = collect(db, rich, config=QUERIES, policy=policy)
    assert (again.state, again.resumes_at) == ("partial", reset)
    assert attempts()[bucket] == limit, "nothing more is sent on that day"
    assert rows(db, "select state, resumes_at from thumbrank.collection_runs") == [("partial", reset)]
    rich.advance(DAY)
    last = collect(db, rich, config=QUERIES, policy=policy)
    assert (last.state, last.resumed) == ("complete", True)
    assert attempts()[bucket] > limit
    assert ledger(db) == attempts()
    assert max(units[bucket] for units in ledger_by_day(db).values() if bucket in units) == limit
    assert has_the_rows_of(as_written(db), today, undisturbed(config=QUERIES))


def test_a_spent_search_bucket_does_not_change_which_channels_are_chosen(db, postgres, migrated_template):
    """The largest of all that are found, not the largest of those that were found on the first day."""
    few = {"max_channels": 8, "search_pages": 1}
    with generous(replace(TINY, channels_per_niche=80, videos_per_channel=2)) as server:
        with Database(postgres.create_database("undisturbed_choice", template=migrated_template)) as other:
            collect(other, server, config=QUERIES, policy=policy_of(collection=few))
            chosen = {video for video, *_ in as_written(other)["thumbnails"]}
        for _ in range(8):
            if (
                collect(db, server, config=QUERIES, policy=policy_of(collection=few, quota={"search": 1})).state
                == "complete"
            ):
                break
            server.advance(DAY)
    assert {video for video, *_ in as_written(db)["thumbnails"]} == chosen
    assert len(ledger_by_day(db)) >= 4


@pytest.mark.parametrize("mode", ["sample", "require"])
def test_a_day_that_ends_early_does_not_change_whose_trainability_is_asked(db, rich, undisturbed, mode):
    plenty = policy_of(collection={"trainability": mode}, quota={"default": 1000})
    today = undisturbed(policy=plenty)
    # The channels, six pages of uploads, and one of the four requests for videos.
    first = collect(db, rich, policy=policy_of(collection={"trainability": mode}, quota={"default": 8}))
    assert (first.state, first.videos) == ("partial", 50)
    rich.advance(DAY)
    assert collect(db, rich, policy=plenty).state == "complete"
    assert has_the_rows_of(as_written(db), today, undisturbed(policy=plenty))


@pytest.mark.parametrize(("bucket", "limit"), [("default", 6), ("search", 3)])
def test_youtube_is_believed_when_it_says_that_the_bucket_is_spent_before_we_think_so(db, bucket, limit):
    policy = policy_of(collection={"requests": 2})
    with SimulatorServer(RICH, behaviour=Behaviour(**{f"quota_{bucket}": limit})) as server:
        first = collect(db, server, config=QUERIES, policy=policy)
        sent = server.attempts()
        assert limit < sent[bucket] <= limit + 2, "those in flight, and no retry of any"
        assert ledger(db) == sent
        assert (first.state, first.resumes_at) == ("partial", RESET)
        assert "quota" in first.reason
        assert "run again after midnight, Pacific time" in first.reason
        assert rows(db, "select bucket, exhausted_at from thumbrank.quota_ledger where exhausted_at is not null") == [
            (bucket, RICH.as_of)
        ]
        collect(db, server, config=QUERIES, policy=policy)
        assert server.attempts()[bucket] == sent[bucket], "not asked again on that day"
        for _ in range(4):
            server.advance(DAY)
            result = collect(db, server, config=QUERIES, policy=policy)
            if result.state == "complete":
                break
        assert result.state == "complete"
        assert ledger(db) == server.attempts()
    with db.connection() as connection:
        assert connection.execute("select count(*) from thumbrank.collection_queue").fetchone() == (0,)


def test_a_spent_batch_bucket_leaves_the_counts_for_the_next_day(db):
    with SimulatorServer(RICH, behaviour=Behaviour(quota_stats_batch=2)) as server:
        policy = policy_of(collection={"requests": 1})
        collect(db, server, policy=policy)
        server.advance(DAY)
        later = collect(db, server, policy=policy)
        assert (later.state, later.resumes_at) == ("partial", RESET + timedelta(days=1))
        assert server.attempts()["stats_batch"] == 3
        assert ledger(db) == server.attempts()
        assert rows(
            db, "select count(distinct video_id) > 50 from thumbrank.collection_queue where stage = 'snapshot'"
        ) == [(True,)]
        server.advance(DAY)
        server.advance(DAY)
        for _ in range(3):
            if collect(db, server, policy=policy).state == "complete":
                break
            server.advance(DAY)
        [(state,)] = rows(db, "select state from thumbrank.collection_runs")
        assert state == "complete"


def test_a_budget_ends_a_run_and_the_next_one_goes_on_at_once(db, rich, undisturbed):
    states, units, now = [], [], rich.advance(0)
    for _ in range(12):
        before = rich.attempts()["default"]
        result = collect(db, rich, config=QUERIES, budget=4)
        units.append(rich.attempts()["default"] - before)
        states.append(result.state)
        assert result.units.get("default", 0) == units[-1]
        if result.state == "complete":
            break
        assert (result.resumes_at, result.reason) == (
            now,
            "This collection has spent the 4 units of the default bucket that were planned for it.",
        )
        assert result.forecast_upper["default"] == 4
    assert (states[-1], max(units)) == ("complete", 4)
    assert as_written(db) == undisturbed(config=QUERIES)


def test_a_niche_that_collects_beside_a_running_one_leaves_it_its_share(db, rich):
    """Spent to the last unit by one niche, another's running collection would stand still for a day."""
    limits = {"default": 60}
    running = account(db, "gaming", policy_of(quota=limits).quota, now=rich.advance(0))
    running.reserve()
    policy = policy_of(quota=limits, collection={"trainability": "require"})
    result = collect(db, rich, policy=policy)
    assert (result.state, result.units["default"]) == ("partial", 50)
    assert "(10 units) is kept for other niches' running collections" in result.reason
    assert prepay(db, running, "default", 99) == 10
    running.release()


def test_a_collection_gives_its_share_back_however_it_ends(db, rich):
    refused = youtube_of(rich, "disabled")
    with pytest.raises(Exception, match="disabled"):
        collect(db, refused)
    assert rows(db, "select count(*) from thumbrank.quota_ledger where reserved > 0") == [(0,)]
    assert rows(db, "select count(*) > 0 from thumbrank.quota_ledger") == [(True,)]
