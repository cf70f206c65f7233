"""What was removed since a dump was taken does not come back with it.

What belongs here: what a database that is replaced by a dump knows and the dump cannot: who was forgotten, whose consent
ended, and the evidence of both. How the rows are replaced is store/restore.py. A database that was lost knew these things
too; whoever restores into an empty one has to repeat what was asked for since the dump.
"""

from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import LiteralString

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

from thumbrank_core.policy import PolicyMode
from thumbrank_core.retention.cascade import Gone, cascade, make_sets
from thumbrank_core.store.copy import table_name

_REMEMBERED: tuple[tuple[str, LiteralString, LiteralString], ...] = (
    (
        "tombstones",
        "create temporary table kept_tombstones (kind text, item_id text, made_at timestamptz) on commit drop",
        "insert into kept_tombstones select kind, item_id, made_at from thumbrank.tombstones where reason = 'forgotten'",
    ),
    (
        "retention_audit",
        "create temporary table kept_audit (audit_id bigint, done_at timestamptz, action text, policy_mode text, "
        "subject text, counts jsonb) on commit drop",
        "insert into kept_audit select audit_id, done_at, action, policy_mode, subject, counts from thumbrank.retention_audit",
    ),
    (
        "reach_owners",
        "create temporary table kept_owners (owner_id text) on commit drop",
        "insert into kept_owners select owner_id from thumbrank.reach_owners",
    ),
)

_EVIDENCE: tuple[LiteralString, ...] = (
    "insert into thumbrank.tombstones as t (kind, item_id, reason, made_at) "
    "select kind, item_id, 'forgotten', made_at from kept_tombstones on conflict (kind, item_id) do update "
    "set reason = excluded.reason, made_at = excluded.made_at where t.reason = 'expired'",
    "delete from kept_audit k using thumbrank.retention_audit a "
    "where a.done_at = k.done_at and a.action = k.action and a.subject = k.subject",
    "insert into thumbrank.retention_audit (done_at, action, policy_mode, subject, counts) "
    "select done_at, action, policy_mode, subject, counts from kept_audit order by audit_id",
)

# A queue, a miss or a discovery may name an item of which nothing else is stored.
_FORGOTTEN: tuple[LiteralString, ...] = (
    "insert into removal_channels select t.item_id, c.channel_key from thumbrank.tombstones t "
    "left join thumbrank.channels c on c.channel_id = t.item_id where t.kind = 'channel' and t.reason = 'forgotten'",
    "insert into removal_videos select t.item_id, v.video_key from thumbrank.tombstones t "
    "left join thumbrank.thumbnails v on v.video_id = t.item_id where t.kind = 'video' and t.reason = 'forgotten' "
    "union select v.video_id, v.video_key from thumbrank.thumbnails v join removal_channels using (channel_key)",
)

# Consents that ended here since the dump (youtube/reach/rows.py: purge), unless the owner consented again.
_ENDED: LiteralString = (
    "create temporary table kept_ended on commit drop as "
    "select o.owner_id from kept_audit k join thumbrank.reach_owners o on k.subject = 'reach of ' || o.owner_id "
    "where k.action in ('logout', 'revoked') and o.owner_id not in (select owner_id from kept_owners)"
)
_OF_CONSENT: tuple[tuple[str, LiteralString], ...] = (
    (
        "reach_daily",
        "delete from thumbrank.reach_daily where source = 'reporting_api' and owner_id in (select owner_id from kept_ended)",
    ),
    ("reach_reports", "delete from thumbrank.reach_reports where owner_id in (select owner_id from kept_ended)"),
    ("reach_owners", "delete from thumbrank.reach_owners where owner_id in (select owner_id from kept_ended)"),
)

_DATED: LiteralString = (
    "select c.relname::text from pg_class c join pg_attribute a on a.attrelid = c.oid "
    "where c.relnamespace = 'thumbrank'::regnamespace and c.relkind in ('r', 'p') and not c.relispartition "
    "and a.attname = 'expires_at' and not a.attisdropped"
)


@contextmanager
def kept_removed(
    connection: psycopg.Connection, mode: PolicyMode, dumped_at: datetime, removed: Counter[str]
) -> Generator[None]:
    """Remember what was removed here, let the block replace the rows, and remove it again, all in the caller's transaction.

    Args:
        connection: inside a transaction, before the first row goes.
        mode: the policy's mode, for the audit.
        dumped_at: of when the dump is, for the audit.
        removed: is added the rows that were removed again, by table.
    """
    for table, make, fill in _REMEMBERED:
        connection.execute(make)
        row = connection.execute("select to_regclass(%s) is not null", (f"thumbrank.{table}",)).fetchone()
        if row is not None and row[0]:  # a database without a schema, or with one from before the table, knows nothing
            connection.execute(fill)
    yield
    for statement in _EVIDENCE:
        connection.execute(statement)
    make_sets(connection)
    for statement in _FORGOTTEN:
        connection.execute(statement)
    gone = Gone()
    cascade(connection, gone, forgetting=True)
    connection.execute(_ENDED)
    for table, statement in _OF_CONSENT:
        gone.rows[table] += connection.execute(statement).rowcount
    removed.update(+gone.rows)
    if removed:
        connection.execute(
            "insert into thumbrank.retention_audit (done_at, action, policy_mode, subject, counts) "
            "values (%s, 'forget', %s, %s, %s)",
            (
                datetime.now(UTC),
                mode,
                f"what a dump of {dumped_at:%Y-%m-%d %H:%M} UTC brought back",
                Jsonb(dict(removed)),
            ),
        )


def overdue(connection: psycopg.Connection) -> int:
    """Rows whose own date is past: a dump is as old as it is, and the policy counts from when a row was read."""
    tables = [str(table) for (table,) in connection.execute(_DATED)]
    counts = [
        connection.execute(
            sql.SQL("select count(*) from {} where expires_at <= now()").format(table_name(f"thumbrank.{table}"))
        ).fetchone()
        for table in tables
    ]
    return sum(int(count[0]) for count in counts if count is not None)
