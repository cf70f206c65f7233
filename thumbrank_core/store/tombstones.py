"""What was removed, without its content: a forgotten item is never collected again, an expired one may be.

What belongs here: the rows of `tombstones`, and the lock that keeps a removal and a writer apart. What is removed, and
when, is retention/.
"""

from collections.abc import Collection
from datetime import datetime
from typing import Literal

import psycopg

ItemKind = Literal["channel", "video"]
Reason = Literal["forgotten", "expired"]

_REMOVAL = 0x7468756D63  # "thumc"; migrate.py has "thumb"


def forgotten(connection: psycopg.Connection, kind: ItemKind, ids: Collection[str]) -> set[str]:
    """Which of `ids` somebody asked us to forget: never ask the API for them, never write them.

    Call it in the transaction that writes, before its first write. Until that transaction ends no removal can start, so
    that nothing which was forgotten a moment ago is written back.
    """
    hold_off_removals(connection)
    rows = connection.execute(
        "select item_id from thumbrank.tombstones where kind = %s and reason = 'forgotten' and item_id = any(%s)",
        (kind, sorted(ids)),
    ).fetchall()
    return {str(row[0]) for row in rows}


def record(
    connection: psycopg.Connection, kind: ItemKind, ids: Collection[str], reason: Reason, made_at: datetime
) -> int:
    """Write tombstones; `forgotten` replaces `expired` and is never replaced by it. Returns how many are new or changed."""
    return connection.execute(
        "insert into thumbrank.tombstones as t (kind, item_id, reason, made_at) "
        "select %(kind)s, item_id, %(reason)s, %(made_at)s from unnest(%(ids)s::text[]) item_id "
        "on conflict (kind, item_id) do update set reason = excluded.reason, made_at = excluded.made_at "
        "where t.reason = 'expired' and excluded.reason = 'forgotten'",
        {"kind": kind, "reason": reason, "made_at": made_at, "ids": sorted(set(ids))},
    ).rowcount


def clear_expired(connection: psycopg.Connection, kind: ItemKind, ids: Collection[str]) -> int:
    """Take back the tombstones of items that expired and have been collected again; a forgotten item keeps its own."""
    return connection.execute(
        "delete from thumbrank.tombstones where kind = %s and reason = 'expired' and item_id = any(%s)",
        (kind, sorted(ids)),
    ).rowcount


def hold_off_removals(connection: psycopg.Connection) -> None:
    """Let no removal start until this transaction ends. The first thing that a transaction which writes items does."""
    connection.execute("select pg_advisory_xact_lock_shared(%s)", (_REMOVAL,))


def lock_for_removal(connection: psycopg.Connection) -> None:
    """Wait until no writer is between its look at the tombstones and its commit; one removal at a time."""
    connection.execute("select pg_advisory_xact_lock(%s)", (_REMOVAL,))
