"""Discover: which channels a niche's queries find. Search only finds channels; it is never the corpus."""

from collections.abc import Sequence
from typing import Any

import psycopg

from thumbrank_core.store.catalog import Discovery, record_discoveries
from thumbrank_core.youtube.client import MAX_IDS, Answer, YouTube
from thumbrank_core.youtube.errors import PageTokenRefusedError
from thumbrank_core.youtube.quota import Bucket, pacific_date
from thumbrank_core.youtube.stages.base import PagedStage, PageTask
from thumbrank_core.youtube.stages.vet import add_candidates, banned_channels
from thumbrank_core.youtube.waves import TaskOutcome

KINDS = ("channel", "video")
"""`type=video` with publishedAfter finds active channels, `type=channel` those that name the topic."""


class Discover(PagedStage):
    """search.list, for each query and kind, `search_pages` pages at most. An item is `kind:query`."""

    name = "discover"

    @property
    def bucket(self) -> Bucket:
        """Search has a bucket of its own."""
        return "search"

    def plan(self, connection: psycopg.Connection[Any]) -> None:
        """One item a query and kind."""
        connection.execute(
            "insert into thumbrank.collection_progress (niche, stage, item) select %s, %s, item from "
            "unnest(%s::text[]) with ordinality as planned(item, place) order by place on conflict do nothing",
            (self.context.niche, self.name, self.unsearched(connection)),
        )

    def unsearched(self, connection: psycopg.Connection[Any]) -> list[str]:
        """Items that found nothing yet on this Pacific day: asking twice a day spends a scarce bucket for the same answers."""
        if not self.context.policy.collection.search_pages or not self.context.policy.quota.search:
            return []
        rows = connection.execute(
            "select distinct query from thumbrank.discoveries where niche = %s "
            "and (discovered_at at time zone 'America/Los_Angeles')::date = %s",
            (self.context.niche, pacific_date(self.context.crawl.started_at)),
        ).fetchall()
        searched = {str(query) for (query,) in rows}
        items = [f"{kind}:{query}" for query in self.context.config.queries for kind in KINDS]
        return [item for item in items if item not in searched]

    def send(self, api: YouTube, task: PageTask) -> Answer:
        """One page; its parameters depend on the collection's start and the policy, so that page tokens stay good."""
        kind, _, query = task.item.partition(":")
        parameters: dict[str, object] = {"q": query, "type": kind}
        if kind == "video":
            after = self.context.oldest_published
            parameters |= {"order": "date", "publishedAfter": after.strftime("%Y-%m-%dT%H:%M:%SZ")}
        if task.page_token is not None:
            parameters["pageToken"] = task.page_token
        return api.search(**parameters)

    def write(self, connection: psycopg.Connection[Any], outcomes: Sequence[TaskOutcome[PageTask]]) -> int:
        """Discoveries and candidates."""
        tasks: list[tuple[PageTask, str | None, bool]] = []
        restarted: list[PageTask] = []
        found: list[Discovery] = []
        for outcome in outcomes:
            if outcome.answer is None:
                if isinstance(outcome.refusal, PageTokenRefusedError) and self.may_restart(outcome.task):
                    restarted.append(outcome.task)
                else:
                    self.context.tally.miss("search_refused")
                    tasks.append((outcome.task, None, True))
                continue
            until = self.context.lifetimes.content_until(outcome.at)
            found += [
                Discovery(channel, outcome.task.item, rank, outcome.at, until)
                for channel, rank in self._channels(outcome.task, outcome.answer).items()
            ]
            token = outcome.answer.body.get("nextPageToken")
            done = token is None or outcome.task.pages + 1 >= self.context.policy.collection.search_pages
            tasks.append((outcome.task, token, done))
        banned = banned_channels(connection, self.context, [discovery.channel_id for discovery in found])
        found = [discovery for discovery in found if discovery.channel_id not in banned]
        record_discoveries(connection, self.context.niche, found)
        add_candidates(connection, self.context, [discovery.channel_id for discovery in found])
        self.restart(connection, restarted)
        return self.note(connection, tasks)

    def _channels(self, task: PageTask, answer: Answer) -> dict[str, int]:
        """Channel ids with the place of their first sighting on this page."""
        found: dict[str, int] = {}
        for place, item in enumerate(answer.items):
            channel_id = item.get("id", {}).get("channelId") or item.get("snippet", {}).get("channelId")
            if channel_id:
                found.setdefault(str(channel_id), task.pages * MAX_IDS + place)
        return found
