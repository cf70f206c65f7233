"""Schedules and sensors one by one: where they are on, what they ask for, and that they ask for it once.

What happens over months, with daemons, is test_automation.py's.
"""

import threading
from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest
from dagster._core.events import DagsterEvent

from thumbrank_core.automation.months import claim, read_month, settle, unsettled_months
from thumbrank_core.niches import NICHES
from thumbrank_core.youtube.quota import next_reset
from thumbrank_dagster.automation import AUTOMATIC
from thumbrank_dagster.build import build_defs
from thumbrank_dagster.resources.clock import ClockResource
from thumbrank_dagster.resources.state import StateResource

NOW = datetime(2026, 7, 9, 12, tzinfo=UTC)
SERVER_ONLY = {
    "monthly_refresh",
    "owner_reach_daily",
    "continue_collections",
    "train_when_refreshed",
    "train_on_owner_rates",
    "train_when_old",
    "evaluate_on_ab_outcomes",
    "retention_due",
    "digest_due",
}
EVERYWHERE = {"daily_inventory", "failure_alerts", "dead_runs"}


class At(ClockResource):
    """A clock that stands."""

    time: str

    def now(self):
        return datetime.fromisoformat(self.time)


@pytest.fixture
def look(tmp_path, database_url, monkeypatch):
    """Evaluates one sensor at a time that is given."""
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("THUMBRANK_HOME", str(tmp_path))

    with dg.DagsterInstance.ephemeral() as instance:

        def at(name, when=NOW):
            definitions = build_defs()
            [sensor] = [sensor for sensor in definitions.sensors or () if sensor.name == name]
            resources = {"state": StateResource(), "clock": At(time=when.isoformat())}
            with dg.build_sensor_context(instance=instance, resources=resources, definitions=definitions) as context:
                return sensor.evaluate_tick(context)

        at.instance = instance
        yield at


@pytest.mark.parametrize(("deployment", "on"), [("local", EVERYWHERE), ("server", EVERYWHERE | SERVER_ONLY)])
def test_each_is_on_where_the_table_says_and_nowhere_else(deployment, on):
    definitions = build_defs(deployment=deployment)
    found = [*(definitions.schedules or ()), *(definitions.sensors or ())]
    running = {each.name for each in found if each.default_status.value == "RUNNING"}
    assert running == on
    assert {each.name for each in found} == {entry.name for entry in AUTOMATIC}
    for entry in AUTOMATIC:
        assert entry.runs(deployment) == (entry.name in on)
        assert entry.because


def test_the_monthly_schedule_requests_each_enabled_niche_under_a_key_of_its_month():
    definitions = build_defs()
    schedule = definitions.resolve_schedule_def("monthly_refresh")
    with dg.build_schedule_context(
        scheduled_execution_time=datetime(2026, 11, 1, 11, tzinfo=UTC),
        repository_def=definitions.get_repository_def(),
    ) as context:
        requests = schedule.evaluate_tick(context).run_requests or ()
    assert [request.run_key for request in requests] == [f"2026-11:{niche}" for niche in NICHES]
    assert [request.partition_key for request in requests] == list(NICHES)
    assert schedule.execution_timezone == "America/Los_Angeles"


def test_retention_is_asked_for_once_a_day(look):
    keys = [look("retention_due", NOW + timedelta(hours=hours)).run_requests[0].run_key for hours in (0, 1, 11, 12)]
    assert keys == ["retention:2026-07-09"] * 3 + ["retention:2026-07-10"]


def ended(instance, niche, event, budget=None):
    """A run of the niche that ended so."""
    config = {"ops": {"raw_videos": {"config": {"budget": budget}}}} if budget else {}
    job = build_defs().resolve_job_def("refresh_niche")
    run = instance.create_run_for_job(job, run_config=config, tags={"dagster/partition": niche})
    for kind in ("PIPELINE_START", event):
        instance.report_dagster_event(DagsterEvent(kind, job_name="refresh_niche"), run.run_id)


