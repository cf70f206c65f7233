"""The one key that every trigger of training shares: a row of `thumbrank.training_months`.

What belongs here: taking the key and writing down how it ended. Whether it should be taken is decisions.py; starting the run
is the orchestrator's, which asks for the same run again until it knows of it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, LiteralString

import psycopg

Trigger = Literal["monthly", "owner_rates", "champion_age", "drift", "by_hand"]
State = Literal["requested", "trained", "failed", "skipped"]


@dataclass(frozen=True)
class TrainingMonth:
    """A month that somebody asked to train. `ended_at`, `why`: None while its run is on its way."""

    month: str
    attempt: int
    trigger: Trigger
    reason: str
    niches: tuple[str, ...]
    requested_at: datetime
    state: State
    ended_at: datetime | None = None
    why: str | None = None


_SELECT: LiteralString = (
    "select month, attempt, trigger, reason, niches, requested_at, state, ended_at, why from thumbrank.training_months "
)


def read_month(connection: psycopg.Connection, month: str) -> TrainingMonth | None:
    """The month's row; None: nobody asked yet."""
    row = connection.execute(_SELECT + "where month = %s", (month,)).fetchone()
    return None if row is None else _month(row)


def unsettled_months(connection: psycopg.Connection) -> list[TrainingMonth]:
    """Months whose run is on its way, and failed ones, whose run somebody may have run again; the oldest first."""
    rows = connection.execute(_SELECT + "where state in ('requested', 'failed') order by month").fetchall()
    return [_month(row) for row in rows]


def claim(
    connection: psycopg.Connection,
    month: str,
    trigger: Trigger,
    reason: str,
    niches: Sequence[str],
    now: datetime,
    *,
    state: Literal["requested", "trained"] = "requested",
) -> TrainingMonth | None:
    """Take the month's key, or take it again after a failed or skipped attempt; None: somebody else has it.

    Of two at once one gets it: the row is locked by whoever writes first, and the other one sees what was written.

    Args:
        connection: whose transaction ends before the run is asked for.
        month: 2026-11.
        trigger: who asks.
        reason: why, one sentence.
        niches: what is to be learnt from.
        now: when.
        state: trained: a person had done it already.
    """
    taken = connection.execute(
        "insert into thumbrank.training_months as m (month, attempt, trigger, reason, niches, requested_at, state, ended_at) "
        "values (%(month)s, 1, %(trigger)s, %(reason)s, %(niches)s, %(now)s, %(state)s, "
        "case when %(state)s = 'requested' then null else %(now)s::timestamptz end) "
        "on conflict (month) do update set attempt = m.attempt + (m.state = 'failed')::int, trigger = excluded.trigger, "
        "reason = excluded.reason, niches = excluded.niches, requested_at = excluded.requested_at, state = excluded.state, "
        "ended_at = excluded.ended_at, why = null where m.state in ('failed', 'skipped')",
        {
            "month": month,
            "trigger": trigger,
            "reason": reason,
            "niches": list(niches),
            "now": now,
            "state": state,
        },
    )
    return read_month(connection, month) if taken.rowcount else None


def settle(
    connection: psycopg.Connection,
    month: str,
    attempt: int,
    state: Literal["trained", "failed"],
    now: datetime,
    why: str | None = None,
) -> None:
    """Write down how an attempt ended; one that was taken again since, or ended well, is left alone. A failed one may end well yet:
    somebody mended what it failed of and ran it again."""
    connection.execute(
        "update thumbrank.training_months set state = %(state)s, ended_at = %(now)s, why = %(why)s "
        "where month = %(month)s and attempt = %(attempt)s "
        "and (state = 'requested' or (state = 'failed' and %(state)s = 'trained'))",
        {"state": state, "now": now, "why": why, "month": month, "attempt": attempt},
    )


def skip(connection: psycopg.Connection, month: str, why: str, now: datetime) -> bool:
    """Write down that a month nobody asked for is not trained as things stand; False: somebody asked, or it was known."""
    done = connection.execute(
        "insert into thumbrank.training_months (month, attempt, trigger, reason, niches, requested_at, state, ended_at, why) "
        "values (%(month)s, 1, 'monthly', %(why)s, '{}', %(now)s, 'skipped', %(now)s, %(why)s) on conflict (month) do nothing",
        {"month": month, "why": why, "now": now},
    )
    return done.rowcount == 1


def _month(row: tuple[object, ...]) -> TrainingMonth:
    month, attempt, trigger, reason, niches, requested_at, state, ended_at, why = row
    return TrainingMonth(month, attempt, trigger, reason, tuple(niches), requested_at, state, ended_at, why)  # pyright: ignore
