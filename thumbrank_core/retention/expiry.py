"""What is too old to stay, by the policy's mode.

unaudited: everything of the API goes 30 days after it was read. audited: counts and what is derived from them may stay 36
months; titles, tags, languages, pictures and their vectors go at 30 days, and their video's row stays as the key of its
counts. A team's own rows and the simulator's have no date and never go by age. Source: YouTube's Developer Policies
III.E.4.d and III.L.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import LiteralString, Self

import psycopg
from psycopg import sql

from thumbrank_core.policy import Policy
from thumbrank_core.retention.cascade import Gone, remove_rows
from thumbrank_core.retention.tables import TABLES, Rows


@dataclass(frozen=True)
class Ages:
    """What was read at or before `content`, and what was counted at or before `statistics`, is too old at `now`."""

    now: datetime
    content: datetime
    statistics: datetime
    audited: bool

    @classmethod
    def of(cls, policy: Policy, now: datetime) -> Self:
        """The limits of the policy's mode at one moment."""
        audited = policy.mode == "audited"
        days = policy.retention.audited_statistics_days if audited else policy.retention.days
        return cls(now, now - timedelta(days=policy.retention.days), now - timedelta(days=days), audited)

    def parameters(self) -> dict[str, object]:
        """As SQL parameters."""
        return {"now": self.now, "content": self.content, "statistics": self.statistics, "audited": self.audited}


# Of a video or a channel, called r. One that is too old either goes, or stays as the key of counts that may stay, without
# what it shows.
_OLD_ITEM: LiteralString = (
    "(r.expires_at <= %(now)s or r.fetched_at <= %(content)s) "
    "and (r.expires_at is not null or r.source = 'youtube_api')"
)
_VIDEO_GOES: LiteralString = (
    "(not %(audited)s or not exists (select from thumbrank.view_snapshots s where s.video_key = r.video_key))"
)
_VIDEO_SHOWS: LiteralString = (
    "(r.tags <> '{}' or num_nonnulls(r.title, r.thumbnail_url, r.language, r.category_id, r.trainability) > 0)"
)
_COUNTS_TOO: LiteralString = "(not %(audited)s or r.fetched_at <= %(statistics)s)"
_CHANNEL_SHOWS: LiteralString = "num_nonnulls(r.title, r.uploads_playlist, r.country, r.made_for_kids) > 0"
_CHANNEL_COUNTS: LiteralString = "num_nonnulls(r.subscriber_count, r.video_count, r.view_count) > 0"
# Asked apart from the rest of its row, and so as old as it is itself.
_OLD_ANSWER: LiteralString = "r.source = 'youtube_api' and r.trainability_checked_at <= %(content)s"
ITEMS_TO_GO: dict[str, LiteralString] = {
    "thumbnails": f"{_OLD_ITEM} and ({_VIDEO_GOES} or {_VIDEO_SHOWS}) or {_OLD_ANSWER}",
    "channels": f"{_OLD_ITEM} and ({_CHANNEL_SHOWS} or {_COUNTS_TOO} and {_CHANNEL_COUNTS} "
    "or not exists (select from thumbrank.thumbnails t where t.channel_key = r.channel_key))",
}
"""By table, the rows r that `choose_expired` would remove or empty: the daily inventory counts them."""

# Locked as they are found: a row that a collection refreshes at this moment is looked at again, and stays.
_OLD: tuple[sql.SQL | sql.Composed, ...] = (
    sql.SQL("create temporary table old_videos (video_key integer primary key) on commit drop"),
    sql.SQL("create temporary table old_channels (channel_key integer primary key, counts_too boolean) on commit drop"),
    sql.SQL("insert into old_videos select r.video_key from thumbrank.thumbnails r where {} for update").format(
        sql.SQL(_OLD_ITEM)
    ),
    sql.SQL("insert into old_channels select r.channel_key, {} from thumbrank.channels r where {} for update").format(
        sql.SQL(_COUNTS_TOO), sql.SQL(_OLD_ITEM)
    ),
    sql.SQL("analyze old_videos, old_channels"),
)

