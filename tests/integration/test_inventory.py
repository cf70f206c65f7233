"""The daily inventory: what is left standing is planted, found and named, and absent where it was not planted."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest

from tests.integration.conftest import store_videos
from thumbrank_core.automation.calendar import load_automation
from thumbrank_core.automation.inventory import expired_rows
from thumbrank_core.policy import load_policy
from thumbrank_core.retention.removal import FileStores, expire
from thumbrank_dagster.dead_runs import RunProcess
from thumbrank_dagster.defs.collect import assets as collect
from thumbrank_dagster.defs.operations import inventory, retention
from thumbrank_dagster.partitions import NICHE_PARTITIONS
from thumbrank_dagster.resources.clock import ClockResource
from thumbrank_dagster.resources.state import StateResource
from thumbrank_dagster.resources.youtube import YouTubeResource

CONFIG = "{telemetry: {enabled: false}, concurrency: {pools: {default_limit: 1, granularity: op}}}"
MENDED: set[str] = set()


@dg.asset(name="raw_videos", partitions_def=NICHE_PARTITIONS)
def failing(context: dg.AssetExecutionContext):
    if context.partition_key not in MENDED:
        raise dg.Failure("no")


@dg.asset(name="thumbnail_images", partitions_def=NICHE_PARTITIONS, deps=[failing])
def behind():
    pass


class At(ClockResource):
    """The clock, so many days on."""

    days: float = 0.0

    def now(self) -> datetime:
        return datetime.now(UTC) + timedelta(days=self.days)


@pytest.fixture
def state(tmp_path, database_url, monkeypatch):
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("THUMBRANK_HOME", str(tmp_path))


@pytest.fixture
def instance(tmp_path):
    home = tmp_path / "dagster"
    home.mkdir()
    (home / "dagster.yaml").write_text(CONFIG)
    with dg.DagsterInstance.from_config(str(home)) as made:
        yield made


@pytest.fixture
def ephemeral():
    with dg.DagsterInstance.ephemeral() as made:
        yield made


def definitions(days=0.0):
    return dg.Definitions(
        assets=[inventory.dagster_runs, *dg.load_assets_from_modules([collect, retention])],
        asset_checks=inventory.CHECKS,
        jobs=[inventory.daily_inventory],
        resources={
            "clock": At(days=days),
            "state": StateResource(),
            "youtube": YouTubeResource(),
        },
        executor=dg.in_process_executor,
    )


def looked(instance, days=0.0):
    """The daily run: check -> its evaluation."""
    job = definitions(days).resolve_job_def("daily_inventory")
    done = job.execute_in_process(instance=instance)
    assert done.success
    return {check.check_name: check for check in done.get_asset_check_evaluations()}


def rows(evaluation):
    return [record.data for record in evaluation.metadata["found"].records]


def test_where_nothing_is_left_standing_everything_passes(ephemeral, state):
    found = looked(ephemeral)
    assert {name: check.passed for name, check in found.items()} == dict.fromkeys(
        ["no_failed_partitions", "every_niche_is_fresh", "nothing_expired", "no_slots_of_dead_runs"], True
    )
    assert not any("found" in check.metadata for check in found.values())


def test_a_partition_that_failed_is_found_every_day_until_it_is_mended(ephemeral, state):
    MENDED.clear()
    run = dg.materialize([failing, behind], instance=ephemeral, partition_key="tech", raise_on_error=False).run_id
    for _ in range(2):
        found = looked(ephemeral)["no_failed_partitions"]
        assert not found.passed
        assert rows(found) == [
            {"niche": "tech", "asset": "raw_videos", "run": run},
            {"niche": "tech", "asset": "thumbnail_images", "run": run},
        ]
    MENDED.add("tech")
    assert dg.materialize([failing, behind], instance=ephemeral, partition_key="tech").success
    assert looked(ephemeral)["no_failed_partitions"].passed


def test_a_niche_whose_monthly_refresh_was_missed_is_named_with_its_days(ephemeral, state, db, images, world):
    store_videos(db, images, world, {"UC" + "a" * 22: [(5, 1000)]}, niche="tech", source="youtube_api")
    store_videos(db, images, world, {"UC" + "b" * 22: [(5, 1000)]}, niche="news", source="simulator")
    with db.connection() as connection:
        connection.execute("update thumbrank.view_snapshots set observed_at = now() - interval '34 days 12 hours'")
    fresh = looked(ephemeral)["every_niche_is_fresh"]
    assert fresh.passed
    days = fresh.metadata["days_since_counts"].value
    assert isinstance(days, dict)
    assert days["tech"] == 34.5
    assert days["news"] is None
    stale = looked(ephemeral, days=1)["every_niche_is_fresh"]
    assert not stale.passed
    assert rows(stale) == [{"niche": "tech", "days": 35}]


def aged(db, images, world, days):
    """A niche of the API that was read so many days ago, and one of the simulator, which does not age."""
    store_videos(db, images, world, {"UC" + "a" * 22: [(5, 1000), (6, 10)]}, source="youtube_api")
    store_videos(db, images, world, {"UC" + "b" * 22: [(5, 1000)]}, source="simulator", niche="news")
    ago = datetime.now(UTC) - timedelta(days=days)
    with db.connection() as connection:
        for table, column in (
            ("channels", "fetched_at"),
            ("thumbnails", "fetched_at"),
            ("view_snapshots", "observed_at"),
            ("picture_versions", "last_seen_at"),
        ):
            connection.execute(f"update thumbrank.{table} set {column} = %s", (ago,))
        connection.execute("update thumbrank.picture_versions set first_seen_at = last_seen_at")


EVERYTHING = {"channels": 1, "thumbnails": 2, "view_snapshots": 2, "picture_versions": 2}


def test_rows_that_should_have_gone_are_counted_by_table(ephemeral, state, db, images, world):
    aged(db, images, world, 30.5)
    assert looked(ephemeral)["nothing_expired"].passed  # today's retention takes them
    found = looked(ephemeral, days=1)["nothing_expired"]
    assert not found.passed
    assert {row["table"]: row["rows"] for row in rows(found)} == EVERYTHING


@pytest.mark.parametrize("mode", ["unaudited", "audited"])
def test_what_retention_removes_is_what_is_found_and_nothing_is_found_after_it(db, images, world, mode):
    policy = load_policy().model_copy(update={"mode": mode})
    aged(db, images, world, 33)
    now = datetime.now(UTC)
    with db.connection() as connection:
        before = expired_rows(connection, policy, now)
    expected = EVERYTHING if mode == "unaudited" else {"channels": 1, "thumbnails": 2, "picture_versions": 2}
    assert before == expected
    expire(db, FileStores(images, ()), policy, now=now)
    with db.connection() as connection:
        assert expired_rows(connection, policy, now) == {}
        assert expired_rows(connection, policy, now + timedelta(hours=23)) == {}


def test_what_shows_nothing_and_still_has_to_go_is_found(db, images, world):
    """A video without counts or anything to show goes whole, a channel's old counts go with its name, an old answer goes alone."""
    policy, now = load_policy().model_copy(update={"mode": "audited"}), datetime.now(UTC)
    aged(db, images, world, 33)
    with db.connection() as connection:
        connection.execute("delete from thumbrank.view_snapshots")
        connection.execute("delete from thumbrank.picture_versions")
        connection.execute(
            "update thumbrank.thumbnails set title = null, tags = '{}', thumbnail_url = null, language = null, category_id = null"
        )
        connection.execute("update thumbrank.channels set title = null, fetched_at = fetched_at - interval '3 years'")
        assert expired_rows(connection, policy, now) == {"channels": 1, "thumbnails": 2}
        connection.execute(
            "update thumbrank.thumbnails set fetched_at = %s, trainability = 'all', trainability_checked_at = %s",
            (now, now - timedelta(days=33)),
        )
        assert expired_rows(connection, policy, now) == {"channels": 1, "thumbnails": 2}
    expire(db, FileStores(images, ()), policy, now=now)
    with db.connection() as connection:
        assert expired_rows(connection, policy, now) == {}


