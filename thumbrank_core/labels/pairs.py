"""Which two videos of a channel are compared, and what they say: set-based SQL, replaced per niche in one transaction.

What belongs here: the pairs of `video_labels`, and counts of them. What a label is: definitions.py; which videos are left
out because another split has them too: duplicates.py.
"""

from dataclasses import dataclass
from typing import LiteralString

import numpy as np
import numpy.typing as npt
import psycopg
from psycopg import sql

from thumbrank_core.niches import require_niche
from thumbrank_core.paths import query
from thumbrank_core.policy import PairPolicy
from thumbrank_core.store.local_settings import BIG_INDEX, BIG_JOINS, COUNTING, local_settings

# Whole numbers per channel, in one reading. Real constants: compared with 0.5, a real column would be cast row by row.
_BY_CHANNEL: LiteralString = """
    select c.channel_id, c.split, t.* from (
        select channel_key, count(*) as pairs,
               count(*) filter (where outcome = 0.5::real) as ties,
               count(*) filter (where outcome = 1::real) as a_wins,
               count(*) filter (where outcome = 1::real and age_gap_hours > 0::real)
               + count(*) filter (where outcome = 0::real and age_gap_hours < 0::real) as newer_wins,
               count(*) filter (where outcome <> 0.5::real and age_gap_hours = 0::real) as at_once
        from thumbrank.training_pairs where niche = %(niche)s group by channel_key
    ) t join thumbrank.channels c using (channel_key)
"""
_SUMMARY: LiteralString = f"""
    select split, count(*)::int, sum(pairs)::int8, sum(ties)::int8, sum(a_wins)::int8, sum(newer_wins)::int8, sum(at_once)::int8
    from ({_BY_CHANNEL}) t group by split
"""  # noqa: S608 two constants
# Nearly every video is an `a`: the pairs are read a second time only where one is not.
_VIDEOS: LiteralString = """
    with others as materialized (
        select video_key from thumbrank.video_labels l where niche = %(niche)s and not exists (
            select from thumbrank.training_pairs p where p.niche = %(niche)s and p.a_key = l.video_key)
    )
    select (select count(*) from thumbrank.video_labels where niche = %(niche)s) - count(*) from others where not exists (
        select from thumbrank.training_pairs p where p.niche = %(niche)s and p.b_key = others.video_key)
"""


@dataclass(frozen=True)
class PairSummary:
    """A niche's pairs. `newer_wins` and `a_wins` are shares of the decided pairs that the later video and side a win."""

    pairs: int
    channels: int
    videos: int
    ties: int
    newer_wins: float | None
    a_wins: float | None
    by_split: dict[str, int]


@dataclass(frozen=True)
class NewerWins:
    """How often the later video wins, by channel [n], in the order of channel ids.

    `wins` is the sum over `pairs` of 1 where it does, 0 where it does not, and 0.5 for ties and for videos published at once.
    """

    wins: npt.NDArray[np.float64]
    pairs: npt.NDArray[np.int64]
    split: list[str]


def lock_pairs(connection: psycopg.Connection, niche: str) -> None:
    """Keep other writers of the niche's pairs away until the transaction ends; readers go on.

    First in a transaction that also writes the niche's labels: then two of them follow one another.

    Raises:
        UnknownNicheError: not a niche key.
    """
    connection.execute(_Names(require_niche(niche))("lock table {niche} in exclusive mode"))


