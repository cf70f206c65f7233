"""Vet: what channels.list says of the candidates: gone, empty, another niche's, or worth listing."""

from collections.abc import Sequence
from typing import Any

import psycopg

from thumbrank_core.batches import batched
from thumbrank_core.store.catalog import Miss, clear_misses, record_channels, record_misses
from thumbrank_core.store.tombstones import clear_expired, forgotten
from thumbrank_core.youtube.client import MAX_IDS, Answer, YouTube
from thumbrank_core.youtube.crawl import Job
from thumbrank_core.youtube.quota import Bucket
from thumbrank_core.youtube.records import channel_of
from thumbrank_core.youtube.stages.base import PagedStage, Step
from thumbrank_core.youtube.waves import Outcome

SEPARATOR = " "


def add_candidates(connection: psycopg.Connection[Any], job: Job, channel_ids: Sequence[str]) -> None:
    """Channels to vet, in this order; those that the team excludes or has forgotten are left out."""
    banned = forgotten(connection, "channel", channel_ids) | set(job.exclusions.channels)
    connection.execute(
        "insert into thumbrank.collection_progress (niche, stage, item) select %s, 'vet', item from "
        "unnest(%s::text[]) with ordinality as found(item, place) order by place on conflict do nothing",
        (job.niche, [channel for channel in channel_ids if channel not in banned]),
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
            (self.job.niche, self.job.source),
        ).fetchall()
        add_candidates(connection, self.job, [*self.job.config.channels, *(str(channel) for (channel,) in known)])

    def _read(self, connection: psycopg.Connection[Any], count: int) -> list[Step]:
        candidates = super()._read(connection, count * MAX_IDS)
        return [Step(SEPARATOR.join(step.item for step in batch), None, 0) for batch in batched(candidates, MAX_IDS)]

    def send(self, api: YouTube, task: Step) -> Answer:
        """At most 50 channels."""
        return api.channels(task.item.split(SEPARATOR))

    def write(self, connection: psycopg.Connection[Any], outcomes: Sequence[Outcome[Step]]) -> int:
        """Channels that exist, and misses for the others."""
        misses: list[Miss] = []
        settled: list[str] = []
        returned: list[str] = []
        for outcome in outcomes:
            asked = outcome.task.item.split(SEPARATOR)
            settled += asked
            seen = [
                channel_of(item, outcome.at, self.job.lifetimes, self.job.source)
                for item in (outcome.answer.items if outcome.answer else [])
            ]
            gone = set(asked) - {channel.channel_id for channel in seen}
            # Somebody may have asked us to forget one while the request was on its way.
            banned = forgotten(connection, "channel", asked)
            seen = [channel for channel in seen if channel.channel_id not in banned]
            written = record_channels(connection, self.job.niche, seen)
            returned += [channel.channel_id for channel in seen]
            elsewhere = sum(count for owner, count in written.by_niche.items() if owner != self.job.niche)
            self.job.tally.elsewhere += elsewhere
            misses += [
                self.job.miss("channel", channel, "channel_gone", "channels.list does not return it.", outcome.at)
                for channel in sorted(gone)
            ]
            misses += [
                self.job.miss("channel", channel.channel_id, "no_uploads", "It shows no public video.", outcome.at)
                for channel in seen
                if channel.video_count == 0 or channel.uploads_playlist is None
            ]
        clear_misses(connection, "channel", returned)
        clear_expired(connection, "channel", returned)
        record_misses(connection, self.job.niche, misses)
        return self.note(connection, [(Step(item, None, 0), None, True) for item in settled])
