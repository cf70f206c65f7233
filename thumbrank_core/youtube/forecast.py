"""What a collection is going to spend: units per stage and bucket, expected and at most, and how many days that takes.

Nothing is sent. Where a stage's work already lies in the tables (hydrate, snapshot, refresh, trainability, and whatever an
unfinished collection has left) the expected figure is exact. `upper` adds room for retries, and a collection never spends
more: at `upper` it stops and says so.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg

from thumbrank_core.youtube.client import MAX_IDS
from thumbrank_core.youtube.crawl import NOT_BEGUN, CrawlContext, planned_stages
from thumbrank_core.youtube.quota import BUCKETS, Bucket, QuotaStatus, next_reset, quota_status
from thumbrank_core.youtube.stages.base import QueueStage
from thumbrank_core.youtube.stages.discover import Discover
from thumbrank_core.youtube.stages.hydrate import Hydrate, Refresh
from thumbrank_core.youtube.stages.listing import pages_per_channel
from thumbrank_core.youtube.stages.snapshot import Snapshot
from thumbrank_core.youtube.stages.trainability import Trainability

RETRY_SHARE = 0.10
"""Room for attempts that have to be sent again, beside the work itself."""
LEAST_RETRIES = 3
GROWTH, FEW_MORE = 1.2, 10
"""A known channel may have so many more videos than when it was vetted, by factor and by number."""
DISTINCT_PER_PAGE = 20
"""Channels that a page of 50 search results is expected to add."""


@dataclass(frozen=True)
class StageForecast:
    """Units of one stage. `at_most` counts each request once; retries come on top."""

    stage: str
    bucket: Bucket
    expected: int
    at_most: int
    exact: bool
    """The stage's work lies in the tables, so that `expected` is not an estimate."""


@dataclass(frozen=True)
class BucketForecast:
    """Units of one bucket. `days` counts Pacific days from today, by `upper`."""

    bucket: Bucket
    expected: int
    upper: int
    days: int
    standing: QuotaStatus


@dataclass(frozen=True)
class Forecast:
    """A collection's spending, before anything is spent."""

    niche: str
    stages: tuple[StageForecast, ...]
    buckets: tuple[BucketForecast, ...]
    resumes: bool
    """An unfinished collection goes on."""
    resets_at: datetime

    @property
    def upper(self) -> dict[Bucket, int]:
        """Units a bucket at most."""
        return {found.bucket: found.upper for found in self.buckets}


def forecast(
    connection: psycopg.Connection[Any], context: CrawlContext, stages: Sequence[str], now: datetime
) -> Forecast:
    """Forecast the given stages of a niche's collection, begun or not."""
    rows = _Counts(connection, context)
    found = tuple(row for stage in stages if (row := rows.of(stage, stages)) is not None)
    return Forecast(
        context.niche,
        found,
        tuple(
            _bucket(connection, context, bucket, [row for row in found if row.bucket == bucket], now)
            for bucket in BUCKETS
        ),
        context.crawl.resumed,
        next_reset(now),
    )


def with_retries(units: int) -> int:
    """The most that so many requests may cost."""
    return units + max(LEAST_RETRIES, math.ceil(RETRY_SHARE * units)) if units else 0


def days_for(units: int, found: QuotaStatus) -> int:
    """Pacific days, today included, in which so many units can be spent; 0 for none, and for a bucket without units."""
    if units <= found.left or not found.limit:
        return 1 if units and found.limit else 0
    return 1 + math.ceil((units - found.left) / found.limit)


def _bucket(
    connection: psycopg.Connection[Any],
    context: CrawlContext,
    bucket: Bucket,
    rows: Sequence[StageForecast],
    now: datetime,
) -> BucketForecast:
    found = quota_status(connection, context.policy.quota, context.niche, bucket, now)
    upper = with_retries(sum(row.at_most for row in rows))
    return BucketForecast(bucket, sum(row.expected for row in rows), upper, days_for(upper, found), found)


