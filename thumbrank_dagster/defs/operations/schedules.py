"""Schedules: when a month begins, and what is done every day.

Plain ones with one request a niche: `build_schedule_from_partitioned_job` does not work for static partitions. A tick that was missed
because the daemon was down is made up for by Dagster when it is back, the newest one alone: two months offline request one refresh.
"""

from collections.abc import Iterator

import dagster as dg

from thumbrank_core.automation.calendar import Automation, month_of
from thumbrank_core.niches import enabled_niches
from thumbrank_dagster.automation import MONTH_TAG, Deployment, schedule_status
from thumbrank_dagster.defs.operations.jobs import read_owner_reach, refresh_niche


def monthly_refresh(rules: Automation, deployment: Deployment) -> dg.ScheduleDefinition:
    """When a month begins: a run of `refresh_niche` for each enabled niche."""

    @dg.schedule(
        name="monthly_refresh",
        job=refresh_niche,
        cron_schedule=rules.month.cron,
        execution_timezone=rules.month.timezone,
        default_status=schedule_status("monthly_refresh", deployment),
        description="Requests every enabled niche of config/niches.yaml when a month begins (config/automation.yaml).",
    )
    def schedule(context: dg.ScheduleEvaluationContext) -> Iterator[dg.RunRequest]:
        month = month_of(context.scheduled_execution_time, rules.month)
        for niche in enabled_niches():
            yield dg.RunRequest(run_key=f"{month.key}:{niche}", partition_key=niche, tags={MONTH_TAG: month.key})

    return schedule


def owner_reach_daily(rules: Automation, deployment: Deployment) -> dg.ScheduleDefinition:
    """Every day: reports vanish 60 days after they were made, and consents have to be confirmed within 30."""
    return dg.ScheduleDefinition(
        name="owner_reach_daily",
        job=read_owner_reach,
        cron_schedule="30 4 * * *",
        execution_timezone=rules.month.timezone,
        default_status=schedule_status("owner_reach_daily", deployment),
        description="Reads what YouTube's Reporting API has new of the owners who consented.",
    )
