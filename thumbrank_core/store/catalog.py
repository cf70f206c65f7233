"""What was seen, written down: channels, videos, counts, pictures and misses. The one door into the observed tables, for
the API's rows and for a team's own alike.

Observed tables are upserted or appended, never replaced: seeing the same thing twice leaves the same tables.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

import psycopg

from thumbrank_core.store.copy import Column, upsert
from thumbrank_core.store.picture import Picture

Source = Literal["youtube_api", "simulator", "import"]
VideoKind = Literal["upload", "short", "live", "premiere"]
MissKind = Literal["channel", "video", "picture", "embedding", "import_row"]


@dataclass(frozen=True)
class ChannelSeen:
    """A channel at one moment. Counts are None where hidden or unknown."""

    channel_id: str
    title: str | None
    source: Source
    fetched_at: datetime
    subscriber_count: int | None = None
    video_count: int | None = None
    view_count: int | None = None
    uploads_playlist: str | None = None
    country: str | None = None
    made_for_kids: bool | None = None
    expires_at: datetime | None = None


@dataclass(frozen=True)
class VideoSeen:
    """A video and its counts at one moment. A missing view count writes no snapshot."""

    video_id: str
    channel_id: str
    title: str
    published_at: datetime
    source: Source
    seen_at: datetime
    duration_seconds: int | None = None
    live_broadcast: str = "none"
    kind: VideoKind = "upload"
    category_id: str | None = None
    language: str | None = None
    tags: tuple[str, ...] = ()
    made_for_kids: bool | None = None
    thumbnail_url: str | None = None
    view_count: int | None = None
    like_count: int | None = None
    comment_count: int | None = None
    expires_at: datetime | None = None
    snapshot_expires_at: datetime | None = None


@dataclass(frozen=True)
class CountsSeen:
    """The counts of a video that is stored already."""

    video_id: str
    view_count: int
    like_count: int | None
    comment_count: int | None
    seen_at: datetime
    expires_at: datetime | None


@dataclass(frozen=True)
class PictureSeen:
    """A picture that was up on a video at one moment. `expires_at` is None for a team's own and for a simulator's."""

    video_id: str
    picture: Picture
    url: str | None
    seen_at: datetime
    expires_at: datetime | None = None


@dataclass(frozen=True)
class Miss:
    """Something that could not be had. `reason` is a short name to count by; `detail` is a sentence."""

    kind: MissKind
    item_id: str
    reason: str
    detail: str
    missed_at: datetime
    expires_at: datetime | None = None


@dataclass(frozen=True)
class Discovery:
    """A channel that a query found."""

    channel_id: str
    query: str
    rank: int
    discovered_at: datetime
    expires_at: datetime | None = None


@dataclass
class WriteCounts:
    """How many rows a call left behind."""

    inserted: int = 0
    updated: int = 0
    by_niche: dict[str, int] = field(default_factory=dict[str, int])


_CHANNEL_COLUMNS = [
    Column("channel_id", "text"),
    Column("niche", "text"),
    Column("title", "text"),
    Column("subscriber_count", "int8"),
    Column("video_count", "int8"),
    Column("view_count", "int8"),
    Column("uploads_playlist", "text"),
    Column("country", "text"),
    Column("made_for_kids", "bool"),
    Column("source", "text"),
    Column("fetched_at", "timestamptz"),
    Column("expires_at", "timestamptz"),
]
_VIDEO_COLUMNS = [
    Column("video_id", "text"),
    Column("channel_key", "int4"),
    Column("title", "text"),
    Column("published_at", "timestamptz"),
    Column("duration_seconds", "int4"),
    Column("live_broadcast", "text"),
    Column("video_kind", "text"),
    Column("category_id", "text"),
    Column("language", "text"),
    Column("tags", "text[]"),
    Column("made_for_kids", "bool"),
    Column("thumbnail_url", "text"),
    Column("source", "text"),
    Column("fetched_at", "timestamptz"),
    Column("expires_at", "timestamptz"),
]
_SNAPSHOT_COLUMNS = [
    Column("video_key", "int4"),
    Column("observed_at", "timestamptz"),
    Column("view_count", "int8"),
    Column("like_count", "int8"),
    Column("comment_count", "int8"),
    Column("expires_at", "timestamptz"),
]
_PICTURE_COLUMNS = [
    Column("video_key", "int4"),
    Column("sha256", "bytea"),
    Column("url", "text"),
    Column("width", "int4"),
    Column("height", "int4"),
    Column("bytes", "int4"),
    Column("phash", "int8"),
    Column("first_seen_at", "timestamptz"),
    Column("last_seen_at", "timestamptz"),
    Column("expires_at", "timestamptz"),
]


def names(columns: Sequence[Column], *without: str) -> list[str]:
    """The column names that an upsert refreshes."""
    return [column.name for column in columns if column.name not in without]


def record_channels(connection: psycopg.Connection, niche: str, channels: Sequence[ChannelSeen]) -> WriteCounts:
    """Write channels; one that another niche confirmed first keeps its niche. `by_niche` says whose they are."""
    rows = [
        (
            c.channel_id,
            niche,
            c.title,
            c.subscriber_count,
            c.video_count,
            c.view_count,
            c.uploads_playlist,
            c.country,
            c.made_for_kids,
            c.source,
            c.fetched_at,
            c.expires_at,
        )
        for c in channels
    ]
    counts = upsert(
        connection,
        "thumbrank.channels",
        _CHANNEL_COLUMNS,
        rows,
        key=["channel_id"],
        update=names(_CHANNEL_COLUMNS, "channel_id", "niche"),
    )
    owners = connection.execute(
        "select niche, count(*)::int from thumbrank.channels where channel_id = any(%s) group by niche",
        ([c.channel_id for c in channels],),
    ).fetchall()
    return WriteCounts(counts.inserted, counts.updated, dict(owners))


def record_videos(connection: psycopg.Connection, videos: Sequence[VideoSeen]) -> WriteCounts:
    """Write videos of known channels, and a snapshot of the counts of each that shows its views.

    What a team imported stays the team's: of such a video the API adds counts only, which expire by themselves.
    """
    channel_keys = keys_of(connection, "channel", {v.channel_id for v in videos})
    premieres = _seen_as_premieres(connection, [v.video_id for v in videos if v.kind == "live"])
    own = _own_videos(connection, [v.video_id for v in videos if v.source != "import"])
    rows = [
        (
            v.video_id,
            channel_keys[v.channel_id],
            v.title,
            v.published_at,
            v.duration_seconds,
            v.live_broadcast,
            "premiere" if v.video_id in premieres else v.kind,
            v.category_id,
            v.language,
            list(v.tags),
            v.made_for_kids,
            v.thumbnail_url,
            v.source,
            v.seen_at,
            v.expires_at,
        )
        for v in videos
        if v.video_id not in own
    ]
    counts = upsert(
        connection,
        "thumbrank.thumbnails",
        _VIDEO_COLUMNS,
        rows,
        key=["video_id"],
        update=names(_VIDEO_COLUMNS, "video_id", "channel_key"),
    )
    video_keys = keys_of(connection, "video", {v.video_id for v in videos})
    _record_snapshots(
        connection,
        [
            (video_keys[v.video_id], v.seen_at, v.view_count, v.like_count, v.comment_count, v.snapshot_expires_at)
            for v in videos
            if v.view_count is not None
        ],
    )
    return WriteCounts(counts.inserted, counts.updated)


def record_counts(connection: psycopg.Connection, counts: Sequence[CountsSeen]) -> int:
    """Append a snapshot to each video that is stored; returns how many were new."""
    video_keys = keys_of(connection, "video", {c.video_id for c in counts})
    return _record_snapshots(
        connection,
        [
            (video_keys[c.video_id], c.seen_at, c.view_count, c.like_count, c.comment_count, c.expires_at)
            for c in counts
            if c.video_id in video_keys
        ],
    )


def _record_snapshots(connection: psycopg.Connection, rows: Sequence[tuple[object, ...]]) -> int:
    key = ["video_key", "observed_at"]
    return upsert(connection, "thumbrank.view_snapshots", _SNAPSHOT_COLUMNS, rows, key=key, update=[]).inserted


def _own_videos(connection: psycopg.Connection, video_ids: Sequence[str]) -> set[str]:
    """Those that a team imported."""
    rows = connection.execute(
        "select video_id from thumbrank.thumbnails where video_id = any(%s) and source = 'import'", (list(video_ids),)
    ).fetchall()
    return {str(video_id) for (video_id,) in rows}


def _seen_as_premieres(connection: psycopg.Connection, video_ids: Sequence[str]) -> set[str]:
    """Those that were premieres before they began: once over, the API shows them as recorded live streams."""
    if not video_ids:
        return set()
    rows = connection.execute(
        "select video_id from thumbrank.thumbnails where video_id = any(%s) and video_kind = 'premiere'",
        (list(video_ids),),
    ).fetchall()
    return {str(video_id) for (video_id,) in rows}


SAME_PICTURE_BITS = 3
"""Pictures whose 64-bit perceptual hashes differ in so many bits at most are one picture: another size or encoding of it."""


def record_pictures(connection: psycopg.Connection, pictures: Sequence[PictureSeen]) -> WriteCounts:
    """Write which picture was seen on which video; a new picture is a new version, the same one is seen once more.

    A picture that looks different from the last one marks its video (`picture_changed_at`): its views were earned by two. A
    video that was removed while its picture was on its way is left out.
    """
    video_keys = keys_of(connection, "video", {p.video_id for p in pictures})
    seen = [(video_keys[p.video_id], p.picture.phash, p.seen_at) for p in pictures if p.video_id in video_keys]
    connection.execute(
        "update thumbrank.thumbnails t set picture_changed_at = n.seen_at "
        "from unnest(%s::int4[], %s::int8[], %s::timestamptz[]) n(video_key, phash, seen_at), "
        "lateral (select v.phash, v.last_seen_at from thumbrank.picture_versions v where v.video_key = n.video_key "
        "order by v.last_seen_at desc limit 1) last "
        "where t.video_key = n.video_key and t.picture_changed_at is null and n.seen_at > last.last_seen_at "
        "and bit_count((last.phash # n.phash)::bit(64)) > %s",
        (*([row[column] for row in seen] for column in range(3)), SAME_PICTURE_BITS),
    )
    rows = [
        (
            video_keys[p.video_id],
            p.picture.sha256,
            p.url,
            p.picture.width,
            p.picture.height,
            p.picture.bytes,
            p.picture.phash,
            p.seen_at,
            p.seen_at,
            p.expires_at,
        )
        for p in pictures
        if p.video_id in video_keys
    ]
    counts = upsert(
        connection,
        "thumbrank.picture_versions",
        _PICTURE_COLUMNS,
        rows,
        key=["video_key", "sha256"],
        update=["url", "last_seen_at", "expires_at"],
    )
    return WriteCounts(counts.inserted, counts.updated)


def record_misses(connection: psycopg.Connection, niche: str, misses: Iterable[Miss]) -> WriteCounts:
    """Write what could not be had; the latest reason of an item stands."""
    columns = [
        Column("kind", "text"),
        Column("item_id", "text"),
        Column("niche", "text"),
        Column("reason", "text"),
        Column("detail", "text"),
        Column("missed_at", "timestamptz"),
        Column("expires_at", "timestamptz"),
    ]
    rows = [(m.kind, m.item_id, niche, m.reason, m.detail, m.missed_at, m.expires_at) for m in misses]
    if not rows:
        return WriteCounts()
    counts = upsert(
        connection,
        "thumbrank.misses",
        columns,
        rows,
        key=["kind", "niche", "item_id"],
        update=["reason", "detail", "missed_at", "expires_at"],
    )
    return WriteCounts(counts.inserted, counts.updated)


def clear_misses(connection: psycopg.Connection, kind: MissKind, item_ids: Sequence[str]) -> int:
    """Forget the misses of items that have been had since."""
    return connection.execute(
        "delete from thumbrank.misses where kind = %s and item_id = any(%s)", (kind, list(item_ids))
    ).rowcount


def keep_misses(connection: psycopg.Connection, kind: MissKind, niche: str, item_ids: Sequence[str]) -> int:
    """Forget a niche's misses of this kind, but for these items'; how many were forgotten."""
    return connection.execute(
        "delete from thumbrank.misses where kind = %s and niche = %s and item_id <> all(%s)",
        (kind, niche, list(item_ids)),
    ).rowcount


def record_discoveries(connection: psycopg.Connection, niche: str, discoveries: Sequence[Discovery]) -> WriteCounts:
    """Write which query found which channel when last; of several places in one call the last row stands."""
    columns = [
        Column("channel_id", "text"),
        Column("niche", "text"),
        Column("query", "text"),
        Column("rank", "int4"),
        Column("discovered_at", "timestamptz"),
        Column("expires_at", "timestamptz"),
    ]
    rows = [(d.channel_id, niche, d.query, d.rank, d.discovered_at, d.expires_at) for d in discoveries]
    if not rows:
        return WriteCounts()
    counts = upsert(
        connection,
        "thumbrank.discoveries",
        columns,
        rows,
        key=["channel_id", "niche", "query"],
        update=["rank", "discovered_at", "expires_at"],
    )
    return WriteCounts(counts.inserted, counts.updated)


def keys_of(connection: psycopg.Connection, thing: Literal["channel", "video"], ids: set[str]) -> dict[str, int]:
    """The integer keys behind public ids; ids that are not stored are left out."""
    statement = (
        "select channel_id, channel_key from thumbrank.channels where channel_id = any(%s)"
        if thing == "channel"
        else "select video_id, video_key from thumbrank.thumbnails where video_id = any(%s)"
    )
    return dict(connection.execute(statement, (sorted(ids),)).fetchall())
