"""Snapshot: the counts of videos that are stored already, from batchGetStats and its own bucket."""

from collections.abc import Sequence
from typing import Any

import psycopg

from thumbrank_core.store.catalog import Miss, record_counts, record_misses
from thumbrank_core.store.tombstones import forgotten
from thumbrank_core.youtube.client import Answer, YouTube
from thumbrank_core.youtube.crawl import CrawlContext, dequeue
from thumbrank_core.youtube.errors import FatalYouTubeError, KeyRefusedError, QuotaSpentError, SkippableYouTubeError
from thumbrank_core.youtube.quota import Bucket
from thumbrank_core.youtube.records import counts_of
from thumbrank_core.youtube.stages.base import Batch, QueueStage
from thumbrank_core.youtube.waves import TaskOutcome


class _MethodRefusedError(SkippableYouTubeError):
    """The API does not know or does not allow batchGetStats."""


class Snapshot(QueueStage):
    """videos.batchGetStats, 50 videos a request; videos.list where that method is not to be had."""

    name = "snapshot"
    # Not what this collection has just read: its counts came with it (or are hidden, as before a premiere). And not what it
    # has just found gone.
    wanted = """
        select t.video_id from thumbrank.thumbnails t join thumbrank.channels c using (channel_key)
        where c.niche = %(niche)s and t.source = %(source)s and t.published_at >= %(oldest)s
          and t.fetched_at < %(since)s and not t.video_id = any(%(excluded)s)
          and not c.channel_id = any(%(excluded_channels)s)
          and not exists (select from thumbrank.view_snapshots s
                          where s.video_key = t.video_key and s.observed_at >= %(since)s)
          and not exists (select from thumbrank.collection_queue q
                          where q.niche = c.niche and q.stage = 'hydrate' and q.video_id = t.video_id)
          and not exists (select from thumbrank.misses m where m.kind = 'video' and m.niche = c.niche
                          and m.item_id = t.video_id and m.missed_at >= %(since)s)
        order by t.video_key
    """

    def __init__(self, context: CrawlContext) -> None:
        super().__init__(context)
        self.by_list = context.crawl.batch_refused or not context.policy.quota.stats_batch
        """The counts come from videos.list: batchGetStats was refused, or has no units."""
        self.refused = False
        """batchGetStats was refused in this run; the forecast of the next one knows."""

    @property
    def bucket(self) -> Bucket:
        """batchGetStats has a bucket of its own; the fallback has not."""
        return "default" if self.by_list else "stats_batch"

    def take(self, connection: psycopg.Connection[Any], count: int) -> list[Batch]:
        """Nothing more once the method was refused: asking again would only cost units."""
        return [] if self.refused else super().take(connection, count)

    def send(self, api: YouTube, task: Batch) -> Answer:
        """At most 50 videos."""
        if self.by_list:
            return api.statistics_by_list(task)
        try:
            return api.statistics(task)
        except QuotaSpentError:
            raise
        except (FatalYouTubeError, SkippableYouTubeError) as error:
            # Unknown ids are left out with 200, so that a refusal is about the method; but a wrong key is a wrong key.
            if isinstance(error, KeyRefusedError) and error.reason != "forbidden":
                raise
            raise _MethodRefusedError(error.reason, str(error)) from None

    def write(self, connection: psycopg.Connection[Any], outcomes: Sequence[TaskOutcome[Batch]]) -> int:
        """Snapshots; what is not returned is a miss, what hides its views is left as it is."""
        refused = [outcome for outcome in outcomes if isinstance(outcome.refusal, _MethodRefusedError)]
        if refused:
            self.refused = True
            outcomes = [outcome for outcome in outcomes if not isinstance(outcome.refusal, _MethodRefusedError)]
        asked = [video for outcome in outcomes for video in outcome.task]
        items = [(item, outcome) for outcome in outcomes if outcome.answer for item in outcome.answer.items]
        returned = {str(item["id"]) for item, _ in items}
        lifetimes = self.context.lifetimes
        seen = [counts_of(item, outcome.at, lifetimes) for item, outcome in items]
        self.context.tally.snapshots += record_counts(connection, [counts for counts in seen if counts is not None])
        misses: list[Miss] = [
            self.context.miss("video", video, "not_returned", "batchGetStats does not return it.", outcome.at)
            for outcome in outcomes
            for video in outcome.task
            if video not in returned
        ]
        banned = forgotten(connection, "video", asked)
        record_misses(connection, self.context.niche, [miss for miss in misses if miss.item_id not in banned])
        dequeue(connection, self.context.niche, self.name, asked)
        return len(asked)
