"""Hydrate and refresh: videos.list for what was listed and is not stored, and for what is about to expire."""

from collections.abc import Sequence
from typing import Any

import psycopg

from thumbrank_core.store.catalog import Miss, VideoSeen, clear_misses, keys_of, record_misses, record_videos
from thumbrank_core.store.tombstones import clear_expired, forgotten
from thumbrank_core.youtube.client import Answer, YouTube
from thumbrank_core.youtube.crawl import dequeue
from thumbrank_core.youtube.quota import Bucket
from thumbrank_core.youtube.records import video_of
from thumbrank_core.youtube.stages.base import Batch, QueueStage
from thumbrank_core.youtube.waves import Outcome


class ReadVideos(QueueStage):
    """videos.list, 50 videos a request: the row, and a snapshot of its counts."""

    @property
    def bucket(self) -> Bucket:
        """The common bucket."""
        return "default"

    def send(self, api: YouTube, task: Batch) -> Answer:
        """At most 50 videos."""
        return api.videos(task)

    def write(self, connection: psycopg.Connection[Any], outcomes: Sequence[Outcome[Batch]]) -> int:
        """Rows and snapshots; what is not returned is a miss."""
        asked = [video for outcome in outcomes for video in outcome.task]
        misses: list[Miss] = []
        largest, lifetimes = self.job.policy.collection.largest_picture, self.job.lifetimes
        seen = [
            video_of(item, outcome.at, lifetimes, self.job.source, largest)
            for outcome in outcomes
            for item in (outcome.answer.items if outcome.answer else [])
        ]
        returned = {video.video_id for video in seen}
        seen = self._wanted(connection, seen)
        for outcome in outcomes:
            misses += [
                self.job.miss("video", video, "not_returned", "videos.list does not return it.", outcome.at)
                for video in outcome.task
                if video not in returned
            ]
        written = record_videos(connection, seen)
        clear_misses(connection, "video", sorted(returned))
        clear_expired(connection, "video", sorted(returned))
        record_misses(connection, self.job.niche, misses)
        dequeue(connection, self.job.niche, self.name, asked)
        self.job.tally.videos += len(seen)
        self.job.tally.videos_new += written.inserted
        return len(asked)

    def _wanted(self, connection: psycopg.Connection[Any], seen: Sequence[VideoSeen]) -> list[VideoSeen]:
        """Without what somebody asked us to forget while the request was on its way."""
        channels = {video.channel_id for video in seen}
        banned_videos = forgotten(connection, "video", {video.video_id for video in seen})
        stored = keys_of(connection, "channel", channels - forgotten(connection, "channel", channels))
        return [video for video in seen if video.video_id not in banned_videos and video.channel_id in stored]


class Hydrate(ReadVideos):
    """What the uploads playlists listed and is not stored, or is old. Listing fills the queue."""

    name = "hydrate"
    # Listing fills the queue itself; what it added and is stored and fresh leaves it by `prune`.
    wanted = """
        select q.video_id from thumbrank.collection_queue q where q.niche = %(niche)s and q.stage = 'hydrate'
          and not exists (select from thumbrank.thumbnails t where t.video_id = q.video_id and t.title is not null
                          and t.fetched_at > %(fresh_since)s)
    """

    def prune(self, connection: psycopg.Connection[Any]) -> None:
        """Take out of the queue what is stored and fresh: its counts are the snapshot stage's."""
        connection.execute(
            "delete from thumbrank.collection_queue q using thumbrank.thumbnails t "
            "where q.niche = %s and q.stage = %s and t.video_id = q.video_id and t.title is not null and t.fetched_at > %s",
            (self.job.niche, self.name, self.job.fresh_since),
        )


class Refresh(ReadVideos):
    """What nobody listed any more but is still stored: read again before it expires."""

    name = "refresh"
    wanted = """
        select t.video_id from thumbrank.thumbnails t join thumbrank.channels c using (channel_key)
        where c.niche = %(niche)s and t.source = %(source)s and t.expires_at is not null
          and t.fetched_at <= %(fresh_since)s and not t.video_id = any(%(excluded)s)
          and not exists (select from thumbrank.collection_queue q
                          where q.niche = c.niche and q.stage = 'hydrate' and q.video_id = t.video_id)
          and not exists (select from thumbrank.misses m where m.kind = 'video' and m.niche = c.niche
                          and m.item_id = t.video_id and m.missed_at >= %(started_at)s)
        order by t.video_key
    """
