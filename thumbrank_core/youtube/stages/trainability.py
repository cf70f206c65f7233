"""Trainability: whom a creator lets train on a video (videoTrainability.get, one video a request)."""

from collections.abc import Sequence
from typing import Any

import psycopg

from thumbrank_core.youtube.client import Answer, YouTube
from thumbrank_core.youtube.crawl import dequeue
from thumbrank_core.youtube.quota import Bucket
from thumbrank_core.youtube.stages.base import Batch, QueueStage
from thumbrank_core.youtube.waves import TaskOutcome


class Trainability(QueueStage):
    """A sample of the niche's videos, or all of them where the policy requires the answer."""

    name = "trainability"
    batch_size = 1
    # The sample is the smallest hashes of the niche's ids: the same videos in every collection, so that asking again when
    # their answers are old adds nobody.
    wanted = """
        select video_id from (
            select t.video_id, t.trainability_checked_at
            from thumbrank.thumbnails t join thumbrank.channels c using (channel_key)
            where c.niche = %(niche)s and t.source = %(source)s and not t.video_id = any(%(excluded)s)
              and not c.channel_id = any(%(excluded_channels)s)
            order by md5(t.video_id) limit %(limit)s) sample
        where trainability_checked_at is null or trainability_checked_at <= %(fresh_since)s
        order by md5(video_id)
    """

    @property
    def bucket(self) -> Bucket:
        """Its cost is not documented; it is charged as one unit of the common bucket."""
        return "default"

    @property
    def parameters(self) -> dict[str, object]:
        """How many videos the sample has; None: all."""
        collection = self.context.policy.collection
        every = collection.trainability == "require"
        return super().parameters | {"limit": None if every else collection.trainability_sample}

    def send(self, api: YouTube, task: Batch) -> Answer:
        """One video."""
        return api.trainability(task[0])

    def write(self, connection: psycopg.Connection[Any], outcomes: Sequence[TaskOutcome[Batch]]) -> int:
        """`all`, `none` or the parties; a video that the API does not know stays unasked."""
        told = [(outcome.task[0], outcome.answer, outcome.at) for outcome in outcomes if outcome.answer is not None]
        connection.execute(
            "update thumbrank.thumbnails t set trainability = a.permitted, trainability_checked_at = a.at "
            "from unnest(%s::text[], %s::text[], %s::timestamptz[]) as a(video_id, permitted, at) where t.video_id = a.video_id",
            (
                [video for video, _, _ in told],
                [",".join(answer.body.get("permitted") or ["none"]) for _, answer, _ in told],
                [at for _, _, at in told],
            ),
        )
        for outcome in outcomes:
            if outcome.refusal is not None:
                self.context.tally.miss(f"trainability_{outcome.refusal.reason}")
        dequeue(connection, self.context.niche, self.name, [outcome.task[0] for outcome in outcomes])
        return len(outcomes)
