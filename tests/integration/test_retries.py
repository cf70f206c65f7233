"""A retry that Dagster lost: asked for again, once. Dagster's own daemon, instance and workspace; only its looks are by hand."""

from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest
from dagster._core.errors import DagsterUserCodeUnreachableError
from dagster._core.events import RunFailureReason
from dagster._core.remote_origin import InProcessCodeLocationOrigin
from dagster._core.test_utils import create_test_daemon_workspace_context
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._core.workspace.load_target import InProcessWorkspaceLoadTarget
from dagster._daemon.auto_run_reexecution.event_log_consumer import EventLogConsumerDaemon

from thumbrank_dagster.retries import OVERDUE, REASON_TAG, RETRY_TAG, SAID_AGAIN, insist

CONFIG = """
telemetry: {enabled: false}
run_retries: {enabled: true, max_retries: 2, retry_on_asset_or_op_failure: false}
run_coordinator: {module: dagster._core.run_coordinator, class: QueuedRunCoordinator}
"""


@dg.op
def only_step():
    pass


@dg.job
def retried_job():
    only_step()


definitions = dg.Definitions(jobs=[retried_job])


class Daemon:
    """Dagster's own that runs failed runs again, one look at a time; what it starts is queued and stays so."""

    def __init__(self, instance, workspace):
        self.instance, self.workspace, self.daemon = instance, workspace, EventLogConsumerDaemon()
        self.look()

    def look(self):
        list(self.daemon.run_iteration(self.workspace))

    def start(self):
        [location] = self.workspace.create_request_context().code_locations
        [repository] = location.get_repositories().values()
        job = repository.get_full_job("retried_job")
        run = self.instance.create_run_for_job(
            retried_job, remote_job_origin=job.get_remote_origin(), job_code_origin=job.get_python_origin()
        )
        event = dg.DagsterEvent(dg.DagsterEventType.RUN_START.value, "retried_job")
        self.instance.report_dagster_event(event, run.run_id)
        return run.run_id

    def retries(self, run_id):
        return [run.run_id for run in self.instance.get_runs() if run.parent_run_id == run_id]


@pytest.fixture
def daemon(tmp_path):
    home = tmp_path / "queueing"
    home.mkdir()
    (home / "dagster.yaml").write_text(CONFIG)
    origin = InProcessCodeLocationOrigin(
        LoadableTargetOrigin(executable_path=None, module_name=__name__, attribute="definitions"), location_name="here"
    )
    with (
        dg.DagsterInstance.from_config(str(home)) as instance,
        create_test_daemon_workspace_context(InProcessWorkspaceLoadTarget(origin), instance) as workspace,
    ):
        yield Daemon(instance, workspace)


def fail(daemon, run_id, between=lambda: None):
    """As Dagster does it, event first; `between`: before the run's status says so."""
    storage = daemon.instance.run_storage
    handle = storage.handle_run_event

    def late(*arguments):
        between()
        handle(*arguments)

    storage.handle_run_event = late
    daemon.instance.report_run_failed(daemon.instance.get_run_by_id(run_id), "killed")
    storage.handle_run_event = handle


def later(by):
    return datetime.now(UTC) + by


def test_a_failure_that_dagster_looked_at_too_early_is_said_again_once_and_it_runs_again(daemon):
    run_id = daemon.start()
    fail(daemon, run_id, between=daemon.look)
    daemon.look()
    assert daemon.instance.get_run_by_id(run_id).tags[RETRY_TAG] == "true"
    assert daemon.retries(run_id) == [], "Dagster 1.13 loses it; if it does not any more, insist() can go"

    assert insist(daemon.instance, later(OVERDUE / 2)) == [], "it may still come"
    assert insist(daemon.instance, later(OVERDUE * 2)) == [run_id]
    daemon.look()
    [retry] = daemon.retries(run_id)
    assert insist(daemon.instance, later(OVERDUE * 4)) == []
    failures = daemon.instance.all_logs(run_id, of_type=dg.DagsterEventType.RUN_FAILURE)
    assert [failure.dagster_event.message for failure in failures] == ["killed", SAID_AGAIN]

    # The retry has its tags, and is a run of its own.
    event = dg.DagsterEvent(dg.DagsterEventType.RUN_START.value, "retried_job")
    daemon.instance.report_dagster_event(event, retry)
    fail(daemon, retry, between=daemon.look)
    assert insist(daemon.instance, later(OVERDUE * 2)) == [retry]
    daemon.look()
    assert len(daemon.retries(retry)) == 1


def test_a_failure_that_dagster_saw_in_time_is_not_said_again(daemon):
    run_id = daemon.start()
    fail(daemon, run_id)
    daemon.look()
    assert len(daemon.retries(run_id)) == 1
    assert insist(daemon.instance, later(OVERDUE * 2)) == []


def test_a_retry_that_could_not_be_launched_is_asked_for_again(daemon, monkeypatch):
    def unreachable():
        raise DagsterUserCodeUnreachableError("the code server is being started")

    run_id = daemon.start()
    with monkeypatch.context() as starting:
        starting.setattr(daemon.workspace, "create_request_context", unreachable)
        fail(daemon, run_id)
        daemon.look()
    daemon.look()
    assert daemon.instance.get_run_by_id(run_id).tags[RETRY_TAG] == "false", "given up at once"
    assert daemon.retries(run_id) == []
    assert insist(daemon.instance, later(OVERDUE * 2)) == [run_id]
    daemon.look()
    assert len(daemon.retries(run_id)) == 1


def test_a_run_that_somebody_ran_again_by_hand_is_not_said_again(daemon):
    run_id = daemon.start()
    fail(daemon, run_id, between=daemon.look)
    tags = {"dagster/parent_run_id": run_id, "dagster/root_run_id": run_id}
    daemon.instance.create_run_for_job(retried_job, parent_run_id=run_id, root_run_id=run_id, tags=tags)
    assert insist(daemon.instance, later(OVERDUE * 2)) == []


def test_what_is_not_to_run_again_or_is_long_over_is_not_said_again(daemon):
    run_id, by_a_step, by_hand = daemon.start(), daemon.start(), daemon.start()
    daemon.instance.add_run_tags(by_hand, {"dagster/max_retries": "0"})
    for each in (run_id, by_hand):
        fail(daemon, each, between=daemon.look)
    daemon.instance.add_run_tags(by_a_step, {REASON_TAG: RunFailureReason.STEP_FAILURE.value})
    fail(daemon, by_a_step)
    daemon.look()
    assert insist(daemon.instance, later(timedelta(days=2))) == []
    assert insist(daemon.instance, later(timedelta(hours=2))) == [run_id]
    assert insist(daemon.instance, later(timedelta(hours=3))) == [], "once"