def test_a_partial_collection_goes_on_the_next_day_unless_it_failed_or_somebody_gave_it_a_budget(look, db):
    now = datetime.now(UTC)
    with db.connection() as connection:
        for niche, until in (("tech", None), ("gaming", None), ("beauty", None), ("news", now), ("education", None)):
            connection.execute(
                "insert into thumbrank.collection_runs (niche, crawl_id, started_at, last_run_at, state, reason, resumes_at) "
                "values (%s, gen_random_uuid(), %s, %s, 'partial', 'why', %s)",
                (niche, now, now, until or next_reset(now)),
            )
    ended(look.instance, "tech", "PIPELINE_SUCCESS")
    ended(look.instance, "gaming", "PIPELINE_FAILURE")
    ended(look.instance, "beauty", "PIPELINE_SUCCESS", budget=10)
    ended(look.instance, "news", "PIPELINE_SUCCESS")  # YouTube answered nothing: it could go on at once, and waits
    assert look("continue_collections", now).run_requests == []
    tomorrow = next_reset(now) + timedelta(minutes=11)
    asked = look("continue_collections", tomorrow).run_requests
    assert sorted(request.partition_key for request in asked) == ["news", "tech"]
    again = look("continue_collections", tomorrow + timedelta(minutes=5)).run_requests
    assert [request.run_key for request in again] == [request.run_key for request in asked]


def ab_outcome(db, imported_at, test_id="t"):
    with db.connection() as connection:
        connection.execute(
            "insert into thumbrank.ab_outcomes values ('UC1', %s, 'v', 'ctr', 'winner', '2026-06-01', '2026-06-14', 'import', %s)",
            (test_id, imported_at),
        )


def evaluated(db, when):
    with db.connection() as connection:
        connection.execute(
            "insert into thumbrank.model_evaluations (model_sha256, model_version, evaluated_at, scorer, is_reference, niche, split, "
            "label, metric, value, n_pairs, n_channels) values ('s', 1, %s, 'model', false, 'all', 'unseen', 'age_adjusted', 'm', 0.6, "
            "10, 2) on conflict do nothing",
            (when,),
        )


def test_new_outcomes_of_tests_evaluate_again_once_and_train_nothing(look, db):
    assert "No A/B outcome" in look("evaluate_on_ab_outcomes").skip_message
    ab_outcome(db, NOW)
    assert look("evaluate_on_ab_outcomes").run_requests == [], "nothing was evaluated yet, so nothing again"
    evaluated(db, NOW - timedelta(days=1))
    [first] = look("evaluate_on_ab_outcomes").run_requests
    [second] = look("evaluate_on_ab_outcomes", NOW + timedelta(hours=1)).run_requests
    assert first.run_key == second.run_key, "Dagster starts it once"
    assert requested(db) == []
    job = build_defs().resolve_job_def("evaluate_again")
    assert {key.to_user_string() for key in job.asset_layer.executable_asset_keys} == {"evaluation_report"}


def requested(db):
    with db.connection() as connection:
        return unsettled_months(connection)


def test_of_many_triggers_at_once_one_gets_the_month(db):
    got = []
    start = threading.Barrier(8)

    def ask(trigger):
        start.wait()
        for _ in range(3):
            with db.connection() as connection:
                taken = claim(connection, "2026-07", trigger, "because", NICHES, NOW)
                if taken is not None:
                    got.append(taken)

    triggers = ("monthly", "owner_rates", "champion_age", "drift") * 2
    threads = [threading.Thread(target=ask, args=(trigger,)) for trigger in triggers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == 1
    with db.connection() as connection:
        assert read_month(connection, "2026-07") == got[0]


def test_an_attempt_that_was_taken_again_is_not_settled_by_the_one_before(db):
    with db.connection() as connection:
        claim(connection, "2026-07", "monthly", "because", NICHES, NOW)
        settle(connection, "2026-07", 1, "failed", NOW, "tech leaks")
        second = claim(connection, "2026-07", "drift", "because", NICHES, NOW)
        assert second is not None and (second.attempt, second.state, second.why) == (2, "requested", None)
        settle(connection, "2026-07", 1, "trained", NOW)
        assert read_month(connection, "2026-07") == second
        settle(connection, "2026-07", 2, "trained", NOW)
        month = read_month(connection, "2026-07")
        assert month is not None and month.state == "trained"
        assert claim(connection, "2026-07", "monthly", "because", NICHES, NOW) is None


def test_a_training_whose_run_the_month_lost_is_asked_for_again_under_the_same_key(look, db):
    with db.connection() as connection:
        claim(connection, "2026-07", "monthly", "because", ["tech", "news"], NOW)
    requests = [look("train_when_refreshed", NOW + timedelta(minutes=n)).run_requests for n in (0, 1)]
    assert [[request.run_key for request in tick] for tick in requests] == [["2026-07:1"], ["2026-07:1"]]
    [[request], _] = requests
    assert request.run_config["ops"]["trained_model"]["config"]["niches"] == ["tech", "news"]
    assert look("train_when_old").run_requests == [], "who asked for it asks again, and nobody else"
