"""The monthly digest: what the team is told of a month, as an asset and through the webhook, and the sensor that asks for it. Its
words, and when it is due, are thumbrank_core/automation.
"""

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import dagster as dg
from pydantic import Field

from thumbrank_core.automation.calendar import Automation
from thumbrank_dagster.automation import is_on_its_way
from thumbrank_dagster.defs.deploy.assets import deployed_model
from thumbrank_dagster.failures import one_sentence
from thumbrank_dagster.resources.alerts import NOT_SET, AlertsResource
from thumbrank_dagster.resources.clock import ClockResource
from thumbrank_dagster.resources.mlflow import MlflowResource
from thumbrank_dagster.resources.state import StateResource

if TYPE_CHECKING:
    from thumbrank_core.automation.digest import DueDigest

GROUP = "operate"
DIGEST_TAG = "thumbrank/digest"
"""On a run that the sensor asked for: the month, and what of it."""
EVERY_SECONDS = 300
PAUSE, TRIED_FOR = timedelta(hours=1), timedelta(days=1)
MOST_RUNS = 50


class DigestConfig(dg.Config):
    """Launchpad options of `monthly_digest`."""

    month: str | None = Field(default=None, description="Such as 2026-11. Unset: the month that now lies in.")


@dg.asset(
    deps=[deployed_model],
    group_name=GROUP,
    kinds={"postgres", "markdown"},
    owners=["team:data"],
    code_version="1",
    check_specs=[
        dg.AssetCheckSpec(
            "delivered",
            asset="monthly_digest",
            description="The webhook took the digest, or none is set. Where not: mend what it names; the sensor digest_due asks for "
            "it again every hour for a day, and after that somebody has to materialize it.",
        )
    ],
)
def monthly_digest(
    context: dg.AssetExecutionContext,
    config: DigestConfig,
    state: StateResource,
    mlflow: MlflowResource,
    alerts: AlertsResource,
    clock: ClockResource,
) -> dg.MaterializeResult:
    """A month in a page: new channels, lost videos, drift, the metrics before and after, the verdict and its reasons, units spent.

    Counts and figures only, so that it may be kept. Posted to THUMBRANK_ALERT_WEBHOOK once: the same facts give the same
    text, and a text that was taken is not posted again.
    """
    from thumbrank_core.automation.alerts import AlertError
    from thumbrank_core.automation.calendar import load_automation, month_of
    from thumbrank_core.automation.digest import month_named, record_delivery
    from thumbrank_core.automation.digest import write_digest as write

    now = clock.now()
    with one_sentence():
        rules = load_automation()
        month = month_named(config.month, rules) if config.month else month_of(now, rules.month)
        digest = write(state.database, state.settings, mlflow.registry(), month, rules, now)
        problem: str | None = None
        if digest.delivered_at is not None:
            said = f"It was posted on {digest.delivered_at:%Y-%m-%d %H:%M} UTC."
        else:
            try:
                webhook = alerts.webhook()
                if webhook is None:
                    said = NOT_SET
                else:
                    webhook.post(digest.body)
                    record_delivery(state.database, digest, now)
                    said = "It was posted."
            except AlertError as error:  # the digest is written, and the check below says that nobody was told
                said = problem = str(error)
    return dg.MaterializeResult(
        metadata={
            "month": digest.month,
            "digest": dg.MetadataValue.md(digest.body),
            "delivery": said,
        },
        check_results=[
            dg.AssetCheckResult(
                check_name="delivered",
                passed=problem is None,
                severity=dg.AssetCheckSeverity.WARN,
                metadata={"delivery": said},
            )
        ],
    )


write_digest = dg.define_asset_job(
    "write_digest",
    selection=dg.AssetSelection.assets("monthly_digest"),
    description="Write the digest of a month, and post it. Reads only, but for the digest itself.",
)


def digest_due_sensor(deployment_status: dg.DefaultSensorStatus, rules: Automation) -> dg.SensorDefinition:
    """The team is told of a month once its training has ended, or when nobody trained in time; again if it is trained after all.

    Args:
        deployment_status: on or off from the beginning.
        rules: when a month begins, and how long its training is waited for.
    """

    @dg.sensor(
        name="digest_due",
        job=write_digest,
        minimum_interval_seconds=EVERY_SECONDS,
        default_status=deployment_status,
        description="Writes the month's digest when its training has ended, was skipped, or did not come within patience_days; again "
        "where the webhook did not take it (every hour, for a day) or the run failed (after an hour, two, four, then every day).",
    )
    def sensor(
        context: dg.SensorEvaluationContext, state: StateResource, alerts: AlertsResource, clock: ClockResource
    ) -> dg.SensorResult:
        from thumbrank_core.automation.digest import digests_due
        from thumbrank_core.store.local_settings import IN_A_TICK, local_settings

        now = clock.now()
        with state.database.connection() as connection, local_settings(connection, IN_A_TICK):
            due = digests_due(connection, rules, now, webhook=_can_be_told(alerts))
        asked = [_request(each, now) for each in due if _is_time(context.instance, each, now)]
        if asked:
            return dg.SensorResult(run_requests=asked)
        waits = ", ".join(each.month for each in due)
        return dg.SensorResult(
            skip_reason=f"The digest of {waits} is being written, or waits to be tried again: see its runs."
            if due
            else "No month has anything to tell yet that was not told."
        )

    return sensor


def _can_be_told(alerts: AlertsResource) -> bool:
    from thumbrank_core.automation.alerts import AlertError

    try:
        return alerts.webhook() is not None
    except AlertError:  # the digest is written all the same, and its check says this sentence
        return False


def _is_time(instance: dg.DagsterInstance, due: "DueDigest", now: datetime) -> bool:
    """Whether it was not asked for yet, or long enough ago, and what was asked for has ended."""
    asked = instance.get_run_records(dg.RunsFilter(tags={DIGEST_TAG: _key(due)}), limit=MOST_RUNS)
    if not asked:
        return True
    runs = [record.dagster_run for record in asked]
    if any(is_on_its_way(record, now) for record in asked):
        return False
    since_last, since_first = now - asked[0].create_timestamp, now - asked[-1].create_timestamp
    failures = next((n for n, run in enumerate(runs) if run.status != dg.DagsterRunStatus.FAILURE), len(runs))
    if failures:
        # Never given up, since the month would be lost; less and less often, since each failure is told as well.
        return since_last >= min(TRIED_FOR, PAUSE * 2 ** (failures - 1))
    return since_last >= PAUSE and since_first <= TRIED_FOR


def _key(due: "DueDigest") -> str:
    return f"{due.month}:{due.about}"


def _request(due: "DueDigest", now: datetime) -> dg.RunRequest:
    return dg.RunRequest(
        # With the hour: Dagster starts one run a key, also where that run failed or nobody was told.
        run_key=f"digest:{_key(due)}:{now:%Y-%m-%dT%H}",
        run_config={"ops": {"monthly_digest": {"config": {"month": due.month}}}},
        tags={DIGEST_TAG: _key(due)},
    )
