"""What a niche's rows amount to: counts, and one hash a step, so that nothing is done twice for the same rows.

The hash does not depend on the order of rows and leaves out what changes without meaning (when a row was fetched).
"""

import hashlib
from dataclasses import dataclass
from typing import Literal, LiteralString

import psycopg
from psycopg import sql

from thumbrank_core.store.local_settings import BIG_JOINS, local_settings

Step = Literal["videos", "pictures", "baselines", "pairs"]

_ROWS: dict[Literal["videos", "pictures", "baselines"], LiteralString] = {
    "videos": (
        "select t.video_id, t.title, t.published_at, t.duration_seconds, s.view_count, s.observed_at from thumbrank.thumbnails t "
        "join thumbrank.channels c using (channel_key) left join thumbrank.latest_snapshots s using (video_key) "
        "where c.niche = %s"
    ),
    "pictures": (
        "select t.video_id, p.sha256 from thumbrank.current_pictures p join thumbrank.thumbnails t using (video_key) "
        "join thumbrank.channels c using (channel_key) where c.niche = %s"
    ),
    "baselines": "select b.* from thumbrank.channel_baselines b where b.niche = %s",
}

# Millions of rows: numbers in, numbers out, and one text per video instead of two per pair. A sum of whole numbers has no order.
_PAIRS: LiteralString = """
    with videos as materialized (
        select l.video_key, hashtextextended(t.video_id || ' ' || c.split, 0) as hash
        from thumbrank.video_labels l
        join thumbrank.thumbnails t using (video_key)
        join thumbrank.channels c on c.channel_key = l.channel_key
        where l.niche = %(niche)s
    )
    select count(*)::text || ':' || coalesce(sum(hashfloat4extended(p.weight, hashfloat4extended(p.soft_target,
               hashfloat4extended(p.margin, hashfloat4extended(p.outcome, hashint8extended(b.hash, a.hash)))))), 0)
           || ':' || coalesce((select label from thumbrank.pair_builds where niche = %(niche)s), '')
    from thumbrank.training_pairs p
    join videos a on a.video_key = p.a_key
    join videos b on b.video_key = p.b_key
    where p.niche = %(niche)s
"""


def data_version(connection: psycopg.Connection, step: Step, niche: str) -> str:
    """16 hexadecimal figures that change when the niche's rows of this step change."""
    if step == "pairs":
        with local_settings(connection, BIG_JOINS):
            row = connection.execute(_PAIRS, {"niche": niche}).fetchone()
    else:
        statement = sql.SQL(
            "select count(*)::text || ':' || coalesce(sum(hashtextextended(r::text, 0)::numeric), 0)::text from ({rows}) r"
        ).format(rows=sql.SQL(_ROWS[step]))
        row = connection.execute(statement, (niche,)).fetchone()
    assert row is not None, "an aggregate without group by returns one row"
    return hashlib.sha256(row[0].encode()).hexdigest()[:16]


@dataclass(frozen=True)
class StoredVideos:
    """A niche's videos, and how many of them ever showed their views."""

    videos: int
    with_views: int


@dataclass(frozen=True)
class StoredPictures:
    """A niche's videos that list a 16:9 picture, and how many of them have one stored."""

    listed: int
    stored: int


def stored_videos(connection: psycopg.Connection, niche: str) -> StoredVideos:
    """Count the niche's videos."""
    row = connection.execute(
        "select count(*)::int, count(s.video_key)::int from thumbrank.thumbnails t join thumbrank.channels c using (channel_key) "
        "left join thumbrank.latest_snapshots s using (video_key) where c.niche = %s",
        (niche,),
    ).fetchone()
    assert row is not None, "an aggregate without group by returns one row"
    return StoredVideos(*row)


def stored_pictures(connection: psycopg.Connection, niche: str) -> StoredPictures:
    """Count the niche's pictures."""
    row = connection.execute(
        "select count(*) filter (where thumbnail_url is not null or has)::int, count(*) filter (where has)::int from "
        "(select t.thumbnail_url, exists (select from thumbrank.picture_versions p where p.video_key = t.video_key) as has "
        "from thumbrank.thumbnails t join thumbrank.channels c using (channel_key) where c.niche = %s) v",
        (niche,),
    ).fetchone()
    assert row is not None, "an aggregate without group by returns one row"
    return StoredPictures(*row)
