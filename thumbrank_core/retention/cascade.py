"""One removal inside one transaction: fill the sets of what goes, then `cascade`. Set-based, so that 200,000 videos are
a handful of statements.

Who decides what goes is expiry.py (too old) and removal.py (asked for); what that means for a table is tables.py.
"""

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from itertools import chain
from typing import LiteralString

import psycopg
from psycopg import sql

from thumbrank_core.features.cache import title_sha256
from thumbrank_core.features.signals.prompts import PROMPTS
from thumbrank_core.progress import track
from thumbrank_core.retention.tables import TABLES, Addressed, Rows
from thumbrank_core.store.copy import copy_out, table_name

_SETS: tuple[LiteralString, ...] = (
    "create temporary table removal_videos (video_id text primary key, video_key integer unique) on commit drop",
    "create temporary table removal_channels (channel_id text primary key, channel_key integer unique) on commit drop",
    "create temporary table removal_content (video_key integer primary key) on commit drop",
    "create temporary table removal_labels (video_key integer primary key) on commit drop",
)


@dataclass
class Gone:
    """What a transaction removed: rows by table, and the digests of the pictures and titles that went with them."""

    rows: Counter[str] = field(default_factory=Counter[str])
    pictures: set[bytes] = field(default_factory=set[bytes])
    titles: set[bytes] = field(default_factory=set[bytes])


def make_sets(connection: psycopg.Connection) -> None:
    """Make the empty sets of a removal; they live as long as the transaction."""
    for statement in _SETS:
        connection.execute(statement)


def remove_rows(
    connection: psycopg.Connection,
    rule: Rows,
    condition: LiteralString,
    gone: Gone,
    parameters: dict[str, object] | None = None,
) -> None:
    """Delete the rows of one table that meet `condition`, and remember what they named."""
    statement = sql.SQL("delete from {} r where {}").format(_table(rule.table), sql.SQL(condition))
    if not rule.pictures:
        gone.rows[rule.table] += connection.execute(statement, parameters).rowcount
        return
    deleted = connection.execute(statement + sql.SQL(" returning r.sha256"), parameters)
    gone.rows[rule.table] += deleted.rowcount
    gone.pictures.update(bytes(digest) for (digest,) in deleted if digest is not None)


def cascade(connection: psycopg.Connection, gone: Gone, *, forgetting: bool) -> None:
    """Remove everything that goes with the items of the sets, table by table in the order of tables.py.

    With `forgetting`, vectors go that no remaining video shares; without, every vector of nothing stored goes: a title
    that changed leaves one behind too.
    """
    connection.execute(
        "insert into removal_labels select video_key from removal_videos where video_key is not null on conflict do nothing"
    )
    connection.execute("analyze removal_videos, removal_channels, removal_content, removal_labels")
    titles = connection.execute(
        "select t.title from thumbrank.thumbnails t join removal_videos using (video_key) where t.title is not null"
    )
    gone.titles.update(title_sha256(title) for (title,) in titles)
    with track("removing rows", len(TABLES)) as advance:
        for rule in TABLES:
            if isinstance(rule, Rows) and (forgetting or not rule.only_forgotten):
                remove_rows(connection, rule, rule.with_items, gone)
            elif isinstance(rule, Addressed):
                _remove_addressed(connection, rule, gone, forgetting=forgetting)
            advance(1)


def unreferenced(connection: psycopg.Connection, pictures: Collection[bytes]) -> set[bytes]:
    """Which of these pictures no row names any more."""
    statement = sql.SQL("select d.sha256 from unnest(%s::bytea[]) d(sha256) where {}").format(_no_owner("d"))
    return {bytes(digest) for (digest,) in connection.execute(statement, (sorted(pictures),))}


def orphans(
    connection: psycopg.Connection, rule: Addressed, gone: Gone | None
) -> list[tuple[LiteralString, set[bytes]]]:
    """The digests of a table that are of nothing stored, of its pictures and of its titles, with the condition on their rows.

    Args:
        connection: a connection.
        rule: the table.
        gone: look only among what went with these; None: at every digest of the table.
    """
    found: list[tuple[LiteralString, set[bytes]]] = []
    if rule.of_pictures is not None:
        pictures = gone.pictures if gone else _digests(connection, rule, rule.of_pictures)
        found.append((rule.of_pictures, unreferenced(connection, pictures)))
    if rule.of_titles is not None:
        titles = gone.titles if gone else _digests(connection, rule, rule.of_titles)
        found.append((rule.of_titles, _not_stored(connection, titles)))
    return found


def _remove_addressed(connection: psycopg.Connection, rule: Addressed, gone: Gone, *, forgetting: bool) -> None:
    for of_kind, digests in orphans(connection, rule, gone if forgetting else None):
        gone.rows[rule.table] += _remove_digests(connection, rule, of_kind, digests)


def _remove_digests(
    connection: psycopg.Connection, rule: Addressed, of_kind: LiteralString, digests: set[bytes]
) -> int:
    statement = sql.SQL("delete from {} r where ({}) and r.sha256 = any(%s::bytea[])")
    return connection.execute(statement.format(_table(rule.table), sql.SQL(of_kind)), (sorted(digests),)).rowcount


def _digests(connection: psycopg.Connection, rule: Addressed, of_kind: LiteralString) -> set[bytes]:
    statement = sql.SQL("select r.sha256 from {} r where {}").format(_table(rule.table), sql.SQL(of_kind))
    return {bytes(digest) for (digest,) in copy_out(connection, statement, None, ["bytea"])}


def _not_stored(connection: psycopg.Connection, titles: Collection[bytes]) -> set[bytes]:
    """Which of these are no stored title's, nor a prompt's. Hashed here: Postgres and Python differ on what a space is."""
    prompts = {title_sha256(prompt) for prompt in chain.from_iterable(PROMPTS.values())}
    if not prompts.issuperset(titles):
        rows = copy_out(connection, "select title from thumbrank.thumbnails where title is not null", None, ["text"])
        return set(titles).difference(prompts, (title_sha256(title) for (title,) in rows))
    return set()


def _no_owner(alias: str) -> sql.Composed:
    """No table of pictures holds the digest of `alias`."""
    owners = (rule.table for rule in TABLES if isinstance(rule, Rows) and rule.pictures)
    return sql.SQL(" and ").join(
        sql.SQL("not exists (select from {} o where o.sha256 = {}.sha256)").format(_table(table), sql.Identifier(alias))
        for table in owners
    )


def _table(name: str) -> sql.Identifier:
    return table_name(f"thumbrank.{name}")
