"""Vet: what channels.list says of the candidates: gone, empty, another niche's, or worth listing."""

from collections.abc import Sequence
from typing import Any

import psycopg

from thumbrank_core.batches import batched
from thumbrank_core.store.catalog import ChannelSeen, Miss, clear_misses, record_channels, record_misses
from thumbrank_core.store.tombstones import clear_expired, forgotten
from thumbrank_core.youtube.client import MAX_IDS, Answer, YouTube
from thumbrank_core.youtube.crawl import CrawlContext
from thumbrank_core.youtube.quota import Bucket
from thumbrank_core.youtube.records import UNREADABLE, channel_of
from thumbrank_core.youtube.stages.base import PagedStage, PageTask
from thumbrank_core.youtube.waves import TaskOutcome

SEPARATOR = " "


def banned_channels(connection: psycopg.Connection[Any], context: CrawlContext, channel_ids: Sequence[str]) -> set[str]:
    """Those that the team excludes or was asked to forget."""
    return forgotten(connection, "channel", channel_ids) | set(context.exclusions.channels)


def add_candidates(connection: psycopg.Connection[Any], context: CrawlContext, channel_ids: Sequence[str]) -> None:
    """Channels to vet, in this order; banned ones are left out."""
    banned = banned_channels(connection, context, channel_ids)
    connection.execute(
        "insert into thumbrank.collection_progress (niche, stage, item) select %s, 'vet', item from "
        "unnest(%s::text[]) with ordinality as found(item, place) order by place on conflict do nothing",
        (context.niche, [channel for channel in channel_ids if channel not in banned]),
    )


class Vet(PagedStage):
    """channels.list, 50 candidates a request. A task names its candidates, separated by spaces."""

    name = "vet"

    @property
    def bucket(self) -> Bucket:
        """The common bucket."""
        return "default"

    def plan(self, connection: psycopg.Connection[Any]) -> None:
        """The team's own list and the niche's known channels; discovery adds its own as it finds them."""
        known = connection.execute(
            "select channel_id from thumbrank.channels where niche = %s and source = %s order by channel_key",
            (self.context.niche, self.context.source),
        ).fetchall()
        add_candidates(
            connection, self.context, [*self.context.config.channels, *(str(channel) for (channel,) in known)]
        )

    def _read(self, connection: psycopg.Connection[Any], count: int) -> list[PageTask]:
        candidates = super()._read(connection, count * MAX_IDS)
        return [
            PageTask(SEPARATOR.join(task.item for task in batch), None, 0) for batch in batched(candidates, MAX_IDS)
        ]

    def send(self, api: YouTube, task: PageTask) -> Answer:
        """At most 50 channels."""
        return api.channels(task.item.split(SEPARATOR))

    def write(self, connection: psycopg.Connection[Any], outcomes: Sequence[TaskOutcome[PageTask]]) -> int:
        """Channels that exist, and misses for the others."""
        misses: list[Miss] = []
        seen: list[ChannelSeen] = []
        asked = [channel for outcome in outcomes for channel in outcome.task.item.split(SEPARATOR)]
        banned = banned_channels(connection, self.context, asked)
        for outcome in outcomes:
            returned: set[str] = set()
            for item in outcome.answer.items if outcome.answer else []:
                returned.add(str(item.get("id")))
                try:
                    channel = channel_of(item, outcome.at, self.context.lifetimes, self.context.source)
                except UNREADABLE as error:
                    misses.append(
                        self._miss(str(item.get("id")), "unreadable", f"Its answer is odd ({error!r}).", outcome)
                    )
                    continue
                seen.append(channel)
                if channel.video_count == 0 or channel.uploads_playlist is None:
                    misses.append(self._miss(channel.channel_id, "no_uploads", "It shows no public video.", outcome))
            refusal = outcome.refusal
            reason, detail = (
                ("channel_gone", "channels.list does not return it.")
                if refusal is None
                else (refusal.reason, str(refusal))
            )
            misses += [
                self._miss(channel_id, reason, detail, outcome)
                for channel_id in outcome.task.item.split(SEPARATOR)
                if channel_id not in returned and channel_id not in banned
            ]
        # One upsert a wave, in the order of its keys: two niches that see the same channels wait for one another.
        seen = [channel for channel in seen if channel.channel_id not in banned]
        written = record_channels(connection, self.context.niche, seen)
        self.context.tally.elsewhere += sum(n for owner, n in written.by_niche.items() if owner != self.context.niche)
        clear_misses(connection, "channel", [channel.channel_id for channel in seen])
        clear_expired(connection, "channel", [channel.channel_id for channel in seen])
        record_misses(connection, self.context.niche, [miss for miss in misses if miss.item_id not in banned])
        return self.note(connection, [(PageTask(item, None, 0), None, True) for item in asked])

    def _miss(self, channel_id: str, reason: str, detail: str, outcome: TaskOutcome[PageTask]) -> Miss:
        return self.context.miss("channel", channel_id, reason, detail, outcome.at)
