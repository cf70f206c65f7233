"""What runs by itself: the table of schedules and sensors, and what they look at.

What belongs here: which of them is on where, and the facts out of Dagster's own record. The rules are pure functions in
thumbrank_core/automation/decisions.py; the schedules and sensors themselves are defs/operations/.

Plain sensors over Postgres and the event log, not automation conditions. A condition cannot see the key that all triggers of
training share, nor that a collection waits for units; `on_cron` on the unpartitioned model fires after the first niche
(`all_deps_match` asks for at least one partition of each dependency); and a sensor's cursor or a tick may be lost without harm, because
nothing that is decided is kept in them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

import dagster as dg
from dagster._core.execution.backfill import BulkActionsFilter, BulkActionStatus

from thumbrank_dagster.defs.operations.jobs import MODEL_ASSETS, NICHE_ASSETS
from thumbrank_dagster.partitions import PARTITION_TAG
from thumbrank_dagster.retries import RETRY_WITHIN

if TYPE_CHECKING:
    import psycopg

    from thumbrank_core.automation.calendar import Month
    from thumbrank_core.automation.decisions import DecisionInputs, NicheNow
    from thumbrank_core.automation.stored_facts import Paused

Deployment = Literal["local", "server"]

MONTH_TAG = "thumbrank/month"
ATTEMPT_TAG = "thumbrank/attempt"
"""On the training runs of a month: which row of training_months they belong to."""

FIRST, LAST = dg.AssetKey(NICHE_ASSETS[0]), dg.AssetKey(NICHE_ASSETS[-1])
MODEL, DEPLOYED = dg.AssetKey(MODEL_ASSETS[0]), dg.AssetKey(MODEL_ASSETS[-1])
OWN_RECIPE = "default"
"""Of the trainings that are asked for here."""
MOST_RECORDS, FEW_RECORDS = 500, 20
"""Of all niches since a month began: refreshed every day, six niches come to 186. Of trainings, the newest."""
UNFINISHED = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


@dataclass(frozen=True)
class Automatic:
    """A schedule or a sensor, and where it is on without anybody's doing. `because`: why not everywhere."""

    name: str
    does: str
    local: bool
    server: bool
    because: str

    def runs(self, deployment: Deployment) -> bool:
        """Whether it is on there from the beginning."""
        return self.local if deployment == "local" else self.server


AUTOMATIC = (
    Automatic("monthly_refresh", "requests the six niches when a month begins", False, True, "it spends units"),
    Automatic("owner_reach_daily", "reads owners' new reports", False, True, "owners consented to one deployment"),
    Automatic("daily_inventory", "looks for what is left standing", True, True, "it only reads"),
    Automatic("continue_collections", "goes on where a niche waited for units", False, True, "it spends units"),
    Automatic("train_when_refreshed", "trains a month once", False, True, "it trains for minutes to hours"),
    Automatic("train_on_owner_rates", "trains when owners' rates came", False, True, "it trains for minutes to hours"),
    Automatic("train_when_old", "trains when the champion is old or pictures drifted", False, True, "as above"),
    Automatic("evaluate_on_ab_outcomes", "evaluates again when A/B outcomes came", False, True, "it moves a verdict"),
    Automatic("retention_due", "removes once a day what may not be kept", False, True, "it removes rows and files"),
    Automatic("digest_due", "tells the team of a month", False, True, "one deployment tells, not every laptop"),
    Automatic("failure_alerts", "tells the webhook of failed runs", True, True, "silent without a webhook"),
    Automatic("dead_runs", "ends runs whose process was killed", True, True, "a dead run holds its pool"),
)


def schedule_status(name: str, deployment: Deployment) -> dg.DefaultScheduleStatus:
    """What the table says of a schedule."""
    return dg.DefaultScheduleStatus.RUNNING if _runs(name, deployment) else dg.DefaultScheduleStatus.STOPPED


def sensor_status(name: str, deployment: Deployment) -> dg.DefaultSensorStatus:
    """What the table says of a sensor."""
    return dg.DefaultSensorStatus.RUNNING if _runs(name, deployment) else dg.DefaultSensorStatus.STOPPED


def _runs(name: str, deployment: Deployment) -> bool:
    return next(entry for entry in AUTOMATIC if entry.name == name).runs(deployment)


def decision_inputs(
    instance: dg.DagsterInstance, connection: "psycopg.Connection", niches: Sequence[str], month: "Month", now: datetime
) -> "DecisionInputs":
    """The facts of a month, for the decisions."""
    from thumbrank_core.automation.decisions import DecisionInputs
    from thumbrank_core.automation.months import read_month
    from thumbrank_core.automation.stored_facts import paused_collections

    row = read_month(connection, month.key)
    # Nobody trains a month that is trained or on its way, however its niches stand.
    asked = () if row is not None and row.state in ("requested", "trained") else niches
    paused = paused_collections(connection, asked) if asked else {}
    history = NicheHistory.of(instance, asked, month.begins_at)
    return DecisionInputs(
        now=now,
        month=month,
        niches=tuple(_niche(niche, paused.get(niche), history, now) for niche in asked),
        row=row,
        underway=training_underway(instance, now),
        trained_at=trained_at(instance, row.niches if row is not None and row.niches else asked, month)
        if asked
        else None,
    )


def newest_runs(instance: dg.DagsterInstance, niches: Sequence[str], since: datetime) -> dict[str, dg.RunRecord]:
    """Each niche's newest run created since then, whoever launched it."""
    if not niches:
        return {}
    found: dict[str, dg.RunRecord] = {}
    for record in instance.get_run_records(
        dg.RunsFilter(tags={PARTITION_TAG: list(niches)}, created_after=since), limit=MOST_RECORDS
    ):
        found.setdefault(record.dagster_run.tags[PARTITION_TAG], record)
    return found


