"""Run keys of what failed and is asked for again."""

from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest
from dagster._core.events import DagsterEvent

from thumbrank_dagster.automation_keys import attempt_key

KEY = "retention:2026-07-09"
SOON, LATER = timedelta(minutes=29), timedelta(minutes=31)


@dg.asset
def nothing():
    pass


JOB = dg.Definitions(assets=[nothing], jobs=[dg.define_asset_job("job", ["nothing"])]).resolve_job_def("job")


@pytest.fixture
def instance():
    with dg.DagsterInstance.ephemeral() as made:
        yield made


def run(instance, key, *events, **tags):
    made = instance.create_run_for_job(JOB, tags={"dagster/run_key": key, **tags})
    for kind in events:
        instance.report_dagster_event(DagsterEvent(f"PIPELINE_{kind}", job_name="job"), made.run_id)
    return made.run_id


def asked(instance, after=LATER, **more):
    return attempt_key(instance, KEY, now=datetime.now(UTC) + after, **more)


def test_the_first_attempt_has_the_key_itself(instance):
    run(instance, "retention:2026-07-08", "START", "FAILURE")
    assert attempt_key(instance, KEY) == KEY


@pytest.mark.parametrize("events", [(), ("START",), ("START", "SUCCESS"), ("CANCELED",)])
def test_what_is_on_its_way_or_done_or_was_stopped_by_somebody_is_not_asked_for_again(instance, events):
    run(instance, KEY, *events)
    assert asked(instance) is None


def test_what_failed_is_asked_for_again_half_an_hour_later_and_three_times_in_all(instance):
    run(instance, KEY, "START", "FAILURE")
    assert attempt_key(instance, KEY) is None
    assert asked(instance, SOON) is None
    assert asked(instance) == f"{KEY}:2"
    second = run(instance, f"{KEY}:2", "START")
    assert asked(instance) is None
    instance.report_dagster_event(DagsterEvent("PIPELINE_FAILURE", job_name="job"), second)
    assert asked(instance) == f"{KEY}:3"
    assert asked(instance, most=2) is None
    run(instance, f"{KEY}:3", "START", "FAILURE")
    assert asked(instance) is None
    assert asked(instance, most=4) == f"{KEY}:4"


def test_a_second_attempt_that_succeeded_ends_it(instance):
    run(instance, KEY, "START", "FAILURE")
    run(instance, f"{KEY}:2", "START", "SUCCESS")
    assert asked(instance) is None


def test_what_dagster_itself_or_a_person_runs_again_is_the_same_attempt(instance):
    run(instance, KEY, "START", "FAILURE", **{"dagster/will_retry": "true"})
    assert asked(instance, after=timedelta(minutes=5)) is None, "its retry is coming"
    first = run(instance, "other", "START", "FAILURE")
    again = run(instance, "other", "START", **{"dagster/parent_run_id": first})
    assert attempt_key(instance, "other", now=datetime.now(UTC) + LATER) is None
    instance.report_dagster_event(DagsterEvent("PIPELINE_SUCCESS", job_name="job"), again)
    assert attempt_key(instance, "other", now=datetime.now(UTC) + LATER) is None
