"""Where a niche's collection stands: begun, resumed, paused, complete. The rows behind it live in Postgres only.

What belongs here: the life of one collection and the job that its stages share. What a stage does is in stages/.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import psycopg

from thumbrank_core.exclusions import Exclusions
from thumbrank_core.niches import NicheConfig
from thumbrank_core.policy import Policy
from thumbrank_core.store.catalog import Miss, MissKind, Source
from thumbrank_core.youtube.lifetimes import Lifetimes

NOT_BEGUN = uuid.UUID(int=0)
"""The crawl id of a collection that exists only in a forecast."""

STALE = timedelta(days=7)
"""An unfinished collection older than this begins anew: its page tokens and its window have aged."""


@dataclass
class Tally:
    """What one run of a collection wrote."""

    channels: int = 0
    videos: int = 0
    videos_new: int = 0
    snapshots: int = 0
    elsewhere: int = 0
    """Channels that another niche confirmed first."""
    misses: dict[str, int] = field(default_factory=dict[str, int])

    def miss(self, reason: str, count: int = 1) -> None:
        """Count a miss by its reason."""
        if count:
            self.misses[reason] = self.misses.get(reason, 0) + count


@dataclass(frozen=True)
class Crawl:
    """A collection of one niche, perhaps over several runs."""

    crawl_id: uuid.UUID
    started_at: datetime
    """The server's clock: windows and search parameters are counted from it, so that page tokens stay good."""
    resumed: bool


@dataclass(frozen=True)
class Job:
    """What every stage needs to know."""

    niche: str
    config: NicheConfig
    policy: Policy
    exclusions: Exclusions
    source: Source
    crawl: Crawl
    tally: Tally

    @property
    def lifetimes(self) -> Lifetimes:
        """How long what is seen may be kept."""
        return Lifetimes.of(self.policy, self.source)

    @property
    def oldest_published(self) -> datetime:
        """The beginning of the window."""
        return self.crawl.started_at - timedelta(days=self.policy.collection.window_days)

    @property
    def fresh_since(self) -> datetime:
        """What was fetched later than this need not be read again."""
        return self.crawl.started_at - timedelta(days=self.policy.retention.refresh_from_day)

    @property
    def parameters(self) -> dict[str, object]:
        """What the stages' SQL is written in terms of."""
        return {
            "niche": self.niche,
            "source": self.source,
            "oldest": self.oldest_published,
            "fresh_since": self.fresh_since,
            "started_at": self.crawl.started_at,
            "excluded": list(self.exclusions.videos),
        }

    def miss(self, kind: MissKind, item_id: str, reason: str, detail: str, at: datetime) -> Miss:
        """A miss, counted."""
        self.tally.miss(reason)
        return Miss(kind, item_id, reason, detail, at, self.lifetimes.content_until(at))


def open_crawl(connection: psycopg.Connection[Any], niche: str) -> Crawl | None:
    """The unfinished collection of the niche, or None."""
    row = connection.execute(
        "select crawl_id, started_at from thumbrank.collection_runs where niche = %s and state <> 'complete'", (niche,)
    ).fetchone()
    return None if row is None else Crawl(row[0], row[1], resumed=True)


def begin(connection: psycopg.Connection[Any], niche: str, now: datetime) -> Crawl:
    """Resume the unfinished collection, or start one."""
    crawl = open_crawl(connection, niche)
    if crawl is not None and now - crawl.started_at < STALE:
        connection.execute(
            "update thumbrank.collection_runs set state = 'running', reason = '', resumes_at = null where niche = %s",
            (niche,),
        )
        return crawl
    _clear(connection, niche)
    crawl = Crawl(uuid.uuid4(), now, resumed=False)
    connection.execute(
        "insert into thumbrank.collection_runs (niche, crawl_id, started_at, state) values (%s, %s, %s, 'running') "
        "on conflict (niche) do update set crawl_id = excluded.crawl_id, started_at = excluded.started_at, planned = '{}', "
        "finished_at = null, state = 'running', reason = '', resumes_at = null",
        (niche, crawl.crawl_id, now),
    )
    return crawl


def planned_stages(connection: psycopg.Connection[Any], niche: str) -> set[str]:
    """Stages whose work has been written down."""
    row = connection.execute(
        "select planned from thumbrank.collection_runs where niche = %s and state <> 'complete'", (niche,)
    ).fetchone()
    return set(row[0]) if row else set()


def mark_planned(connection: psycopg.Connection[Any], niche: str, stage: str) -> None:
    """In the transaction that wrote the stage's work."""
    connection.execute(
        "update thumbrank.collection_runs set planned = array_append(planned, %(stage)s) "
        "where niche = %(niche)s and not %(stage)s = any(planned)",
        {"stage": stage, "niche": niche},
    )


def pause(connection: psycopg.Connection[Any], niche: str, reason: str, resumes_at: datetime) -> None:
    """The collection stands still, and says why and until when."""
    connection.execute(
        "update thumbrank.collection_runs set state = 'partial', reason = %s, resumes_at = %s where niche = %s",
        (reason, resumes_at, niche),
    )


def finish(connection: psycopg.Connection[Any], niche: str, now: datetime) -> None:
    """Everything was asked: nothing of the progress is needed any more."""
    _clear(connection, niche)
    connection.execute(
        "update thumbrank.collection_runs set state = 'complete', finished_at = %s, planned = '{}', reason = '', "
        "resumes_at = null where niche = %s",
        (now, niche),
    )


def enqueue(connection: psycopg.Connection[Any], niche: str, stage: str, video_ids: Sequence[str]) -> int:
    """Add videos to a stage's queue; returns how many were not in it yet."""
    return connection.execute(
        "insert into thumbrank.collection_queue (niche, stage, video_id) "
        "select %s, %s, video_id from unnest(%s::text[]) with ordinality as listed(video_id, place) order by place "
        "on conflict do nothing",
        (niche, stage, list(video_ids)),
    ).rowcount


def dequeue(connection: psycopg.Connection[Any], niche: str, stage: str, video_ids: Sequence[str]) -> None:
    """These are settled."""
    connection.execute(
        "delete from thumbrank.collection_queue where niche = %s and stage = %s and video_id = any(%s)",
        (niche, stage, list(video_ids)),
    )


def _clear(connection: psycopg.Connection[Any], niche: str) -> None:
    connection.execute("delete from thumbrank.collection_progress where niche = %s", (niche,))
    connection.execute("delete from thumbrank.collection_queue where niche = %s", (niche,))
