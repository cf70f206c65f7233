"""Same-channel pairs inside the window: set-based SQL, replaced per niche in one transaction."""

from dataclasses import dataclass

import psycopg

from thumbrank_core.paths import query
from thumbrank_core.policy import PairPolicy

LABEL = "views_per_hour"
"""Views divided by hours since publication, at the newest snapshot: the guide's label. Largely a clock: newer videos have
the higher figure, which is why `newer wins` stands in every table of results."""


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


def replace_pairs(connection: psycopg.Connection, niche: str, policy: PairPolicy) -> PairSummary:
    """Rebuild the pairs of the niche from the videos that count."""
    connection.execute("delete from thumbrank.training_pairs where niche = %s", (niche,))
    connection.execute(query("training_pairs").encode(), {"niche": niche, "window_days": policy.window_days})
    return pair_summary(connection, niche)


def pair_summary(connection: psycopg.Connection, niche: str) -> PairSummary:
    """Describe the stored pairs of the niche."""
    row = connection.execute(
        "select count(*)::int, count(distinct channel_key)::int, count(*) filter (where outcome = 0.5)::int, "
        "avg(case when (age_gap_hours > 0) = (outcome > 0.5) then 1.0 else 0.0 end) "
        "filter (where outcome <> 0.5 and age_gap_hours <> 0)::float8, "
        "avg(outcome) filter (where outcome <> 0.5)::float8 "
        "from thumbrank.training_pairs where niche = %s",
        (niche,),
    ).fetchone()
    assert row is not None, "an aggregate without group by returns one row"
    pairs, channels, ties, newer_wins, a_wins = row
    videos = connection.execute(
        "select count(distinct k)::int from thumbrank.training_pairs, lateral (values (a_key), (b_key)) v(k) where niche = %s",
        (niche,),
    ).fetchone()
    by_split = connection.execute(
        "select c.split, count(*)::int from thumbrank.training_pairs p join thumbrank.channels c using (channel_key) "
        "where p.niche = %s group by 1",
        (niche,),
    ).fetchall()
    assert videos is not None, "an aggregate without group by returns one row"
    splits = {"train": 0, "validation": 0, "test": 0} | dict(by_split)
    return PairSummary(pairs, channels, videos[0], ties, newer_wins, a_wins, splits)
