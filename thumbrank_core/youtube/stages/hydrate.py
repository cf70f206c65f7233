"""Hydrate and refresh: videos.list for what was listed and is not stored, and for what is about to expire."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg

from thumbrank_core.store.catalog import Miss, VideoSeen, clear_misses, keys_of, record_misses, record_videos
from thumbrank_core.store.tombstones import clear_expired, forgotten
from thumbrank_core.youtube.client import Answer, YouTube
from thumbrank_core.youtube.crawl import dequeue
from thumbrank_core.youtube.quota import Bucket
from thumbrank_core.youtube.records import UNREADABLE, video_of
from thumbrank_core.youtube.stages.base import Batch, QueueStage
from thumbrank_core.youtube.waves import TaskOutcome


@dataclass(frozen=True)
class _Videos(Answer):
    """An answer and its videos, read by the thread that asked: the main one waits for Postgres meanwhile."""

    videos: tuple[VideoSeen, ...]
    odd: tuple[tuple[str, str], ...]
    """Ids of items that cannot be read, and why."""


class ReadVideos(QueueStage):
    """videos.list, 50 videos a request: the row, and a snapshot of its counts."""

    @property
    def bucket(self) -> Bucket:
        """The common bucket."""
        return "default"

    def send(self, api: YouTube, task: Batch) -> Answer:
        """At most 50 videos."""
        answer = api.videos(task)
        largest, lifetimes = self.context.policy.collection.largest_picture, self.context.lifetimes
        videos: list[VideoSeen] = []
        odd: list[tuple[str, str]] = []
        for item in answer.items:
            try:
                videos.append(video_of(item, answer.at, lifetimes, self.context.source, largest))
            except UNREADABLE as error:
                odd.append((str(item.get("id")), f"Its answer is odd ({error!r})."))
        return _Videos(answer.body, answer.at, tuple(videos), tuple(odd))

    def write(self, connection: psycopg.Connection[Any], outcomes: Sequence[TaskOutcome[Batch]]) -> int:
        """Rows and snapshots; what is not returned is a miss."""
        asked = [video for outcome in outcomes for video in outcome.task]
        misses: list[Miss] = []
        seen: list[VideoSeen] = []
        for outcome in outcomes:
            returned: set[str] = set()
            if isinstance(outcome.answer, _Videos):
                seen += outcome.answer.videos
                misses += [self._miss(video, "unreadable", why, outcome.at) for video, why in outcome.answer.odd]
                returned = {v.video_id for v in outcome.answer.videos} | {video for video, _ in outcome.answer.odd}
            refusal = outcome.refusal
            reason, detail = (
                ("not_returned", "videos.list does not return it.")
                if refusal is None
                else (refusal.reason, str(refusal))
            )
            misses += [self._miss(video, reason, detail, outcome.at) for video in outcome.task if video not in returned]
        seen, banned, strangers = self._sorted(connection, asked, seen)
        misses += [
            self._miss(video.video_id, "unknown_channel", "Its channel is not stored.", video.seen_at)
            for video in strangers
        ]
        written = record_videos(connection, seen)
        stored = [video.video_id for video in seen]
        clear_misses(connection, "video", stored)
        clear_expired(connection, "video", stored)
        record_misses(connection, self.context.niche, [miss for miss in misses if miss.item_id not in banned])
        dequeue(connection, self.context.niche, self.name, asked)
        self.context.tally.videos += len(seen)
        self.context.tally.videos_new += written.inserted
        return len(asked)

    def _miss(self, video_id: str, reason: str, detail: str, at: datetime) -> Miss:
        return self.context.miss("video", video_id, reason, detail, at)

    def _sorted(
        self, connection: psycopg.Connection[Any], asked: Sequence[str], seen: Sequence[VideoSeen]
    ) -> tuple[list[VideoSeen], set[str], list[VideoSeen]]:
        """What to write; ids that somebody asked us to forget while the request was on its way; videos of no stored channel."""
        channels = {video.channel_id for video in seen}
        banned_channels = forgotten(connection, "channel", channels)
        banned = forgotten(connection, "video", asked)
        banned |= {video.video_id for video in seen if video.channel_id in banned_channels}
        stored = keys_of(connection, "channel", channels)
        kept = [video for video in seen if video.video_id not in banned]
        return (
            [video for video in kept if video.channel_id in stored],
            banned,
            [video for video in kept if video.channel_id not in stored],
        )


class Hydrate(ReadVideos):
    """What the uploads playlists listed and is not stored, or is old. Listing fills the queue."""

    name = "hydrate"
    # What is in the queue and not stored, or old.
    wanted = """
        select q.video_id from thumbrank.collection_queue q where q.niche = %(niche)s and q.stage = 'hydrate'
          and not exists (select from thumbrank.thumbnails t where t.video_id = q.video_id and t.title is not null
                          and t.fetched_at > %(fresh_since)s)
    """

    def plan(self, connection: psycopg.Connection[Any]) -> None:
        """Nothing: listing fills the queue, and what is stored and fresh leaves it by `prune`."""

    def prune(self, connection: psycopg.Connection[Any]) -> None:
        """Take out of the queue what is stored and fresh: its counts are the snapshot stage's."""
        connection.execute(
            "delete from thumbrank.collection_queue q using thumbrank.thumbnails t "
            "where q.niche = %s and q.stage = %s and t.video_id = q.video_id and t.title is not null and t.fetched_at > %s",
            (self.context.niche, self.name, self.context.fresh_since),
        )


class Refresh(ReadVideos):
    """What nobody listed any more but is still stored: read again before it expires."""

    name = "refresh"
    wanted = """
        select t.video_id from thumbrank.thumbnails t join thumbrank.channels c using (channel_key)
        where c.niche = %(niche)s and t.source = %(source)s and t.expires_at is not null
          and t.fetched_at <= %(fresh_since)s and not t.video_id = any(%(excluded)s)
          and not c.channel_id = any(%(excluded_channels)s)
          and not exists (select from thumbrank.collection_queue q
                          where q.niche = c.niche and q.stage = 'hydrate' and q.video_id = t.video_id)
          and not exists (select from thumbrank.misses m where m.kind = 'video' and m.niche = c.niche
                          and m.item_id = t.video_id and m.missed_at >= %(since)s)
        order by t.video_key
    """
