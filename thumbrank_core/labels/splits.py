"""What trains, validates and tests: channels by a frozen hash, and time by a holdout, so that nothing ever straddles."""

import hashlib
from datetime import datetime, timedelta
from typing import Literal

import psycopg

Split = Literal["train", "validation", "test"]
SALT = b"thumbrank-split-1:"
"""Changing it redraws every split and makes all earlier figures incomparable."""

HOLDOUT = timedelta(days=30)
"""The longest time holdout; of a niche whose videos are all young it is half of what there is, so that something is left to learn."""


def split_of(channel_id: str) -> Split:
    """70 / 10 / 20 % train / validation / test by a hash of the channel id, so that any machine at any time agrees."""
    digest = hashlib.sha256(SALT + channel_id.encode("utf-8")).digest()
    point = int.from_bytes(digest[:8], "big") / 2**64
    if point < 0.7:
        return "train"
    return "validation" if point < 0.8 else "test"


def time_cut(as_of: datetime, oldest: datetime) -> datetime:
    """Where the time holdout begins: a pair of two videos published from then on is later in time, one before it is not.

    Args:
        as_of: when the labels' counts were taken.
        oldest: the first publication among the labelled videos.
    """
    return as_of - min(HOLDOUT, (as_of - oldest) / 2)


def assign_splits(connection: psycopg.Connection, niche: str) -> int:
    """Write the split of every channel of the niche that has none yet; returns how many."""
    rows = connection.execute(
        "select channel_id from thumbrank.channels where split is null and niche = %s order by channel_id for update",
        (niche,),
    )
    new = [str(channel_id) for (channel_id,) in rows]
    if new:
        connection.execute(
            "update thumbrank.channels c set split = s.split "
            "from unnest(%s::text[], %s::text[]) as s(channel_id, split) where c.channel_id = s.channel_id",
            (new, [split_of(channel_id) for channel_id in new]),
        )
    return len(new)
