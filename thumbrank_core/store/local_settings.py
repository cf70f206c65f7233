"""Planner settings and memory for a few statements of a transaction, and the old ones afterwards.

What belongs here: settings by SET LOCAL, which a transaction pooler lets through. What does not: settings of a server.
"""

from collections.abc import Generator, Mapping
from contextlib import contextmanager

import psycopg

BIG_JOINS = {
    # What was written in this transaction has no statistics yet, and a nested loop over what is not the one row it was
    # estimated at never ends. Hash joins are right for any number.
    "enable_nestloop": "off",
    "enable_mergejoin": "off",
    "work_mem": "64MB",
    "hash_mem_multiplier": "3",
}
"""For set-based steps over a niche: at most 64 MB a sort and 192 MB a hash table, enough for 2,000,000 videos in memory."""

BIG_INDEX = {"maintenance_work_mem": "256MB", "max_parallel_maintenance_workers": "2"}
"""For an index over a niche's pairs. The index is the same however many workers sort it."""

COUNTING = {"work_mem": "64MB", "max_parallel_workers_per_gather": "1"}
"""For counts over a niche's pairs. Only for whole numbers: floats added in another order give another sum."""

IN_A_TICK = {"lock_timeout": "5s", "statement_timeout": "30s"}
"""For questions that are asked again in a minute."""


@contextmanager
def local_settings(connection: psycopg.Connection, settings: Mapping[str, str]) -> Generator[None]:
    """Inside the block and its transaction, Postgres has these settings. An error leaves them to the rollback."""
    before = connection.execute(
        "select name, current_setting(name) from unnest(%s::text[]) as name", (list(settings),)
    ).fetchall()
    _set(connection, settings)
    yield
    _set(connection, dict(before))


def _set(connection: psycopg.Connection, settings: Mapping[str, str]) -> None:
    connection.execute(
        "select set_config(name, value, true) from unnest(%s::text[], %s::text[]) as s(name, value)",
        (list(settings), list(settings.values())),
    )
