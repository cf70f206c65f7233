"""The forecast of a collection: nothing is sent, never less than is spent, not much more, and exact where it can be."""

from datetime import timedelta
from typing import Any

import pytest

from tests.integration.collecting import (
    DAY,
    RICH,
    TECH,
    collect,
    difference,
    emptied,
    every_row,
    forecast,
    generous,
    policy_of,
    rows,
)
from thumbrank_core.exclusions import Exclusions
from thumbrank_core.niches import NicheConfig
from thumbrank_core.simulator.world import WorldSettings, build_world
from thumbrank_core.youtube.forecast import days_for, with_retries
from thumbrank_core.youtube.quota import BUCKETS, QuotaLedger, QuotaStatus, next_reset

QUIET = policy_of(collection={"window_days": 3650})
QUERIES = ("tech review", "smartphone", "laptop", "gadgets")


@pytest.fixture
def db(collecting_db):
    return emptied(collecting_db)


@pytest.fixture(scope="module")
def rich():
    """The rich world; its clock goes on from test to test."""
    with generous(RICH) as server:
        yield server


def units(found):
    """Expected units by bucket, buckets without any left out."""
    return {row.bucket: row.expected for row in found.buckets if row.expected}


def stage(found, name):
    [row] = [row for row in found.stages if row.stage == name]
    return row


def test_a_dry_run_sends_nothing_and_writes_nothing(db, rich):
    before, tables = rich.attempts(), every_row(db)
    found = forecast(db, rich)
    assert units(found)["default"] > 0
    assert not found.resumes
    assert rich.attempts() == before
    assert every_row(db) == tables
    collect(db, rich, only=["discover", "vet", "list"])
    before, tables = rich.attempts(), every_row(db)
    assert forecast(db, rich).resumes
    assert rich.attempts() == before
    assert every_row(db) == tables


def assert_upper_bound(world, most_channels, db, *, queries, pages, per_channel):
    """Forecast a first collection, do it, and hold the one against the other."""
    policy = policy_of(
        collection={
            "max_channels": most_channels,
            "per_channel": per_channel,
            "search_pages": pages,
            "trainability": "sample",
            "trainability_sample": 20,
        }
    )
    config = NicheConfig(title="Technology", queries=queries)
    with generous(world) as server:
        found = forecast(db, server, config=config, policy=policy)
        result = collect(db, server, config=config, policy=policy)
        spent = server.attempts()
    upper = {bucket: found.upper.get(bucket, 0) for bucket in BUCKETS}
    assert result.state == "complete"
    assert result.channels == most_channels
    for bucket in BUCKETS:
        assert spent[bucket] <= upper[bucket], bucket
    assert sum(spent.values()) >= 0.8 * sum(upper.values()), (spent, upper)
    assert spent["default"] >= 0.8 * upper["default"], (spent, upper)
    assert sum(row.expected for row in found.stages) == sum(row.expected for row in found.buckets)


@pytest.mark.slow
def test_a_first_collection_of_40_channels_spends_no_more_than_was_forecast_and_at_least_four_fifths(db):
    world = WorldSettings(seed=3, niches=("tech",), channels_per_niche=60, videos_per_channel=60)
    assert_upper_bound(world, 40, db, queries=("tech review",), pages=1, per_channel=50)


def test_a_first_collection_of_200_channels_spends_no_more_than_was_forecast_and_at_least_four_fifths(db):
    world = WorldSettings(seed=3, niches=("tech",), channels_per_niche=240, videos_per_channel=24)
    assert_upper_bound(world, 200, db, queries=QUERIES, pages=2, per_channel=20)


def test_a_team_s_own_channels_cost_what_was_forecast(db, rich):
    config = NicheConfig(title="Tech", queries=TECH.queries, channels=tuple(c.id for c in build_world(RICH).channels))
    policy = policy_of(collection={"search_pages": 0, "window_days": 3650, "per_channel": 55})
    found = forecast(db, rich, config=config, policy=policy)
    before = rich.attempts()
    collect(db, rich, config=config, policy=policy)
    # One for the channels, two pages each, and 165 videos less the deleted and private ones.
    spent = difference(rich.attempts(), before)
    assert spent == {"default": 1 + 6 + 4}
    assert spent["default"] <= found.upper["default"] <= spent["default"] + 3
    assert found.upper["search"] == 0


def test_reading_what_was_listed_is_forecast_exactly(db, rich):
    collect(db, rich, policy=QUIET, only=["discover", "vet", "list"])
    found = forecast(db, rich, policy=QUIET, only=["hydrate"])
    result = collect(db, rich, policy=QUIET, only=["hydrate"])
    assert stage(found, "hydrate").exact
    assert units(found) == result.units == {"default": 4}
    assert result.state == "complete"


def test_snapshots_of_the_day_after_are_forecast_exactly(db, rich):
    collect(db, rich, policy=QUIET)
    rich.advance(DAY)
    found = forecast(db, rich, policy=QUIET, only=["snapshot"])
    result = collect(db, rich, policy=QUIET, only=["snapshot"])
    assert stage(found, "snapshot").exact
    assert units(found) == result.units == {"stats_batch": 4}


