"""A run whose process was killed: found by the next one who looks, ended so that Dagster runs it again, its pool slot free."""

import errno
import os
import shutil
import signal
import socket
import subprocess
import sys
import textwrap
import time
from dataclasses import replace

import dagster as dg
import psutil
import pytest

from thumbrank_dagster import dead_runs, running
from thumbrank_dagster.dead_runs import PROCESS_TAG, RunProcess, release, remember
from thumbrank_dagster.defs.operations.inventory import dead_runs_sensor
from thumbrank_dagster.resources.clock import ClockResource

SENSOR = dead_runs_sensor(dg.DefaultSensorStatus.RUNNING)
CONFIG = """
telemetry: {enabled: false}
concurrency: {pools: {default_limit: 1, granularity: op}}
run_retries: {enabled: true, max_retries: 2, retry_on_asset_or_op_failure: false}
"""

CHILD = """
    import sys, time
    from pathlib import Path
    import dagster as dg
    from thumbrank_dagster.resources.state import StateResource

    @dg.asset(pool="youtube_api", partitions_def=dg.StaticPartitionsDefinition(["tech"]))
    def raw_videos(state: StateResource) -> None:
        with state.database.connection() as connection:
            connection.execute("select 1")
        Path(sys.argv[1]).touch()
        time.sleep(60)

    with dg.DagsterInstance.get() as instance:
        dg.materialize([raw_videos], instance=instance, resources={"state": StateResource()}, partition_key="tech")
"""


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("THUMBRANK_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def instance(tmp_path):
    home = tmp_path / "dagster"
    home.mkdir()
    (home / "dagster.yaml").write_text(CONFIG)
    with dg.DagsterInstance.from_config(str(home)) as made:
        yield made


@pytest.fixture
def killed(tmp_path, instance, database_url):
    """A run that stopped in the middle of its asset, by SIGKILL."""
    reached = tmp_path / "reached"
    environment = {
        **os.environ,
        "DAGSTER_HOME": str(tmp_path / "dagster"),
        "THUMBRANK_HOME": str(tmp_path),
        "DATABASE_URL": database_url,
    }
    child = subprocess.Popen([sys.executable, "-c", textwrap.dedent(CHILD), str(reached)], env=environment)
    deadline = time.monotonic() + 60
    while not reached.exists():
        assert child.poll() is None and time.monotonic() < deadline, "the child never reached its asset"
        time.sleep(0.05)
    [run] = instance.get_runs()
    yield child, run.run_id
    if child.poll() is None:
        child.kill()
        child.wait()


def process_of(run):
    found = RunProcess.of(run)
    assert found is not None
    return found


def skipped(context):
    said = SENSOR(context)
    assert isinstance(said, dg.SkipReason)
    return said.skip_message


def slots(instance):
    return [slot.run_id for slot in instance.event_log_storage.get_concurrency_info("youtube_api").claimed_slots]


def test_a_killed_run_ends_failed_and_will_be_run_again_and_its_slot_is_free(instance, killed):
    child, run_id = killed
    run = instance.get_run_by_id(run_id)
    assert run.status == dg.DagsterRunStatus.STARTED
    assert process_of(run).pid == child.pid
    assert slots(instance) == [run_id]
    assert release(instance) == []  # it lives

    child.send_signal(signal.SIGKILL)
    while (
        psutil.Process(child.pid).status() != psutil.STATUS_ZOMBIE
    ):  # nobody has waited for it: it is dead all the same
        time.sleep(0.01)
    with dg.build_sensor_context(instance=instance, resources={"clock": ClockResource()}) as context:
        assert skipped(context) == f"Ended {run_id}."
        assert skipped(context) == "Every run of this host has its process."
    ended = instance.get_run_by_id(run_id)
    assert ended.status == dg.DagsterRunStatus.FAILURE
    assert ended.tags["dagster/will_retry"] == "true"
    assert "dagster/failure_reason" not in ended.tags
    assert ended.is_complete_and_waiting_to_retry
    assert slots(instance) == []
    [failure] = instance.all_logs(run_id, of_type=dg.DagsterEventType.RUN_FAILURE)
    assert failure.dagster_event.message == dead_runs.GONE

    assert len(instance.all_logs(run_id, of_type=dg.DagsterEventType.RUN_FAILURE)) == 1
    child.wait()


def test_the_slot_of_a_killed_run_that_dagster_ended_itself_is_free_at_the_next_look(instance, killed):
    child, run_id = killed
    instance.report_run_failed(instance.get_run_by_id(run_id), "as the code server says it")
    assert release(instance) == []
    assert slots(instance) == [run_id], "its process is still there, and may write"
    child.kill()
    child.wait()
    assert release(instance) == []
    assert slots(instance) == []


@pytest.fixture
def here():
    with dg.DagsterInstance.ephemeral() as made:
        yield made


@pytest.fixture
def job():
    @dg.job(name="some_job")
    def made():
        pass

    return made


def started(instance, job, status=dg.DagsterRunStatus.STARTED, **changes):
    """A run that says that it is in a process which is not."""
    run = instance.create_run_for_job(job)
    gone = replace(RunProcess.this(run.run_id), **{"pid": 2**22 + 1} | changes)
    instance.add_run_tags(run.run_id, gone.tags)
    if status in (dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING):
        event = dg.DagsterEvent(dg.DagsterEventType.RUN_START.value, "some_job")
        instance.report_dagster_event(event, run.run_id)
    if status == dg.DagsterRunStatus.CANCELING:
        instance.report_run_canceling(instance.get_run_by_id(run.run_id))
    return run.run_id


def status_of(instance, run_id):
    return instance.get_run_by_id(run_id).status


def test_a_run_of_another_host_is_left_alone(here, job):
    run_id = started(here, job, host="another-host")
    assert release(here) == []
    assert status_of(here, run_id) == dg.DagsterRunStatus.STARTED


def test_a_run_of_a_living_process_is_left_alone_and_of_another_process_of_its_number_not(here, job):
    lives = started(here, job, pid=os.getpid())
    assert release(here) == []
    other = started(here, job, pid=os.getpid(), born=RunProcess.this("x").born - 60)
    assert release(here) == [other]
    assert status_of(here, lives) == dg.DagsterRunStatus.STARTED


def test_a_number_in_another_place_of_the_same_host_name_is_another_number(here, job):
    container_beside = started(here, job, place=f"{RunProcess.this('x').place}0")
    machine_of_that_name = started(here, job, place="00000000-0000-4000-8000-000000000000/4026531836")
    assert release(here) == []
    for run_id in (container_beside, machine_of_that_name):
        assert status_of(here, run_id) == dg.DagsterRunStatus.STARTED
        assert not process_of(here.get_run_by_id(run_id)).here


def test_a_run_of_an_earlier_release_that_says_no_place_is_left_alone(here, job):
    run_id = started(here, job, place="1764385200")  # the time of the boot stood there
    assert release(here) == []
    assert status_of(here, run_id) == dg.DagsterRunStatus.STARTED


HOLDER = """
    import sys, time
    from thumbrank_dagster.dead_runs import _hold_lock
    _hold_lock(sys.argv[1])
    print("held", flush=True)
    time.sleep(60)
"""


def test_in_another_place_of_the_same_host_name_a_lock_tells(here, job, home):
    run_id = started(here, job, place="of/another")
    command = [sys.executable, "-c", textwrap.dedent(HOLDER), run_id]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == "held\n"
        assert process_of(here.get_run_by_id(run_id)).here
        assert release(here) == []
        holder.kill()
    assert release(here) == [run_id]
    assert status_of(here, run_id) == dg.DagsterRunStatus.FAILURE
    assert list((home / dead_runs.LOCKS).iterdir()) == []


@pytest.mark.skipif(sys.platform != "linux", reason="process numbers have namespaces on Linux only")
def test_a_container_beside_kills_nobody_and_its_own_dead_run_is_found(here, job):
    """As `docker compose run code …` beside `code`: one host name, one volume, two namespaces."""
    unshare = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]
    if shutil.which("unshare") is None or subprocess.run([*unshare, "true"], check=False).returncode != 0:
        pytest.skip("this account may not make a namespace")
    run = here.create_run_for_job(job)
    here.report_dagster_event(dg.DagsterEvent(dg.DagsterEventType.RUN_START.value, "some_job"), run.run_id)
    say = "print(RunProcess.this(sys.argv[1]).tags[PROCESS_TAG], flush=True)"
    inside = HOLDER.replace("_hold_lock\n", "PROCESS_TAG, RunProcess, _hold_lock\n").replace(
        'print("held", flush=True)', say
    )
    command = [*unshare, sys.executable, "-c", textwrap.dedent(inside), run.run_id]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as beside:
        assert beside.stdout is not None
        here.add_run_tags(run.run_id, {PROCESS_TAG: beside.stdout.readline().strip()})
        said = process_of(here.get_run_by_id(run.run_id))
        assert said.host == socket.gethostname()
        assert said.pid == 1, "here this is the number of somebody else"
        assert release(here) == []
        beside.kill()
        beside.stdout.read()  # to its end, which is that of the process inside
    assert release(here) == [run.run_id]


