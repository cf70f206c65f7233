"""What a niche's rows amount to: counts, and one hash a step, so that nothing is done twice for the same rows.

The hash does not depend on the order of rows and leaves out what changes without meaning (when a row was fetched).
"""

from dataclasses import dataclass
from typing import Literal, LiteralString

import psycopg
from psycopg import sql

Step = Literal["videos", "pictures", "baselines", "pairs"]

_ROWS: dict[Step, LiteralString] = {
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
    "pairs": (
        "select a.video_id, b.video_id, p.label, p.outcome, p.margin, c.split from thumbrank.training_pairs p "
        "join thumbrank.thumbnails a on a.video_key = p.a_key join thumbrank.thumbnails b on b.video_key = p.b_key "
        "join thumbrank.channels c on c.channel_key = p.channel_key where p.niche = %s"
    ),
}


def data_version(connection: psycopg.Connection, step: Step, niche: str) -> str:
    """16 hexadecimal figures that change when the niche's rows of this step change."""
    statement = sql.SQL(
        "select encode(sha256(convert_to(count(*)::text || ':' || "
        "coalesce(sum(hashtextextended(r::text, 0)::numeric), 0)::text, 'UTF8')), 'hex') from ({rows}) r"
    ).format(rows=sql.SQL(_ROWS[step]))
    row = connection.execute(statement, (niche,)).fetchone()
    assert row is not None, "an aggregate without group by returns one row"
    return str(row[0])[:16]


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
