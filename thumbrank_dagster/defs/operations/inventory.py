"""Standing inventories: every day, what is left standing and nobody may have noticed.

What belongs here: checks on how things are, not on what happened. An event is told of once and forgotten; a partition that
failed three weeks ago and was never mended is found here again every morning. A check that does not pass leaves its run
successful, so that alerts.py tells of it apart from failed runs: once a day, by what `not_passed` reads. The checks are
unpartitioned and take no asset as an argument: with one, Dagster would load every partition of it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg

from thumbrank_core.automation.calendar import Automation
from thumbrank_core.niches import enabled_niches
from thumbrank_dagster.dead_runs import RunProcess, release
from thumbrank_dagster.defs.operations.jobs import NICHE_ASSETS
from thumbrank_dagster.partitions import NICHE_PARTITIONS
from thumbrank_dagster.resources.clock import ClockResource
from thumbrank_dagster.resources.state import StateResource
from thumbrank_dagster.retries import insist

FREED_WITHIN = timedelta(minutes=5)
"""Run monitoring frees the slots of a finished run a minute after its end."""
UNSEEN_FOR = timedelta(days=1)
"""No run of ours takes so long: one that says it is on a host that cannot be seen from here is taken for dead."""
EVERY_DAY = "0 6 * * *"
LOOK_EVERY_SECONDS = 30

dagster_runs = dg.AssetSpec(
    "dagster_runs",
    group_name="operate",
    kinds={"dagster"},
    owners=["team:data"],
    code_version="1",
    description="Dagster's own record of runs, partitions and pool slots.\n\nNothing makes it here: it is in the graph so that the daily "
    "checks on it have a place.",
)


@dataclass(frozen=True)
class NotPassed:
    """The last evaluation of a check, which did not pass. `check`: its name and its asset. `mend`: what it looks for and what to do.
    `found`: the rows of its table, in words."""

    check: str
    mend: str
    found: tuple[str, ...]
    run_id: str
    at: datetime


@dataclass(frozen=True)
class _Held:
    """A pool slot whose run does not work any more, and why that is known."""

    pool: str
    run_id: str
    step: str
    because: str


@dg.asset_check(
    asset="dagster_runs",
    description="No partition of an enabled niche stands as failed. Where one does: open its run, mend what it names, and materialize "
    "the niche again.",
)
def no_failed_partitions(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
    """Which partition of which asset failed last and was not made since."""
    niches = enabled_niches()
    failed: list[dg.TableRecord] = []
    for name in NICHE_ASSETS:
        key = dg.AssetKey(name)
        states = context.instance.get_status_by_partition(key, niches, NICHE_PARTITIONS) or {}
        for niche in niches:
            if states.get(niche) == dg.AssetPartitionStatus.FAILED:
                planned = context.instance.get_latest_planned_materialization_info(key, niche)
                run_id = planned.run_id if planned is not None else "unknown"
                failed.append(dg.TableRecord({"niche": niche, "asset": name, "run": run_id}))
    return _result({"niches": len(niches), "failed": len(failed)}, failed)


@dg.asset_check(
    asset="raw_videos",
    description="YouTube was asked for the counts of every enabled niche within 35 days. Where not: materialize the niche, or see why "
    "its monthly run did not end.",
)
def every_niche_is_fresh(clock: ClockResource, state: StateResource) -> dg.AssetCheckResult:
    """Days since the last counts, niche by niche: Dagster's own freshness looks at the asset as a whole."""
    from thumbrank_core.automation.inventory import ages_of

    with state.database.connection() as connection:
        found = ages_of(connection, enabled_niches(), clock.now())
    stale = [
        dg.TableRecord({"niche": niche, "days": age.age.days if age.age else 0})
        for niche, age in found.items()
        if age.stale
    ]
    days = {niche: round(age.age / timedelta(days=1), 1) if age.age else None for niche, age in found.items()}
    return _result({"days_since_counts": dg.MetadataValue.json(days)}, stale)


@dg.asset_check(
    asset="retention",
    description="No row is older than config/policy.yaml allows, a day's grace apart. Where one is: materialize `retention`, and see that "
    "it runs every day.",
)
def nothing_expired(clock: ClockResource, state: StateResource) -> dg.AssetCheckResult:
    """Rows of each table that retention should have removed; counted by its own conditions."""
    from thumbrank_core.automation.inventory import expired_rows
    from thumbrank_core.policy import load_policy

    policy = load_policy(profile=state.settings.profile)
    with state.database.connection() as connection:
        found = expired_rows(connection, policy, clock.now())
    rows = [dg.TableRecord({"table": table, "rows": number}) for table, number in found.items()]
    return _result({"mode": policy.mode, "expired": sum(found.values())}, rows)


