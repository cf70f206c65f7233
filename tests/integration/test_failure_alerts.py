"""Failed runs, standing checks and failing ticks reach the webhook: once each, also when it was down or refused one of them, and
never with a secret in them."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest
from dagster import AssetCheckResult, AssetCheckSpec
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteInstigatorOrigin, RemoteRepositoryOrigin
from dagster._core.scheduler.instigation import (
    InstigatorState,
    InstigatorStatus,
    InstigatorType,
    ScheduleInstigatorData,
    TickData,
    TickStatus,
)
from dagster_shared.error import SerializableErrorInfo

from tests.webhooks import SECRET, Receiver
from thumbrank_core.automation import alerts as posting
from thumbrank_core.automation.alerts import AlertError
from thumbrank_dagster.defs.operations import inventory
from thumbrank_dagster.defs.operations.alerts import ALERTED_TAG, failure_alerts_sensor, why
from thumbrank_dagster.resources.alerts import NOT_SET, AlertsResource
from thumbrank_dagster.resources.clock import ClockResource

NICHES = dg.StaticPartitionsDefinition(["tech", "news"])
SENSOR = failure_alerts_sensor(dg.DefaultSensorStatus.RUNNING)


@dg.asset(partitions_def=NICHES)
def raw_videos():
    raise dg.Failure("YOUTUBE_API_KEY is not set: put it into .env.")


@dg.asset
def leaky():
    try:
        raise ValueError("cannot open postgresql://me:hunter22@host/db\n in two lines")
    except ValueError as error:
        raise RuntimeError("outer") from error


@dg.asset(check_specs=[AssetCheckSpec("has_pairs", asset="checked", blocking=True)])
def checked():
    return dg.MaterializeResult(check_results=[AssetCheckResult(check_name="has_pairs", passed=False)])


@dg.asset(deps=[checked])
def behind():
    pass


class Later(ClockResource):
    """The clock, so many minutes on."""

    minutes: float = 1

    def now(self) -> datetime:
        return datetime.now(UTC) + timedelta(minutes=self.minutes)


@pytest.fixture
def receiver(monkeypatch):
    with Receiver() as found:
        monkeypatch.setenv("THUMBRANK_ALERT_WEBHOOK", found.url)
        monkeypatch.setenv("THUMBRANK_DAGSTER_URL", "https://dagster.example.com/")
        yield found


@pytest.fixture
def instance():
    with dg.DagsterInstance.ephemeral() as made:
        yield made


def fail(instance, *assets, **more):
    result = dg.materialize(list(assets), instance=instance, raise_on_error=False, **more)
    assert not result.success
    return result.run_id


def tick(instance, minutes=1.0):
    resources = {"alerts": AlertsResource(), "clock": Later(minutes=minutes)}
    with dg.build_sensor_context(instance=instance, resources=resources) as context:
        said = SENSOR(context)
    assert isinstance(said, dg.SkipReason) and said.skip_message is not None
    return said.skip_message


def test_a_failed_run_is_told_of_once(instance, receiver):
    run_id = fail(instance, raw_videos, partition_key="tech")
    assert tick(instance) == f"Told of {run_id[:8]}."
    assert receiver.texts == [
        "Failed: raw_videos, niche tech\n"
        "YOUTUBE_API_KEY is not set: put it into .env.\n"
        "It is not tried again by itself: mend what it names, then re-execute the run.\n"
        f"https://dagster.example.com/runs/{run_id}"
    ]
    assert tick(instance) == "Nothing failed that nobody was told of."
    assert len(receiver.texts) == 1


def test_what_succeeds_is_not_told(instance, receiver):
    assert dg.materialize([dg.AssetSpec("x"), behind_nothing], instance=instance).success
    assert tick(instance) == "Nothing failed that nobody was told of."


@dg.asset
def behind_nothing():
    pass


def test_a_job_is_told_with_its_assets(instance, receiver, monkeypatch):
    monkeypatch.delenv("THUMBRANK_DAGSTER_URL")
    defs = dg.Definitions(assets=[raw_videos, leaky], jobs=[dg.define_asset_job("refresh_niche", ["raw_videos"])])
    done = defs.resolve_job_def("refresh_niche").execute_in_process(
        instance=instance, partition_key="news", raise_on_error=False
    )
    tick(instance)
    [text] = receiver.texts
    assert text.startswith("Failed: raw_videos in refresh_niche, niche news\n")
    assert text.endswith(f"Run {done.run_id}")


def test_a_webhook_that_is_down_costs_no_alert_and_is_asked_for_one_message_only(instance, receiver, monkeypatch):
    monkeypatch.setattr("thumbrank_core.automation.alerts.Webhook.pause_s", 0.001)
    first, second = fail(instance, raw_videos, partition_key="tech"), fail(instance, raw_videos, partition_key="news")
    receiver.answers = [503] * 3
    with pytest.raises(AlertError, match="cannot take the message now") as caught:
        tick(instance)
    assert SECRET not in str(caught.value)
    assert len(receiver.paths) == 3, "where nobody takes the first message, the second one is not tried"
    assert ALERTED_TAG not in instance.get_run_by_id(first).tags
    assert tick(instance) == f"Told of {first[:8]}, {second[:8]}."
    assert [text.splitlines()[0] for text in receiver.texts] == [
        "Failed: raw_videos, niche tech",
        "Failed: raw_videos, niche news",
    ]


def test_what_was_told_before_the_webhook_went_down_is_not_told_again(instance, receiver):
    first, second = fail(instance, raw_videos, partition_key="tech"), fail(instance, raw_videos, partition_key="news")
    receiver.answers = [200, 302]
    with pytest.raises(AlertError):
        tick(instance)
    assert instance.get_run_by_id(first).tags[ALERTED_TAG] == first
    assert tick(instance) == f"Told of {second[:8]}."
    assert len(receiver.texts) == 2


def test_a_message_that_is_refused_holds_no_other_up_and_is_tried_again_every_hour_in_plain_words(instance, receiver):
    refused, other = fail(instance, leaky), fail(instance, raw_videos, partition_key="news")
    receiver.answers = [403]
    with pytest.raises(
        AlertError, match=r"refuses the message .* Messages refused: 1, which are tried again in an hour"
    ):
        tick(instance)
    assert ALERTED_TAG not in instance.get_run_by_id(refused).tags
    assert instance.get_run_by_id(other).tags[ALERTED_TAG] == other
    assert len(receiver.texts) == 1
    waits = "Nothing failed that nobody was told of. Refused within the hour, and tried again after it: 1."
    assert tick(instance, minutes=59) == waits
    assert len(receiver.paths) == 2, "it is left alone for an hour"
    receiver.answers = [403]
    with pytest.raises(AlertError):
        tick(instance, minutes=62)
    assert tick(instance, minutes=120) == waits
    assert tick(instance, minutes=123) == f"Told of {refused[:8]}."
    assert receiver.texts[1].splitlines() == [
        "Failed: leaky",
        "ValueError: cannot open postgresql://me:hunter22 host/db in two lines",
        "It is not tried again by itself: mend what it names, then re-execute the run.",
        f"https://dagster.example.com/runs/{refused}",
    ]


def test_what_could_not_be_told_for_a_day_is_news_no_more(instance, receiver):
    fail(instance, raw_videos, partition_key="tech")
    assert tick(instance, minutes=24 * 60 + 1) == "Nothing failed that nobody was told of."


def test_a_run_that_failed_this_very_second_waits_for_what_dagster_means_to_do_with_it(instance, receiver):
    fail(instance, raw_videos, partition_key="tech")
    assert tick(instance, minutes=0) == "Nothing failed that nobody was told of."


def test_a_run_that_will_be_retried_is_not_told_and_its_last_failure_is(instance, receiver):
    first = fail(instance, raw_videos, partition_key="tech")
    instance.add_run_tags(first, {"dagster/will_retry": "true"})
    assert tick(instance) == "Nothing failed that nobody was told of."
    tags = {"dagster/retry_number": "2", "dagster/will_retry": "false"}
    last = fail(instance, raw_videos, partition_key="tech", tags=tags)
    instance.add_run_tags(first, {"dagster/auto_retry_run_id": last})
    assert tick(instance, minutes=30) == f"Told of {last[:8]}."
    assert "It was tried 3 times." in receiver.texts[0]


def test_a_retry_that_never_came_is_told(instance, receiver):
    run_id = fail(instance, raw_videos, partition_key="tech")
    instance.add_run_tags(run_id, {"dagster/will_retry": "true"})
    assert tick(instance, minutes=11) == f"Told of {run_id[:8]}."
    assert "Dagster meant to run it again and has not: see that its daemon runs" in receiver.texts[0]


def test_a_run_that_was_executed_again_with_the_tags_of_one_that_was_told_is_told_too(instance, receiver):
    told = fail(instance, raw_videos, partition_key="tech")
    tick(instance)
    again = fail(instance, raw_videos, partition_key="tech", tags=dict(instance.get_run_by_id(told).tags))
    assert tick(instance) == f"Told of {again[:8]}."


def test_a_run_that_was_canceled_is_not_told(instance, receiver):
    run = instance.create_run_for_job(dg.Definitions(assets=[leaky]).resolve_implicit_global_asset_job_def())
    instance.report_run_canceled(run)
    assert tick(instance) == "Nothing failed that nobody was told of."


def test_somebody_elses_words_are_told_without_the_secrets_in_them(instance, receiver, monkeypatch):
    monkeypatch.setenv("DATABASE_URL", "postgresql://me:hunter22@host/db")
    fail(instance, leaky)
    tick(instance)
    assert receiver.texts[0].splitlines()[1] == "ValueError: cannot open *** in two lines"


def test_a_check_that_stopped_the_run_is_named(instance):
    run_id = fail(instance, checked, behind)
    said = why(instance, instance.get_run_by_id(run_id))
    assert said.startswith("Did not pass, and going on would be wrong: check has_pairs of checked.")


def test_a_run_that_died_without_a_step_says_what_dagster_says(instance, receiver):
    run = instance.create_run_for_job(dg.Definitions(assets=[leaky]).resolve_implicit_global_asset_job_def())
    instance.report_run_failed(run, "The process of this run is gone.")
    assert why(instance, run) == "The process of this run is gone."
    assert tick(instance) == f"Told of {run.run_id[:8]}."


def test_many_failures_are_told_over_several_ticks(instance, receiver, monkeypatch):
    monkeypatch.setattr("thumbrank_dagster.defs.operations.alerts.AT_ONCE", 2)
    runs = [fail(instance, raw_videos, partition_key="tech") for _ in range(3)]
    assert tick(instance) == f"Told of {runs[0][:8]}, {runs[1][:8]}."
    assert tick(instance) == f"Told of {runs[2][:8]}."


def test_without_a_webhook_the_tick_says_so(instance):
    fail(instance, raw_videos, partition_key="tech")
    assert tick(instance) == NOT_SET


def test_a_webhook_that_cannot_be_one_fails_the_tick_without_its_address(instance, monkeypatch):
    monkeypatch.setenv("THUMBRANK_ALERT_WEBHOOK", f"http://hooks.example.com/{SECRET}")
    with pytest.raises(AlertError, match=f"{posting.VARIABLE} must begin with https") as caught:
        tick(instance)
    assert SECRET not in str(caught.value)


class Looked:
    """The daily inventory of a day, of one check that finds what it is given."""

    def __init__(self, monkeypatch):
        self.found = []

        @dg.asset_check(asset="dagster_runs", description="Nothing is left. Where it is: remove it.")
        def nothing_left():
            rows = [dg.TableRecord({"table": name, "rows": 2}) for name in self.found]
            metadata = {"found": dg.MetadataValue.table(rows)} if rows else {}
            return AssetCheckResult(passed=not rows, metadata=metadata)

        monkeypatch.setattr(inventory, "CHECKS", [nothing_left])
        job = dg.define_asset_job("daily_inventory", selection=dg.AssetSelection.checks(nothing_left))
        definitions = dg.Definitions(assets=[inventory.dagster_runs], asset_checks=[nothing_left], jobs=[job])
        self.job = definitions.resolve_job_def("daily_inventory")

    def look(self, instance, *found):
        self.found = found
        done = self.job.execute_in_process(instance=instance)
        assert done.success, "a check that does not pass fails no run"
        return done.run_id


def test_a_check_of_the_inventory_that_does_not_pass_is_told_once_a_day(instance, receiver, monkeypatch):
    looked = Looked(monkeypatch)
    looked.look(instance)
    assert tick(instance) == "Nothing failed that nobody was told of."
    run_id = looked.look(instance, *"abcdefg")
    assert tick(instance) == "Told of check nothing_left of dagster_runs."
    assert receiver.texts == [
        "Did not pass: check nothing_left of dagster_runs\n"
        "Nothing is left. Where it is: remove it.\n"
        "Found: rows 2, table a; rows 2, table b; rows 2, table c; rows 2, table d; rows 2, table e; and 2 more.\n"
        f"https://dagster.example.com/runs/{run_id}"
    ]
    looked.look(instance, "a")
    assert tick(instance) == "Nothing failed that nobody was told of.", "somebody looked again on the same day"
    looked.look(instance)
    assert tick(instance) == "Nothing failed that nobody was told of."


def test_a_check_that_stands_is_told_again_the_next_day_and_not_of_a_look_long_ago(instance, receiver, monkeypatch):
    looked = Looked(monkeypatch)
    looked.look(instance, "a")
    assert tick(instance, minutes=24 * 60 + 1) == "Nothing failed that nobody was told of."
    assert tick(instance) == "Told of check nothing_left of dagster_runs."
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    real = inventory.not_passed

    def next_day(instance, since):
        return (replace(found, at=tomorrow) for found in real(instance, since))

    monkeypatch.setattr("thumbrank_dagster.defs.operations.alerts.not_passed", next_day)
    assert tick(instance) == "Told of check nothing_left of dagster_runs."


@pytest.fixture
def kept(tmp_path):
    """An instance on the disk, and the function that opens it again."""
    home = tmp_path / "dagster"
    home.mkdir()
    (home / "dagster.yaml").write_text("{telemetry: {enabled: false}}")
    return lambda: dg.DagsterInstance.from_config(str(home))


def test_that_a_check_was_told_survives_a_restart_and_a_tick_that_failed(kept, receiver, monkeypatch):
    looked = Looked(monkeypatch)
    with kept() as instance:
        refused = fail(instance, leaky)
        looked.look(instance, "a")
        receiver.answers = [403]
        with pytest.raises(AlertError):
            tick(instance)
        assert len(receiver.texts) == 1
    with kept() as instance:
        assert "tried again after it: 1" in tick(instance)
        assert tick(instance, minutes=63) == f"Told of {refused[:8]}."
    assert len(receiver.texts) == 2


def of(instance, name, kind, *statuses, ago=1.0, status=InstigatorStatus.DECLARED_IN_CODE):
    """A schedule or a sensor whose ticks ended so, the newest last, `ago` minutes ago."""
    origin = RemoteInstigatorOrigin(
        repository_origin=RemoteRepositoryOrigin(
            code_location_origin=RegisteredCodeLocationOrigin("thumbrank"), repository_name="__repository__"
        ),
        instigator_name=name,
    )
    data = ScheduleInstigatorData("0 3 1 * *") if kind == InstigatorType.SCHEDULE else None
    state = InstigatorState(origin, kind, status, data)
    if instance.get_instigator_state(state.instigator_origin_id, state.selector_id) is None:
        instance.add_instigator_state(state)
    for place, ended in enumerate(statuses):
        instance.create_tick(
            TickData(
                state.instigator_origin_id,
                name,
                kind,
                ended,
                datetime.now(UTC).timestamp() - 60 * ago - (len(statuses) - place),
                selector_id=state.selector_id,
                run_ids=[] if ended == TickStatus.SUCCESS else None,
                error=SerializableErrorInfo(
                    "outer", [], "Error", SerializableErrorInfo("ValueError: pass hunter22\n", [], "ValueError")
                )
                if ended == TickStatus.FAILURE
                else None,
            )
        )


FAILED, FINE, NOW = TickStatus.FAILURE, TickStatus.SKIPPED, TickStatus.STARTED


def test_a_sensor_that_fails_three_times_in_a_row_is_told_once_a_day(kept, receiver, monkeypatch):
    monkeypatch.setenv("DATABASE_URL", "postgresql://me:hunter22@host/db")
    with kept() as instance:
        of(instance, "digest_due", InstigatorType.SENSOR, FAILED, FAILED)
        of(instance, "dead_runs", InstigatorType.SENSOR, FAILED, FAILED, FINE)
        of(instance, "retention_due", InstigatorType.SENSOR, *[FAILED] * 3, status=InstigatorStatus.STOPPED)
        of(instance, "train_when_old", InstigatorType.SENSOR, *[FAILED] * 3, ago=24 * 60)
        of(instance, "failure_alerts", InstigatorType.SENSOR, *[FAILED] * 3)
        assert tick(instance) == "Nothing failed that nobody was told of."
        of(instance, "digest_due", InstigatorType.SENSOR, FAILED, NOW, ago=0.5)
        assert tick(instance) == "Told of sensor digest_due."
        of(instance, "digest_due", InstigatorType.SENSOR, FAILED, ago=0.2)
    with kept() as instance:
        assert tick(instance) == "Nothing failed that nobody was told of."
    assert receiver.texts == [
        "Failed: sensor digest_due, 3 times in a row\n"
        "ValueError: pass ***\n"
        "It goes on trying: mend what it names. Until then it asks for nothing.\n"
        "Its page in Dagster has its ticks."
    ]


def test_a_schedule_is_told_of_its_first_failed_tick_since_its_next_one_may_be_a_month_away(kept, receiver):
    with kept() as instance:
        of(instance, "monthly_refresh", InstigatorType.SCHEDULE, TickStatus.SUCCESS, FAILED)
        of(instance, "owner_reach_daily", InstigatorType.SCHEDULE, FAILED, TickStatus.SUCCESS)
        assert tick(instance) == "Told of schedule monthly_refresh."
    assert receiver.texts[0].startswith("Failed: schedule monthly_refresh\nValueError: pass hunter22\n")
    assert "What this tick would have started is not started" in receiver.texts[0]