_LABELS: tuple[LiteralString, ...] = (
    # A label stays while the counts it was made of may, and goes with them though newer ones have come since.
    "delete from removal_labels r using thumbrank.video_labels l where l.video_key = r.video_key and l.observed_at > %(statistics)s",
    "insert into removal_labels select l.video_key from thumbrank.video_labels l join thumbrank.thumbnails t using (video_key) "
    "where l.observed_at <= %(statistics)s and (t.expires_at is not null or t.source = 'youtube_api') on conflict do nothing",
    # A baseline is as old as the newest count in it, and the pairs of its channel were made with it.
    "insert into removal_labels select t.video_key from thumbrank.channel_baselines b "
    "join thumbrank.channels c using (channel_key) join thumbrank.thumbnails t using (channel_key) "
    "where b.as_of <= %(statistics)s and (c.expires_at is not null or c.source = 'youtube_api') on conflict do nothing",
)

_ITEMS: tuple[sql.SQL | sql.Composed, ...] = (
    sql.SQL(
        "insert into removal_videos select r.video_id, r.video_key from old_videos join thumbrank.thumbnails r using (video_key) "
        "where {}"
    ).format(sql.SQL(_VIDEO_GOES)),
    sql.SQL("analyze removal_videos"),
    sql.SQL(
        "insert into removal_content select r.video_key from old_videos join thumbrank.thumbnails r using (video_key) "
        "where not exists (select from removal_videos v where v.video_key = r.video_key) and {}"
    ).format(sql.SQL(_VIDEO_SHOWS)),
    # A channel goes with the last of its videos.
    sql.SQL(
        "insert into removal_channels select c.channel_id, c.channel_key from old_channels "
        "join thumbrank.channels c using (channel_key) where not exists (select from thumbrank.thumbnails t "
        "left join removal_videos v using (video_key) where t.channel_key = c.channel_key and v.video_key is null)"
    ),
)

_OLD_ANSWERS = sql.SQL(
    "update thumbrank.thumbnails r set trainability = null, trainability_checked_at = null where {}"
).format(sql.SQL(_OLD_ANSWER))

_EMPTY_VIDEOS: LiteralString = (
    "update thumbrank.thumbnails t set title = null, tags = '{}', thumbnail_url = null, language = null, "
    "category_id = null, trainability = null, trainability_checked_at = null, exclusion_reason = 'expired' "
    "from removal_content r where t.video_key = r.video_key"
)
# Their videos are fresher than they are: the row stays as the videos' key.
_EMPTY_CHANNELS = sql.SQL(
    "update thumbrank.channels r set title = null, uploads_playlist = null, country = null, made_for_kids = null, "
    "subscriber_count = case when o.counts_too then null else r.subscriber_count end, "
    "video_count = case when o.counts_too then null else r.video_count end, "
    "view_count = case when o.counts_too then null else r.view_count end "
    "from old_channels o where r.channel_key = o.channel_key "
    "and not exists (select from removal_channels g where g.channel_key = r.channel_key) "
    "and ({} or o.counts_too and {})"
).format(sql.SQL(_CHANNEL_SHOWS), sql.SQL(_CHANNEL_COUNTS))


def choose_expired(connection: psycopg.Connection, ages: Ages, gone: Gone) -> None:
    """Remove what goes by its own age, empty what may stay without content, and fill the sets with what goes whole."""
    parameters = ages.parameters()
    for statement in _OLD:
        connection.execute(statement, parameters)
    for rule in TABLES:
        if isinstance(rule, Rows) and rule.by_age is not None:
            if rule.table == "view_snapshots":
                _remember_labels(connection, rule.by_age, parameters)
            remove_rows(connection, rule, rule.by_age, gone, parameters)
    for statement in (*map(sql.SQL, _LABELS), *_ITEMS):
        connection.execute(statement, parameters)
    connection.execute(_OLD_ANSWERS, parameters)
    gone.rows["thumbnails_content"] += connection.execute(_EMPTY_VIDEOS).rowcount
    gone.rows["channels_content"] += connection.execute(_EMPTY_CHANNELS).rowcount


def _remember_labels(connection: psycopg.Connection, too_old: LiteralString, parameters: dict[str, object]) -> None:
    """Videos that lose a count, for `removal_labels`."""
    videos = sql.SQL("insert into removal_labels select distinct r.video_key from thumbrank.view_snapshots r where {}")
    connection.execute(videos.format(sql.SQL(too_old)), parameters)