@dg.asset_check(
    asset="dagster_runs",
    description="Every claimed pool slot belongs to a run that works. Where not: `dagster instance concurrency get --all` shows the slots; "
    "the sensor dead_runs frees those of this host, and a run of a host that is gone is terminated in the UI.",
)
def no_slots_of_dead_runs(context: dg.AssetCheckExecutionContext, clock: ClockResource) -> dg.AssetCheckResult:
    """Slots that would be held for ever, by pool."""
    if not context.instance.event_log_storage.supports_global_concurrency_limits:
        return dg.AssetCheckResult(passed=True, metadata={"pools": "This storage has none."})
    held = list(_held(context.instance, clock.now()))
    rows = [
        dg.TableRecord({"pool": slot.pool, "run": slot.run_id, "step": slot.step, "because": slot.because})
        for slot in held
    ]
    return _result({"held": len(held)}, rows)


CHECKS = [no_failed_partitions, every_niche_is_fresh, nothing_expired, no_slots_of_dead_runs]


def not_passed(instance: dg.DagsterInstance, since: datetime) -> Iterator[NotPassed]:
    """The checks whose last evaluation did not pass, of those evaluated since then."""
    for check in CHECKS:
        for spec in check.check_specs:
            record = instance.get_latest_asset_check_evaluation_record(spec.key)
            if record is None or record.event is None or not isinstance(record.evaluation, dg.AssetCheckEvaluation):
                continue  # never looked, or is looking just now
            at = datetime.fromtimestamp(record.event.timestamp, UTC)
            if record.evaluation.passed or at < since:
                continue
            table = record.evaluation.metadata.get("found")
            rows = table.records if isinstance(table, dg.TableMetadataValue) else ()
            found = tuple(", ".join(f"{name} {value}" for name, value in row.data.items()) for row in rows)
            name = f"{spec.name} of {spec.asset_key.to_user_string()}"
            yield NotPassed(name, spec.description or "", found, record.run_id, at)


daily_inventory = dg.define_asset_job(
    "daily_inventory",
    selection=dg.AssetSelection.checks(*CHECKS),
    description="Look for failed partitions, stale niches, expired rows and pool slots of dead runs. Changes nothing.",
)


def daily_inventory_schedule(rules: Automation, status: dg.DefaultScheduleStatus) -> dg.ScheduleDefinition:
    """Every morning in the time zone of config/automation.yaml, on or off from the beginning."""
    return dg.ScheduleDefinition(
        name="daily_inventory",
        job=daily_inventory,
        cron_schedule=EVERY_DAY,
        execution_timezone=rules.month.timezone,
        default_status=status,
        description="Looks every morning for what is left standing.",
    )


def dead_runs_sensor(status: dg.DefaultSensorStatus) -> dg.SensorDefinition:
    """Ends runs whose process is gone, on or off from the beginning."""

    @dg.sensor(
        name="dead_runs",
        minimum_interval_seconds=LOOK_EVERY_SECONDS,
        default_status=status,
        description="Ends the runs of this host whose process was killed and frees their pool slots; Dagster then runs them again. Where "
        "it means to and does not, it is told again.",
    )
    def sensor(context: dg.SensorEvaluationContext, clock: ClockResource) -> dg.SkipReason:
        ended, said = release(context.instance), insist(context.instance, clock.now())
        says = [f"Ended {', '.join(ended)}."] if ended else []
        says += [f"Told Dagster again of {', '.join(said)}."] if said else []
        return dg.SkipReason(" ".join(says) or "Every run of this host has its process.")

    return sensor


def _held(instance: dg.DagsterInstance, now: datetime) -> Iterator[_Held]:
    storage = instance.event_log_storage
    for pool in sorted(storage.get_concurrency_keys()):
        for slot in storage.get_concurrency_info(pool).claimed_slots:
            because = _idle(instance, slot.run_id, now)
            if because is not None:
                yield _Held(pool, slot.run_id, slot.step_key, because)


def _idle(instance: dg.DagsterInstance, run_id: str, now: datetime) -> str | None:
    """Why the run does not work any more; None: it may."""
    record = instance.get_run_record_by_id(run_id)
    if record is None:
        return "the run was deleted"
    run, ended, began = record.dagster_run, record.end_time, record.start_time
    if run.is_finished:
        long_over = ended is None or now - datetime.fromtimestamp(ended, UTC) > FREED_WITHIN
        return f"the run is {run.status.value.lower()}" if long_over else None
    process = RunProcess.of(run)
    if process is None:
        return None
    if process.dead:
        return "its process is gone"
    unseen = not process.here and not instance.run_launcher.supports_check_run_worker_health
    if unseen and began is not None and now - datetime.fromtimestamp(began, UTC) > UNSEEN_FOR:
        return f"it began over a day ago on {process.host}, which cannot be seen from here"
    return None


def _result(figures: dict[str, Any], wrong: list[dg.TableRecord]) -> dg.AssetCheckResult:
    """Passed where nothing is wrong; what is, as a table."""
    found = {"found": dg.MetadataValue.table(wrong)} if wrong else {}
    return dg.AssetCheckResult(passed=not wrong, metadata=figures | found)
