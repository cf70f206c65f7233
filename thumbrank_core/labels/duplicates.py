"""The same picture or upload in two splits: the one that matters less gives it up, train before validation before test.

What belongs here: which labelled videos lose. Where they are left out: labels of one niche before its pairs are built
(`drop_cross_split`), and pairs of several niches where training reads them (`cross_split_duplicates`).
"""

import itertools
from collections.abc import Sequence
from typing import Literal, NamedTuple

import psycopg
from psycopg import sql

from thumbrank_core.paths import query
from thumbrank_core.store.catalog import SAME_PICTURE_BITS
from thumbrank_core.store.local_settings import BIG_JOINS, local_settings

Reason = Literal["near_duplicate", "reupload"]
REASONS: tuple[Reason, ...] = ("near_duplicate", "reupload")
_BLOCKS = SAME_PICTURE_BITS + 2
"""One more than pigeonholes ask for, so that two blocks are equal: 25 bits tell 200,000 hashes apart, 12 do not."""


class Duplicate(NamedTuple):
    """A video whose picture or upload a split above its own has too; with both reasons, near_duplicate is given."""

    video_key: int
    reason: Reason


def block_masks() -> list[int]:
    """The pairs of five interleaved blocks of 64 bits, as signed 64-bit masks of 25 or 26 bits.

    Three bits that differ touch three blocks at most, so that any two hashes within SAME_PICTURE_BITS are equal under one mask.
    Interleaved, because what a kind of picture lacks (every odd frequency, say) lies together in a hash.
    """
    blocks = [sum(1 << bit for bit in range(first, 64, _BLOCKS)) for first in range(_BLOCKS)]
    masks = [one | other for one, other in itertools.combinations(blocks, 2)]
    return [mask - (1 << 64) if mask >> 63 else mask for mask in masks]


def cross_split_duplicates(connection: psycopg.Connection, niches: Sequence[str]) -> list[Duplicate]:
    """The labelled videos of these niches that lose, by video key.

    A video loses to any labelled video of a split above its own, also to one that loses itself. The picture of a video is the
    one its label names. Titles are compared in lower case with single spaces, from 12 characters on; lengths must be
    known and differ by a second at most.
    """
    with local_settings(connection, BIG_JOINS):
        rows = connection.execute(query("cross_split_duplicates").encode(), _parameters(niches)).fetchall()
    return [Duplicate(*row) for row in rows]


def drop_cross_split(connection: psycopg.Connection, niche: str) -> dict[str, int]:
    """Take the niche's losers out of its labels; returns how many by reason, 0 included."""
    statement = sql.SQL(
        "with losers as ({losers}), dropped as (delete from thumbrank.video_labels l using losers "
        "where l.video_key = losers.video_key returning reason) select reason, count(*)::int from dropped group by reason"
    ).format(losers=sql.SQL(query("cross_split_duplicates")))  # pyright: ignore[reportArgumentType]
    with local_settings(connection, BIG_JOINS):
        rows = connection.execute(statement, _parameters([niche])).fetchall()
    return dict.fromkeys(REASONS, 0) | dict(rows)


def _parameters(niches: Sequence[str]) -> dict[str, object]:
    return {"niches": list(niches), "masks": block_masks(), "bits": SAME_PICTURE_BITS}