def claimed(instance, pool, *, failed=False, **process):
    """A run that holds the only slot of a pool, in this process but for what is said of it."""

    @dg.job(name="some_job")
    def job():
        pass

    run = instance.create_run_for_job(job)
    instance.add_run_tags(run.run_id, replace(RunProcess.this(run.run_id), **process).tags)
    instance.report_dagster_event(dg.DagsterEvent(dg.DagsterEventType.RUN_START.value, "some_job"), run.run_id)
    instance.event_log_storage.initialize_concurrency_limit_to_default(pool)
    instance.event_log_storage.claim_concurrency_slot(pool, run.run_id, "raw_videos")
    if failed:
        instance.report_run_failed(instance.get_run_by_id(run.run_id))
    return run.run_id


def test_slots_of_runs_that_do_not_work_any_more_are_named_and_those_of_others_are_not(instance, state):
    assert looked(instance)["no_slots_of_dead_runs"].passed
    claimed(instance, "working")
    killed = claimed(instance, "killed", pid=2**22 + 1)
    ended = claimed(instance, "ended", failed=True)
    away = claimed(instance, "away", host="another-host")

    found = looked(instance)["no_slots_of_dead_runs"]
    assert not found.passed
    gone = {"pool": "killed", "run": killed, "step": "raw_videos", "because": "its process is gone"}
    assert rows(found) == [gone]
    assert rows(looked(instance, days=1.1)["no_slots_of_dead_runs"]) == [
        gone
        | {
            "pool": "away",
            "run": away,
            "because": "it began over a day ago on another-host, which cannot be seen from here",
        },
        gone | {"pool": "ended", "run": ended, "because": "the run is failure"},
        gone,
    ]


def test_every_check_says_what_to_do_and_the_schedule_runs_them_in_the_month_s_time_zone():
    for check in inventory.CHECKS:
        assert ": " in str(check.check_specs_by_output_name[next(iter(check.check_specs_by_output_name))].description)
    schedule = inventory.daily_inventory_schedule(load_automation(), dg.DefaultScheduleStatus.RUNNING)
    assert (schedule.job_name, schedule.cron_schedule) == ("daily_inventory", "0 6 * * *")
    assert schedule.execution_timezone == "America/Los_Angeles"
    assert schedule.default_status == dg.DefaultScheduleStatus.RUNNING
