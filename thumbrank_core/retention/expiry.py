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


# Locked as they are found: a row that a collection refreshes at this moment is looked at again, and stays.
_OLD: tuple[LiteralString, ...] = (
    "create temporary table old_videos (video_key integer primary key) on commit drop",
    "create temporary table old_channels (channel_key integer primary key, counts_too boolean) on commit drop",
    "insert into old_videos select r.video_key from thumbrank.thumbnails r "
    "where (r.expires_at <= %(now)s or r.fetched_at <= %(content)s) "
    "and (r.expires_at is not null or r.source = 'youtube_api') for update",
    "insert into old_channels select r.channel_key, not %(audited)s or r.fetched_at <= %(statistics)s "
    "from thumbrank.channels r where (r.expires_at <= %(now)s or r.fetched_at <= %(content)s) "
    "and (r.expires_at is not null or r.source = 'youtube_api') for update",
    "analyze old_videos, old_channels",
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

_ITEMS: tuple[LiteralString, ...] = (
    "insert into removal_videos select t.video_id, t.video_key from old_videos join thumbrank.thumbnails t using (video_key) "
    "where not %(audited)s or not exists (select from thumbrank.view_snapshots s where s.video_key = t.video_key)",
    "analyze removal_videos",
    "insert into removal_content select t.video_key from old_videos join thumbrank.thumbnails t using (video_key) "
    "where not exists (select from removal_videos v where v.video_key = t.video_key) and (t.tags <> '{}' "
    "or num_nonnulls(t.title, t.thumbnail_url, t.language, t.category_id, t.trainability) > 0)",
    # A channel goes with the last of its videos.
    "insert into removal_channels select c.channel_id, c.channel_key from old_channels "
    "join thumbrank.channels c using (channel_key) where not exists (select from thumbrank.thumbnails t "
    "left join removal_videos v using (video_key) where t.channel_key = c.channel_key and v.video_key is null)",
)

# Asked apart from the rest of its row, and so as old as it is itself.
_OLD_ANSWERS: LiteralString = (
    "update thumbrank.thumbnails set trainability = null, trainability_checked_at = null "
    "where source = 'youtube_api' and trainability_checked_at <= %(content)s"
)

_EMPTY_VIDEOS: LiteralString = (
    "update thumbrank.thumbnails t set title = null, tags = '{}', thumbnail_url = null, language = null, "
    "category_id = null, trainability = null, trainability_checked_at = null, exclusion_reason = 'expired' "
    "from removal_content r where t.video_key = r.video_key"
)
# Their videos are fresher than they are: the row stays as the videos' key.
_EMPTY_CHANNELS: LiteralString = (
    "update thumbrank.channels c set title = null, uploads_playlist = null, country = null, made_for_kids = null, "
    "subscriber_count = case when o.counts_too then null else c.subscriber_count end, "
    "video_count = case when o.counts_too then null else c.video_count end, "
    "view_count = case when o.counts_too then null else c.view_count end "
    "from old_channels o where c.channel_key = o.channel_key "
    "and not exists (select from removal_channels r where r.channel_key = c.channel_key) "
    "and (num_nonnulls(c.title, c.uploads_playlist, c.country, c.made_for_kids) > 0 "
    "or o.counts_too and num_nonnulls(c.subscriber_count, c.video_count, c.view_count) > 0)"
)


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
    for statement in (*_LABELS, *_ITEMS):
        connection.execute(statement, parameters)
    connection.execute(_OLD_ANSWERS, parameters)
    gone.rows["thumbnails_content"] += connection.execute(_EMPTY_VIDEOS).rowcount
    gone.rows["channels_content"] += connection.execute(_EMPTY_CHANNELS).rowcount


def _remember_labels(connection: psycopg.Connection, too_old: LiteralString, parameters: dict[str, object]) -> None:
    """Videos that lose a count, for `removal_labels`."""
    videos = sql.SQL("insert into removal_labels select distinct r.video_key from thumbrank.view_snapshots r where {}")
    connection.execute(videos.format(sql.SQL(too_old)), parameters)
