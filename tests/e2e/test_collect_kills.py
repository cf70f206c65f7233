"""A collection that is killed again and again ends with the tables of one that nobody touched, and spends hardly more."""

import os
import random
import signal

import pytest

from tests.e2e.killing import POLICY, WORKERS, collect_here, collect_in_a_child, collecting, since, wait_for
from tests.integration.collecting import DAY, TINY, as_written, generous, ledger, rows
from thumbrank_core.simulator.world import WorldSettings
from thumbrank_core.store.database import Database

WORLD = WorldSettings(seed=3, niches=("tech",), channels_per_niche=10, videos_per_channel=60)
SLOW_SECONDS = 0.1
"""Every answer takes so long, so that a kill lands while requests are in flight."""
SEED = 20261123

FIRST_DAY = (
    ["search.list"] * 4
    + ["default"]  # the one request of the vet stage, on its way
    + ["playlistItems.list"] * 4
    + ["videos.list"] * 3
    + ["videoTrainability.get"] * 3
)
SECOND_DAY = ["search.list"] * 1 + ["playlistItems.list"] * 1 + ["videos.batchGetStats"] * 3


def kill_at_each(points, url, server, rng):
    """Start the collection and kill it at each point; returns which stages had work left when it died, in order."""
    left = []
    for method in points:
        most = 1 if method == "default" else 2
        reached = since(server, method, rng.randint(1, most))
        with collecting(url, server, POLICY) as child:
            assert wait_for(reached, child), f"it ended before it came to {method}: {child.communicate()}"
            os.kill(child.pid, signal.SIGKILL)
            assert child.wait(10) == -signal.SIGKILL
        with Database(url) as db:
            assert rows(db, "select state from thumbrank.collection_runs") == [("running",)]
            left.append(first_unfinished(db))
    return left


def first_unfinished(db):
    open_stages = {
        stage
        for (stage,) in rows(
            db,
            "select stage from thumbrank.collection_progress where not done "
            "union select stage from thumbrank.collection_queue",
        )
    }
    return next(
        (stage for stage in ("discover", "vet", "list", "hydrate", "snapshot", "trainability") if stage in open_stages),
        "none",
    )


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_twenty_kills_leave_the_tables_of_an_undisturbed_run(database_url, postgres, migrated_template):
    rng = random.Random(SEED)
    undisturbed_url = postgres.create_database("undisturbed_kills", template=migrated_template)
    with generous(WORLD, faults={"slow": 1.0}, slow_seconds=0.0) as server, Database(undisturbed_url) as other:
        tables, spent = [], []
        for _ in range(2):
            assert collect_in_a_child(undisturbed_url, server, POLICY) == "complete"
            tables.append(as_written(other))
            spent.append(server.attempts())
            assert ledger(other) == server.attempts()
            server.advance(DAY)
    died_in, kills = [], 0
    with generous(WORLD, faults={"slow": 1.0}, slow_seconds=SLOW_SECONDS) as server, Database(database_url) as db:
        for day, points in enumerate((FIRST_DAY, SECOND_DAY)):
            died_in += kill_at_each(points, database_url, server, rng)
            kills += len(points)
            assert collect_in_a_child(database_url, server, POLICY) == "complete"
            assert as_written(db) == tables[day]
            sent, charged = sum(server.attempts().values()), sum(ledger(db).values())
            assert 0 < sent - sum(spent[day].values()) <= WORKERS * kills
            assert 0 <= charged - sent <= WORKERS * kills
            server.advance(DAY)
    assert kills == 20
    assert set(died_in) == {"discover", "vet", "list", "hydrate", "snapshot", "trainability"}, died_in


def test_three_kills_leave_the_tables_of_an_undisturbed_run(database_url, postgres, migrated_template):
    undisturbed_url = postgres.create_database("undisturbed_three_kills", template=migrated_template)
    with (
        generous(TINY, faults={"slow": 1.0}, slow_seconds=SLOW_SECONDS) as server,
        Database(undisturbed_url) as other,
        Database(database_url) as db,
    ):
        died_in = kill_at_each(
            ["search.list", "playlistItems.list", "videoTrainability.get"], database_url, server, random.Random(SEED)
        )
        server.set_faults({})
        assert collect_here(db, server.endpoint, POLICY) == "complete"
        sent, charged = server.attempts(), ledger(db)
        assert collect_here(other, server.endpoint, POLICY) == "complete"
        alone = ledger(other)
        assert as_written(db) == as_written(other)
    assert died_in == ["discover", "list", "trainability"]
    assert 0 < sum(sent.values()) - sum(alone.values()) <= 3 * WORKERS
    assert 0 <= sum(charged.values()) - sum(sent.values()) <= 3 * WORKERS


def test_ctrl_c_ends_a_collection_within_seconds_and_the_next_run_goes_on(database_url, db):
    """However long the server takes to answer what is in flight."""
    with generous(TINY, faults={"slow": 1.0}, slow_seconds=8.0) as server:
        with collecting(database_url, server, POLICY) as child:
            assert wait_for(since(server, "search", 3), child)
            os.kill(child.pid, signal.SIGINT)
            child.wait(5)
        assert child.returncode not in (0, -signal.SIGKILL)
        [(state, reason)] = rows(db, "select state, reason from thumbrank.collection_runs")
        assert (state, reason) == ("partial", "it was interrupted")
        assert rows(db, "select max(reserved) from thumbrank.quota_ledger") == [(0,)]
        server.set_faults({})
        assert collect_here(db, server.endpoint, POLICY) == "complete"
    assert rows(db, "select count(*) from thumbrank.thumbnails") == [(84,)]