def replace_pairs(connection: psycopg.Connection, niche: str, policy: PairPolicy) -> PairSummary:
    """Rebuild the niche's pairs from `video_labels`, in the caller's transaction.

    The new rows and their key are made in a table of their own, which then takes the place of the old one: until the commit
    everybody reads the old pairs, and nobody both. Only this niche is locked: against other writers from the beginning, and
    against readers from the exchange to the commit, who then go on with the new pairs. As after TRUNCATE, a repeatable-read
    transaction that began earlier and comes to the niche only afterwards finds it empty; readers here are read committed.
    Needs the rights of the tables' owner, and CREATE on the schema.

    Raises:
        UnknownNicheError: not a niche key; the key becomes part of a table's name.
    """
    names = _Names(require_niche(niche))
    lock_pairs(connection, niche)
    with local_settings(connection, BIG_JOINS):
        # A statement that makes a table takes no parameters from outside, so the client fills them in.
        psycopg.ClientCursor(connection).execute(
            names("create table {built} as ") + sql.SQL(query("training_pairs")),  # pyright: ignore[reportArgumentType]
            {
                "niche": niche,
                "window_days": policy.window_days,
                "later_partners": policy.later_partners,
                "tau": policy.soft_target_tau,
                "drop_ties": policy.ties == "drop",
                "min_margin": policy.min_margin,
            },
        )
    # One reading for all that the partition must hold; together with the key, the key would not be sorted by several workers.
    connection.execute(
        names(
            "alter table {built} alter a_key set not null, alter b_key set not null, alter channel_key set not null, "
            "alter outcome set not null, alter margin set not null, alter soft_target set not null, "
            "alter age_gap_hours set not null, alter weight set not null, alter niche set not null, "
            "add constraint of_niche check (niche = {value})"
        )
    )
    with local_settings(connection, BIG_INDEX):
        connection.execute(names("alter table {built} add constraint {built_key} primary key (a_key, b_key)"))
    connection.execute(names("analyze {built}"))
    connection.execute(names("drop table {rows}"))
    connection.execute(names("alter table {built} rename to {rows_name}"))
    connection.execute(names("alter table {rows} rename constraint {built_key} to {key}"))
    connection.execute(names("alter table {niche} attach partition {rows} for values in ({value})"))
    connection.execute(names("alter table {rows} drop constraint of_niche"))
    return pair_summary(connection, niche)


def pair_summary(connection: psycopg.Connection, niche: str) -> PairSummary:
    """Count the stored pairs of the niche."""
    with local_settings(connection, BIG_JOINS | COUNTING):
        rows = connection.execute(_SUMMARY, {"niche": niche}).fetchall()
        videos = connection.execute(_VIDEOS, {"niche": niche}).fetchone()
    assert videos is not None, "an aggregate without group by returns one row"
    by_split = {"train": 0, "validation": 0, "test": 0} | {row[0]: row[2] for row in rows}
    channels, pairs, ties, a_wins, newer_wins, at_once = (sum(row[column] for row in rows) for column in range(1, 7))
    decided = pairs - ties
    return PairSummary(
        pairs=pairs,
        channels=channels,
        videos=videos[0],
        ties=ties,
        newer_wins=newer_wins / (decided - at_once) if decided > at_once else None,
        a_wins=a_wins / decided if decided else None,
        by_split=by_split,
    )


def newer_wins_by_channel(connection: psycopg.Connection, niche: str) -> NewerWins:
    """How often the later video wins in each channel of the niche that has pairs: what an interval over channels needs."""
    with local_settings(connection, COUNTING):
        rows = connection.execute(
            f"select split, pairs, newer_wins + 0.5 * (ties + at_once) from ({_BY_CHANNEL}) t "  # noqa: S608 two constants
            'order by channel_id collate "C"',
            {"niche": niche},
        ).fetchall()
    return NewerWins(
        wins=np.array([row[2] for row in rows], dtype=np.float64),
        pairs=np.array([row[1] for row in rows], dtype=np.int64),
        split=[row[0] for row in rows],
    )


class _Names:
    """The tables of one niche's pairs, filled into a statement."""

    def __init__(self, niche: str) -> None:
        table = f"training_pairs_{niche}"
        self._parts = {
            "value": sql.Literal(niche),
            "niche": sql.Identifier("thumbrank", table),
            "rows": sql.Identifier("thumbrank", f"{table}_rows"),
            "rows_name": sql.Identifier(f"{table}_rows"),
            "key": sql.Identifier(f"{table}_rows_pkey"),
            "built": sql.Identifier("thumbrank", f"{table}_built"),
            "built_key": sql.Identifier(f"{table}_built_pkey"),
        }

    def __call__(self, statement: LiteralString) -> sql.Composed:
        return sql.SQL(statement).format(**self._parts)
