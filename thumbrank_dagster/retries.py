"""Runs that are to begin again and did not: Dagster runs a killed run again by itself, and now and then loses one.

What belongs here: seeing to it that its daemon looks again. Whether a run is to begin again is Dagster's to say (run_retries in
dagster.yaml); that a process is gone, dead_runs.py's.

Dagster 1.13 loses a retry in two ways. Its daemon looks at each failure's event once, and stores that it did. The event is written
before the run's status is, by another connection: a look in between sees a run that has not failed. And a retry that cannot be
launched, as the code location is just being started or stopped, is given up at once.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import dagster as dg
from dagster._core.events import RunFailureReason
from dagster._core.execution.retries import auto_reexecution_should_retry_run

RETRY_TAG, RETRIED_BY_TAG, REASON_TAG = "dagster/will_retry", "dagster/auto_retry_run_id", "dagster/failure_reason"
"""Dagster's, on a failed run: whether it is to begin again by itself, the run it began again as, and why it failed."""
PARENT_TAG = "dagster/parent_run_id"
SAID_AGAIN_TAG = "thumbrank/said_again"
"""On a run whose failure was said a second time: its own id, because Dagster copies tags to a retry."""
SAID_AGAIN = "Said again: Dagster meant to run this again and has not."
RETRY_WITHIN = timedelta(minutes=10)
"""So long after a failure a retry is not coming, however often it was asked for."""
OVERDUE, FORGOTTEN = timedelta(seconds=45), timedelta(days=1)
"""A retry comes within six seconds; one that nobody missed for a day was given up by people too."""


def insist(instance: dg.DagsterInstance, now: datetime) -> list[str]:
    """Say the failure of a run again, once, that is to begin again and did not; returns their ids.

    Dagster looks at the second event as at the first, now with the status in place, and starts no run that is there already.
    """
    if not instance.run_retries_enabled:
        return []
    said: list[str] = []
    for run in _overdue(instance, now):
        # First the tags: whoever is killed between the two said nothing, and the alert of it tells people after ten minutes.
        instance.add_run_tags(run.run_id, {SAID_AGAIN_TAG: run.run_id, RETRY_TAG: "true"})
        instance.report_run_failed(run, SAID_AGAIN)
        said.append(run.run_id)
    return said


def _overdue(instance: dg.DagsterInstance, now: datetime) -> Iterator[dg.DagsterRun]:
    failed = instance.get_run_records(
        dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE], updated_after=now - FORGOTTEN)
    )
    for record in failed:
        run, ended = record.dagster_run, record.end_time
        if RETRIED_BY_TAG in run.tags or run.tags.get(SAID_AGAIN_TAG) == run.run_id or ended is None:
            continue
        in_time = OVERDUE <= now - datetime.fromtimestamp(ended, UTC) <= FORGOTTEN
        # Dagster's own rule, and not its tag alone: the tag says no as well where launching was given up.
        if (
            in_time
            and auto_reexecution_should_retry_run(instance, run, _reason(run))
            and not _began_again(instance, run)
        ):
            yield run


def _began_again(instance: dg.DagsterInstance, run: dg.DagsterRun) -> bool:
    """Whether somebody ran it again by hand: that is no retry to Dagster, which would start one beside it."""
    return bool(instance.get_run_ids(dg.RunsFilter(tags={PARENT_TAG: run.run_id}), limit=1))


def _reason(run: dg.DagsterRun) -> RunFailureReason | None:
    said = run.tags.get(REASON_TAG)
    return RunFailureReason(said) if said else None