def test_refreshing_before_rows_expire_is_forecast_exactly(db, rich):
    collect(db, rich, policy=QUIET)
    rich.advance(26 * DAY)
    found = forecast(db, rich, policy=QUIET, only=["refresh"])
    result = collect(db, rich, policy=QUIET, only=["refresh"])
    assert stage(found, "refresh").exact
    assert units(found) == result.units == {"default": 4}
    assert forecast(db, rich, policy=QUIET, only=["refresh"]).upper["default"] == 0


def test_asking_every_video_s_trainability_is_forecast_exactly(db, rich):
    policy = policy_of(collection={"window_days": 3650, "trainability": "require"})
    collect(db, rich, policy=policy, only=["discover", "vet", "list", "hydrate"])
    [(videos,)] = rows(db, "select count(*)::int from thumbrank.thumbnails")
    found = forecast(db, rich, policy=policy, only=["trainability"])
    result = collect(db, rich, policy=policy, only=["trainability"])
    assert stage(found, "trainability").exact
    assert units(found) == result.units == {"default": videos}


def test_what_an_unfinished_collection_has_left_is_forecast_exactly(db, rich):
    collect(db, rich, policy=QUIET, budget=6)
    found = forecast(db, rich, policy=QUIET)
    assert found.resumes
    left = collect(db, rich, policy=QUIET, budget=3).units["default"] + collect(db, rich, policy=QUIET).units["default"]
    assert rows(db, "select state from thumbrank.collection_runs") == [("complete",)]
    assert left == 1 + 6 + 4 - 6
    assert units(found).get("search", 0) == 0
    assert left <= found.upper["default"]


def test_a_second_collection_on_the_same_day_is_forecast_without_a_search(db, rich):
    collect(db, rich, policy=QUIET)
    found = forecast(db, rich, policy=QUIET)
    result = collect(db, rich, policy=QUIET)
    assert found.upper["search"] == 0
    assert stage(found, "vet").expected == 1
    upper: dict[Any, int] = found.upper
    for bucket, spent in result.units.items():
        assert spent <= upper[bucket]


def test_the_day_after_a_whole_collection_stays_within_its_forecast(db, rich):
    collect(db, rich, policy=QUIET)
    rich.advance(DAY)
    found = forecast(db, rich, policy=QUIET)
    result = collect(db, rich, policy=QUIET)
    assert set(result.units) == set(BUCKETS)
    upper: dict[Any, int] = found.upper
    for bucket, spent in result.units.items():
        assert spent <= upper[bucket], bucket


def test_an_excluded_channel_is_not_paid_for(db, rich):
    world = build_world(RICH)
    config = NicheConfig(title="Tech", queries=TECH.queries, channels=tuple(c.id for c in world.channels))
    policy = policy_of(collection={"search_pages": 0, "window_days": 3650})
    banned = Exclusions({world.channels[0].id: "re-uploads", world.channels[1].id: "re-uploads"}, {})
    whole = forecast(db, rich, config=config, policy=policy)
    less = forecast(db, rich, config=config, policy=policy, exclusions=banned)
    assert stage(whole, "list").at_most == 9
    assert stage(less, "list").at_most == 3


def test_a_budget_caps_the_forecast_of_the_common_bucket_only(db, rich):
    free, tight = forecast(db, rich), forecast(db, rich, budget=5)
    assert tight.upper == free.upper | {"default": 5}


def test_the_forecast_says_how_many_days_the_day_s_quota_makes_of_it(db, rich):
    policy = policy_of(quota={"search": 3, "default": 1000, "stats_batch": 0})
    found = {row.bucket: row for row in forecast(db, rich, policy=policy).buckets}
    assert found["search"].upper == 4 + 3
    assert (found["search"].standing.left, found["search"].days) == (3, 3)
    assert found["stats_batch"].days == 0
    now = rich.advance(0)
    assert forecast(db, rich, policy=policy).resets_at == next_reset(now)
    account = QuotaLedger(db, policy.quota, "news", lambda: now)
    for _ in range(2):
        account.attempt("search")
    found = {row.bucket: row for row in forecast(db, rich, policy=policy).buckets}
    assert (found["search"].standing.left, found["search"].days) == (1, 3)


@pytest.mark.parametrize(
    ("wanted", "limit", "left", "days"),
    [
        (0, 100, 100, 0),
        (1, 100, 100, 1),
        (100, 100, 100, 1),
        (101, 100, 100, 2),
        (5, 100, 0, 2),
        (300, 100, 50, 4),
        (9, 0, 0, 0),
    ],
)
def test_days_count_from_today(wanted, limit, left, days):
    assert days_for(wanted, QuotaStatus(limit, limit - left, 0, exhausted=False)) == days


@pytest.mark.parametrize(("requests", "most"), [(0, 0), (1, 4), (30, 33), (31, 35), (1000, 1100)])
def test_retries_have_room_of_a_tenth_and_at_least_three(requests, most):
    assert with_retries(requests) == most


def test_the_clock_of_the_forecast_is_the_server_s(db, rich):
    """Not this machine's: the simulator's day is its own."""
    now = rich.advance(0)
    assert forecast(db, rich).resets_at - now <= timedelta(hours=25)
