"""Run keys of what is asked for again after it failed.

Dagster starts one run a key and never another, so that a run that failed would have used up its day. A sensor that asks with
`attempt_key` asks for a second and a third run under keys of their own, and for nothing while one is on its way.
"""

from datetime import UTC, datetime, timedelta

import dagster as dg

from thumbrank_dagster.automation import is_on_its_way

RUN_KEY_TAG = "dagster/run_key"
"""Where Dagster writes the key of a request on its run."""
PAUSE = timedelta(minutes=30)


def attempt_key(instance: dg.DagsterInstance, key: str, most: int = 3, *, now: datetime | None = None) -> str | None:
    """The key to ask with; None: there is nothing to ask for now.

    Args:
        instance: who knows the runs.
        key: of the first attempt; the second one's ends in ":2".
        most: attempts in all. A run that Dagster itself tries again is one attempt until it has given up.
        now: when; the machine's clock unless given, which is what runs end by.

    Returns:
        The key itself where no run has it. None while the newest attempt is on its way, once it succeeded or somebody canceled
        it, for half an hour after it failed, and after the last attempt. Else the next attempt's key.
    """
    keys = [key, *(f"{key}:{attempt}" for attempt in range(2, most + 1))]
    found = [instance.get_run_records(dg.RunsFilter(tags={RUN_KEY_TAG: each})) for each in keys]
    attempts = sum(1 for records in found if records)
    if attempts == 0:
        return key
    newest, moment = found[attempts - 1], now or datetime.now(UTC)
    if any(is_on_its_way(record, moment) for record in newest):
        return None
    # The newest of them: Dagster copies the key to a run that is executed again, and what it ended as counts.
    last = newest[0]
    if last.dagster_run.status != dg.DagsterRunStatus.FAILURE or attempts == most:
        return None
    ended = datetime.fromtimestamp(last.end_time or last.update_timestamp.timestamp(), UTC)
    return keys[attempts] if moment - ended >= PAUSE else None