class _Counts:
    """The work that is known, and bounds for what is not."""

    def __init__(self, connection: psycopg.Connection[Any], context: CrawlContext) -> None:
        self.connection, self.context = connection, context
        begun = context.crawl.crawl_id != NOT_BEGUN
        self.planned = planned_stages(connection, context.niche) if begun else set[str]()
        self.planned_today = planned_stages(connection, context.niche, context.crawl.run_at) if begun else set[str]()

    def of(self, stage: str, stages: Sequence[str]) -> StageForecast | None:
        """The forecast of one stage; `stages` says which others come with it."""
        match stage:
            case "discover":
                units = self._search_calls()
                return StageForecast(stage, "search", units, units, exact=False)
            case "vet":
                (_, known), calls = self._channels(), self._search_calls() if "discover" in stages else 0
                expected = math.ceil((known + DISTINCT_PER_PAGE * calls) / MAX_IDS)
                at_most = math.ceil((known + MAX_IDS * calls) / MAX_IDS)
                return StageForecast(stage, "default", expected, at_most, exact=calls == 0)
            case "list":
                expected, at_most = self._listing(stages)
                return StageForecast(stage, "default", expected, at_most, exact=False)
            case "hydrate":
                return self._hydrate(stages)
            case "snapshot":
                snapshot = Snapshot(self.context)
                units = math.ceil(self._videos(snapshot) / MAX_IDS)
                return StageForecast(
                    stage, snapshot.bucket, units, units, exact=not {"hydrate", "refresh"} & set(stages)
                )
            case "refresh":
                units = math.ceil(self._videos(Refresh(self.context)) / MAX_IDS)
                return StageForecast(stage, "default", units, units, exact="hydrate" not in stages)
            case _:
                units = self._trainability(stages)
                return StageForecast(stage, "default", units, units, exact="hydrate" not in stages)

    def _number(self, statement: Any, parameters: dict[str, object]) -> int:
        row = self.connection.execute(statement, self.context.parameters | parameters).fetchone()
        return int(row[0]) if row and row[0] is not None else 0

    def _open(self, stage: str) -> int:
        return self._number(
            "select count(*) from thumbrank.collection_progress where niche = %(niche)s and stage = %(stage)s and not done",
            {"stage": stage},
        )

    def _videos(self, stage: QueueStage) -> int:
        """Videos that a stage would ask for."""
        left = stage.remaining(self.connection) if stage.name in self.planned else 0
        return left if left or stage.name in self.planned_today else stage.unplanned(self.connection)

    def _search_calls(self) -> int:
        pages = self.context.policy.collection.search_pages
        if "discover" not in self.planned:
            return len(Discover(self.context).unsearched(self.connection)) * pages
        return self._number(
            "select coalesce(sum(greatest(1, %(each)s - pages)), 0) from thumbrank.collection_progress "
            "where niche = %(niche)s and stage = 'discover' and not done",
            {"each": pages},
        )

    def _channels(self) -> tuple[int, int]:
        """Channels that are known, named or found and not refused yet, and how many of them are still to be vetted."""
        row = self.connection.execute(
            "select count(*)::int, count(*) filter (where p.item is null or not p.done)::int from ("
            "select channel_id from thumbrank.channels where niche = %(niche)s and source = %(source)s "
            "union select unnest(%(named)s::text[]) "
            "union select item from thumbrank.collection_progress "
            "where niche = %(niche)s and stage = 'vet' and not done and %(resumed)s) known "
            "left join thumbrank.collection_progress p "
            "on p.niche = %(niche)s and p.stage = 'vet' and p.item = known.channel_id and %(resumed)s "
            "where not channel_id = any(%(excluded_channels)s)",
            self.context.parameters
            | {
                "named": list(self.context.config.channels),
                "resumed": self.context.crawl.resumed,
            },
        ).fetchone()
        assert row is not None, "an aggregate returns one row"
        return int(row[0]), int(row[1])

    def _listing(self, stages: Sequence[str]) -> tuple[int, int]:
        """Requests of the list stage: expected and at most."""
        collection = self.context.policy.collection
        each = pages_per_channel(collection.per_channel)
        calls = self._search_calls() if "discover" in stages else 0
        if "list" in self.planned and not calls and not self._open("vet"):
            left = self._number(
                "select coalesce(sum(greatest(1, %(each)s - pages)), 0) from thumbrank.collection_progress "
                "where niche = %(niche)s and stage = 'list' and not done",
                {"each": each},
            )
            return left, left
        known, _ = self._channels()
        expected_channels = min(collection.max_channels, known + DISTINCT_PER_PAGE * calls)
        most_channels = min(collection.max_channels, known + MAX_IDS * calls)
        expected, vetted = self._known_pages(1.0, 0, expected_channels)
        most, _ = self._known_pages(GROWTH, FEW_MORE, most_channels)
        return expected + max(0, expected_channels - vetted) * each, most + max(0, most_channels - vetted) * each

    def _known_pages(self, growth: float, more: int, channels: int) -> tuple[int, int]:
        """Pages of the channels whose number of videos is known, and how many channels that are, the longest first."""
        row = self.connection.execute(
            "select coalesce(sum(pages), 0)::int, count(*)::int from (select ceil(least(%(per_channel)s, "
            "video_count * %(growth)s + %(more)s) / %(page)s) as pages from thumbrank.channels where niche = %(niche)s "
            "and source = %(source)s and video_count > 0 order by 1 desc limit %(channels)s) known",
            self.context.parameters
            | {
                "per_channel": self.context.policy.collection.per_channel,
                "page": float(MAX_IDS),
                "growth": growth,
                "more": more,
                "channels": channels,
            },
        ).fetchone()
        assert row is not None, "an aggregate returns one row"
        return int(row[0]), int(row[1])

    def _hydrate(self, stages: Sequence[str]) -> StageForecast:
        queued = Hydrate(self.context).unplanned(self.connection) if "list" in self.planned else 0
        if "list" not in stages or ("list" in self.planned and not self._open("list") and not self._search_calls()):
            units = math.ceil(queued / MAX_IDS)
            return StageForecast("hydrate", "default", units, units, exact=True)
        collection = self.context.policy.collection
        expected_pages, most_pages = self._listing(stages)
        tail = collection.per_channel % MAX_IDS or MAX_IDS
        each = pages_per_channel(collection.per_channel)
        # The last page of a channel may be cut: 150 uploads are three pages, 120 are two and 20 videos of a third.
        most = queued + most_pages * MAX_IDS - (most_pages // each) * (MAX_IDS - tail)
        expected = queued + max(0, expected_pages * MAX_IDS - self._fresh_videos())
        most_units = math.ceil(most / MAX_IDS)
        return StageForecast(
            "hydrate", "default", min(most_units, math.ceil(expected / MAX_IDS)), most_units, exact=False
        )

    def _fresh_videos(self) -> int:
        return self._number(
            "select count(*) from thumbrank.thumbnails t join thumbrank.channels c using (channel_key) "
            "where c.niche = %(niche)s and t.source = %(source)s and t.fetched_at > %(fresh_since)s and t.published_at >= %(oldest)s",
            {
                "source": self.context.source,
                "fresh_since": self.context.fresh_since,
                "oldest": self.context.oldest_published,
            },
        )

    def _trainability(self, stages: Sequence[str]) -> int:
        collection = self.context.policy.collection
        stage = Trainability(self.context)
        if "trainability" in self.planned_today:
            return stage.remaining(self.connection)
        if collection.trainability == "sample":
            return collection.trainability_sample
        return stage.unplanned(self.connection) + (
            self._hydrate(stages).at_most * MAX_IDS if "hydrate" in stages else 0
        )
