"""List: which videos the chosen channels have uploaded, from their uploads playlists.

Listing by search would stop at 500 videos a channel, miss some and cost 50 times as much. The playlist's order is by
upload, not by publication: a premiere or a scheduled video may sit deeper, so only a page that is too old as a whole ends
a channel. Pages shift when a video arrives in between; a video that comes twice is queued once.
"""

import math
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import psycopg

from thumbrank_core.store.catalog import Miss, record_misses
from thumbrank_core.store.tombstones import forgotten
from thumbrank_core.youtube.client import MAX_IDS, Answer, YouTube
from thumbrank_core.youtube.crawl import enqueue
from thumbrank_core.youtube.errors import PageTokenRefusedError
from thumbrank_core.youtube.quota import Bucket
from thumbrank_core.youtube.records import time_of
from thumbrank_core.youtube.stages.base import PagedStage, PageTask
from thumbrank_core.youtube.waves import TaskOutcome


def pages_per_channel(per_channel: int) -> int:
    """Requests that listing so many uploads takes at most."""
    return math.ceil(per_channel / MAX_IDS)


class List(PagedStage):
    """playlistItems.list, a page of 50 a request. An item is `channel id/playlist id`."""

    name = "list"

    @property
    def bucket(self) -> Bucket:
        """The common bucket."""
        return "default"

    def plan(self, connection: psycopg.Connection[Any]) -> None:
        """Choose the channels: the team's own first, then the largest, `max_channels` in all."""
        rows = connection.execute(
            "select c.channel_id || '/' || c.uploads_playlist, c.channel_id from thumbrank.channels c "
            "join thumbrank.collection_progress p on p.niche = c.niche and p.stage = 'vet' and p.done and p.item = c.channel_id "
            "where c.niche = %(niche)s and c.uploads_playlist is not null and c.video_count is distinct from 0 "
            "and not c.channel_id = any(%(excluded_channels)s) "
            "and (c.made_for_kids is distinct from true or %(kids)s) and not exists (select from thumbrank.collection_progress l "
            "where l.niche = c.niche and l.stage = 'list' and l.item = c.channel_id || '/' || c.uploads_playlist) "
            "order by c.channel_id = any(%(named)s) desc, c.subscriber_count desc nulls last, c.channel_id "
            "limit greatest(0, %(most)s - (select count(*) from thumbrank.collection_progress "
            "where niche = %(niche)s and stage = 'list'))",
            self.context.parameters
            | {
                "kids": self.context.policy.criteria.made_for_kids == "include",
                "named": list(self.context.config.channels),
                "most": self.context.policy.collection.max_channels,
            },
        ).fetchall()
        chosen = connection.execute(
            "insert into thumbrank.collection_progress (niche, stage, item) select %s, %s, item from "
            "unnest(%s::text[]) with ordinality as chosen(item, place) order by place on conflict do nothing",
            (self.context.niche, self.name, [str(item) for item, _ in rows]),
        ).rowcount
        self.context.tally.channels += chosen

    def send(self, api: YouTube, task: PageTask) -> Answer:
        """One page of uploads."""
        return api.uploads(task.item.partition("/")[2], task.page_token)

    def write(self, connection: psycopg.Connection[Any], outcomes: Sequence[TaskOutcome[PageTask]]) -> int:
        """Queue what is public and inside the window; private and deleted entries are misses."""
        tasks: list[tuple[PageTask, str | None, bool]] = []
        misses: list[Miss] = []
        listed: list[str] = []
        restarted: list[PageTask] = []
        for outcome in outcomes:
            channel_id = outcome.task.item.partition("/")[0]
            if outcome.answer is None:
                assert outcome.refusal is not None, "an outcome is an answer or a refusal"
                if isinstance(outcome.refusal, PageTokenRefusedError) and self.may_restart(outcome.task):
                    restarted.append(outcome.task)
                else:
                    reason = outcome.refusal.reason
                    misses.append(self.context.miss("channel", channel_id, reason, str(outcome.refusal), outcome.at))
                    tasks.append((outcome.task, None, True))
                continue
            entries = [item["contentDetails"] for item in outcome.answer.items]
            left = max(0, self.context.policy.collection.per_channel - outcome.task.pages * MAX_IDS)
            for entry in entries[:left]:
                published = _published(entry)
                if published is None:
                    detail = "Its uploads entry has no publication time."
                    misses.append(
                        self.context.miss("video", str(entry["videoId"]), "private_or_deleted", detail, outcome.at)
                    )
                elif published >= self.context.oldest_published:
                    listed.append(str(entry["videoId"]))
            token = outcome.answer.body.get("nextPageToken")
            dates = [when for entry in entries if (when := _published(entry)) is not None]
            too_old = bool(dates) and max(dates) < self.context.oldest_published
            tasks.append((outcome.task, token, token is None or left <= MAX_IDS or too_old))
        seen = [*listed, *(miss.item_id for miss in misses if miss.kind == "video")]
        banned = forgotten(connection, "video", seen) | set(self.context.exclusions.videos)
        enqueue(connection, self.context.niche, "hydrate", [video for video in listed if video not in banned])
        record_misses(connection, self.context.niche, [miss for miss in misses if miss.item_id not in banned])
        self.restart(connection, restarted)
        return self.note(connection, tasks)


def _published(entry: dict[str, Any]) -> datetime | None:
    text = entry.get("videoPublishedAt")
    return None if text is None else time_of(text)
