"""Whose read-outs must go: those of owners whose consent has ended, and of owners of whom no figure is left.

What belongs here: that rule, by what the database holds. A read-out has no video in it; a forgotten video alone leaves it,
as it leaves a model, until the next training fits it without.
"""

from collections.abc import Collection

import psycopg

from thumbrank_core.store.owner_files import OwnerFiles


def consents(connection: psycopg.Connection) -> set[str]:
    """The owners whose consent is on record."""
    return {str(owner) for (owner,) in connection.execute("select owner_id from thumbrank.reach_owners")}


def unsupported(connection: psycopg.Connection, owners: Collection[str], before: Collection[str]) -> set[str]:
    """Which of these owners' read-outs nothing holds up any more.

    Args:
        connection: inside the transaction of a removal, after its rows are gone.
        owners: those of whom there is a read-out.
        before: whose consent was on record before the removal: a read-out may have used what it gave, though the owner's
            Studio exports stay.
    """
    counted = connection.execute(
        "select o.owner_id from unnest(%s::text[]) o(owner_id) "
        "where exists (select from thumbrank.reach_daily r where r.owner_id = o.owner_id)",
        (sorted(owners),),
    )
    ended = set(before) - consents(connection)
    return (set(owners) - {str(owner) for (owner,) in counted}) | (set(owners) & ended)


def delete(files: OwnerFiles, owners: Collection[str], *, dry_run: bool) -> int:
    """Remove these owners' read-outs, or with `dry_run` count them."""
    return sum(len(files.of(owner)) if dry_run else files.delete(owner) for owner in sorted(owners))