def test_a_run_leaves_no_lock_when_it_ends(home):
    command = [sys.executable, "-c", textwrap.dedent(HOLDER).replace("time.sleep(60)", ""), "some-run"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    assert list((home / dead_runs.LOCKS).iterdir()) == []


def test_where_no_lock_can_be_held_there_is_no_file_that_looks_free(home, monkeypatch):
    def refuses(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(dead_runs.fcntl, "flock", refuses)
    dead_runs._hold_lock("some-run")
    assert list((home / dead_runs.LOCKS).iterdir()) == []
    monkeypatch.setenv("THUMBRANK_HOME", "/proc/none")
    dead_runs._hold_lock("some-run")  # a run goes on without


def test_a_run_that_was_to_be_canceled_ends_canceled_and_is_not_run_again(here, job):
    run_id = started(here, job, dg.DagsterRunStatus.CANCELING)
    assert release(here) == [run_id]
    assert status_of(here, run_id) == dg.DagsterRunStatus.CANCELED


def test_a_retry_that_was_given_the_tags_of_the_dead_run_is_not_taken_for_it(here, job):
    dead = started(here, job)
    tags = {PROCESS_TAG: here.get_run_by_id(dead).tags[PROCESS_TAG]}
    retry = here.create_run_for_job(job, tags=tags)
    assert release(here) == [dead]
    assert status_of(here, retry.run_id) == dg.DagsterRunStatus.NOT_STARTED
    remember(here, retry)
    assert process_of(here.get_run_by_id(retry.run_id)).pid == os.getpid()
    assert release(here) == []


def test_a_run_that_ended_while_it_was_looked_at_keeps_its_end(here, job, monkeypatch):
    run_id = started(here, job)

    def ends_meanwhile(_):
        event = dg.DagsterEvent(dg.DagsterEventType.RUN_SUCCESS.value, "some_job")
        here.report_dagster_event(event, run_id)
        return True

    monkeypatch.setattr(RunProcess, "dead", property(ends_meanwhile))
    assert release(here) == []
    assert status_of(here, run_id) == dg.DagsterRunStatus.SUCCESS


def test_runs_without_a_word_of_their_process_are_left_to_run_monitoring(here, job):
    here.create_run_for_job(job)
    here.create_run_for_job(job, tags={PROCESS_TAG: "12345:1795.22"})  # of an earlier release
    assert release(here) == []


def test_a_run_of_the_command_line_says_where_it_is_and_is_not_for_the_daemon_to_run_again(here):
    @dg.asset
    def some_asset():
        pass

    definitions = dg.Definitions(assets=[some_asset], jobs=[dg.define_asset_job("j", ["some_asset"])])
    running._execute(definitions, here, "j", None, {}, None)
    [run] = here.get_runs()
    assert process_of(run).pid == os.getpid()
    assert run.tags["dagster/max_retries"] == "0"