def is_on_its_way(record: dg.RunRecord, now: datetime) -> bool:
    """Whether it runs, waits to run, or will be tried again by Dagster; a retry that has not come in time is not coming."""
    run = record.dagster_run
    if run.status in UNFINISHED:
        return True
    ended = record.end_time or record.update_timestamp.timestamp()
    return run.is_complete_and_waiting_to_retry and now.timestamp() - ended < RETRY_WITHIN.total_seconds()


def training_underway(instance: dg.DagsterInstance, now: datetime) -> bool:
    """Whether a run or a backfill that trains is not finished, whoever launched it."""
    waiting = dg.RunsFilter(statuses=[*UNFINISHED, dg.DagsterRunStatus.FAILURE], updated_after=now - 2 * RETRY_WITHIN)
    records = [*instance.get_run_records(dg.RunsFilter(statuses=UNFINISHED)), *instance.get_run_records(waiting)]
    for record in records:
        run = record.dagster_run
        trains = MODEL in run.asset_selection if run.asset_selection else run.job_name == "train_and_deploy"
        if trains and is_on_its_way(record, now):
            return True
    asked = instance.get_backfills(BulkActionsFilter(statuses=[BulkActionStatus.REQUESTED]))
    return any(MODEL in (backfill.asset_selection or ()) for backfill in asked)


def decided(instance: dg.DagsterInstance, since: datetime) -> set[str]:
    """Ids of runs since then that ended well and in which it was decided what serves, with the first run of each one's group: what was run
    again from where it had failed counts for the run that had trained."""
    found: set[str] = set()
    records = instance.fetch_materializations(
        dg.AssetRecordsFilter(asset_key=DEPLOYED, after_timestamp=since.timestamp()), limit=FEW_RECORDS
    ).records
    for record in records:
        run = instance.get_run_by_id(record.run_id)
        if run is not None and run.status == dg.DagsterRunStatus.SUCCESS:
            found |= {run.run_id, run.root_run_id or run.run_id}
    return found


def trained_at(instance: dg.DagsterInstance, niches: Sequence[str], month: "Month") -> datetime | None:
    """When the newest run of the month began that trained at least these niches as the month's own would have, and came to a decision.

    Training alone is not it, nor is a try with other settings: neither was evaluated for the place of the champion.
    """
    done = decided(instance, month.begins_at)
    records = instance.fetch_materializations(
        dg.AssetRecordsFilter(asset_key=MODEL, after_timestamp=month.begins_at.timestamp()), limit=FEW_RECORDS
    ).records
    for record in records:
        materialised = record.asset_materialization
        named = materialised.metadata.get("niches") if materialised is not None else None
        run = instance.get_run_record_by_id(record.run_id)
        if named is None or run is None or run.start_time is None:
            continue
        group = {record.run_id, run.dagster_run.root_run_id or record.run_id}
        config = config_of(run.dagster_run, MODEL_ASSETS[0])
        own = config.get("recipe", OWN_RECIPE) == OWN_RECIPE and not config.get("overrides")
        if group & done and own and set(niches) <= set(str(named.value).split(", ")):
            return datetime.fromtimestamp(run.start_time, UTC)
    return None


def config_of(run: dg.DagsterRun, asset: str) -> dict[str, Any]:
    """What the launchpad said of that asset in that run; empty: its defaults."""
    ops: Any = run.run_config.get("ops", {})
    return ops.get(asset, {}).get("config", {})


@dataclass(frozen=True)
class NicheHistory:
    """What the event log says of the niches since the month began: their newest run, and when they were last collected and
    embedded."""

    runs: dict[str, dg.RunRecord]
    collected: dict[str, datetime]
    embedded: dict[str, datetime]

    @classmethod
    def of(cls, instance: dg.DagsterInstance, niches: Sequence[str], since: datetime) -> "NicheHistory":
        """One question each, for all niches together."""
        return cls(
            newest_runs(instance, niches, since),
            *(_materialised(instance, key, niches, since) for key in (FIRST, LAST)),
        )


def _niche(niche: str, paused: "Paused | None", history: NicheHistory, now: datetime) -> "NicheNow":
    from thumbrank_core.automation.decisions import NicheNow

    newest = history.runs.get(niche)
    if newest is not None and is_on_its_way(newest, now):
        return NicheNow(niche, "running")
    broken = (dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED)
    failed = newest.dagster_run if newest is not None and newest.dagster_run.status in broken else None
    if paused is not None and failed is None:
        return NicheNow(niche, "partial", says=f"goes on at {paused.continues_at:%Y-%m-%d %H:%M} UTC: {paused.why}")
    collected, embedded = history.collected.get(niche), history.embedded.get(niche)
    if collected is not None and embedded is not None and embedded >= collected and paused is None:
        return NicheNow(niche, "fresh", refreshed_at=embedded)
    if failed is not None:
        return NicheNow(niche, "failed", says=f"run {failed.run_id[:8]}")
    return NicheNow(niche, "waiting")


def _materialised(
    instance: dg.DagsterInstance, key: dg.AssetKey, niches: Sequence[str], since: datetime
) -> dict[str, datetime]:
    if not niches:
        return {}
    found = instance.fetch_materializations(
        dg.AssetRecordsFilter(asset_key=key, asset_partitions=list(niches), after_timestamp=since.timestamp()),
        limit=MOST_RECORDS,
    ).records
    newest: dict[str, datetime] = {}
    for record in found:
        if record.partition_key is not None:
            newest.setdefault(record.partition_key, datetime.fromtimestamp(record.timestamp, UTC))
    return newest
