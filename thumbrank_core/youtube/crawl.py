"""Where a niche's collection stands: begun, resumed, paused, complete. The rows behind it live in Postgres only.

What belongs here: the life of one collection and the context that its stages share. What a stage does is in stages/.
"""

import dataclasses
import os
import socket
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import psutil
import psycopg

from thumbrank_core.errors import ThumbrankError
from thumbrank_core.exclusions import Exclusions
from thumbrank_core.niches import NicheConfig
from thumbrank_core.policy import Policy
from thumbrank_core.store.catalog import Miss, MissKind, Source
from thumbrank_core.youtube.lifetimes import Lifetimes
from thumbrank_core.youtube.quota import LEASE, pacific_date

NOT_BEGUN = uuid.UUID(int=0)
"""The crawl id of a collection that exists only in a forecast."""

STALE = timedelta(days=7)
"""An unfinished collection that nobody has continued for so long begins anew: its page tokens and its window have aged."""

REFUSED_FOR = timedelta(days=7)
"""How long a refusal of batchGetStats is believed."""


class CollectionRunningError(ThumbrankError):
    """Another process collects this niche."""


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
    run_at: datetime
    """When this run of it began."""
    resumed: bool
    batch_refused: bool = False
    """videos.batchGetStats was refused lately."""


@dataclass(frozen=True)
class CrawlContext:
    """What every stage needs to know."""

    niche: str
    config: NicheConfig
    policy: Policy
    exclusions: Exclusions
    source: Source
    crawl: Crawl
    tally: Tally
    only: frozenset[str] = frozenset()
    """The stages that were asked for; empty: all."""

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
        """What was fetched later than this need not be read again. Counted from this run: what waits must not expire."""
        return self.crawl.run_at - timedelta(days=self.policy.retention.refresh_from_day)

    @property
    def since(self) -> datetime:
        """What was seen from here on need not be seen again: since the collection's start, and where somebody asks for a
        snapshot beside an unfinished collection of days ago, since today.
        """
        began_today = pacific_date(self.crawl.started_at) == pacific_date(self.crawl.run_at)
        return self.crawl.run_at if "snapshot" in self.only and not began_today else self.crawl.started_at

    @property
    def parameters(self) -> dict[str, object]:
        """What the stages' SQL is written in terms of."""
        return {
            "niche": self.niche,
            "source": self.source,
            "oldest": self.oldest_published,
            "fresh_since": self.fresh_since,
            "since": self.since,
            "excluded": list(self.exclusions.videos),
            "excluded_channels": list(self.exclusions.channels),
        }

    def miss(self, kind: MissKind, item_id: str, reason: str, detail: str, at: datetime) -> Miss:
        """A miss, counted."""
        self.tally.miss(reason)
        return Miss(kind, item_id, reason, detail, at, self.lifetimes.content_until(at))


def open_crawl(connection: psycopg.Connection[Any], niche: str, now: datetime) -> Crawl | None:
    """The unfinished collection of the niche that a run at `now` would continue, or None."""
    row = connection.execute(
        "select crawl_id, started_at, batch_refused_at from thumbrank.collection_runs "
        "where niche = %s and state <> 'complete' and last_run_at > %s",
        (niche, now - STALE),
    ).fetchone()
    return None if row is None else Crawl(row[0], row[1], now, resumed=True, batch_refused=_lately(row[2], now))


def new_crawl(connection: psycopg.Connection[Any], niche: str, now: datetime) -> Crawl:
    """A collection that begins at `now`; nothing is written."""
    row = connection.execute(
        "select batch_refused_at from thumbrank.collection_runs where niche = %s", (niche,)
    ).fetchone()
    return Crawl(NOT_BEGUN, now, now, resumed=False, batch_refused=_lately(row[0] if row else None, now))


def begin(connection: psycopg.Connection[Any], niche: str, now: datetime) -> Crawl:
    """Resume the unfinished collection, or start one.

    Raises:
        CollectionRunningError: another process is at it.
    """
    _refuse_a_second(connection, niche)
    crawl = open_crawl(connection, niche, now)
    if crawl is not None:
        connection.execute(
            "update thumbrank.collection_runs set state = 'running', reason = '', resumes_at = null, owner = %s, "
            "last_run_at = %s where niche = %s",
            (_me(), now, niche),
        )
        return crawl
    _clear(connection, niche)
    crawl = dataclasses.replace(new_crawl(connection, niche, now), crawl_id=uuid.uuid4())
    connection.execute(
        "insert into thumbrank.collection_runs (niche, crawl_id, started_at, last_run_at, owner, state) "
        "values (%s, %s, %s, %s, %s, 'running') on conflict (niche) do update set crawl_id = excluded.crawl_id, "
        "started_at = excluded.started_at, last_run_at = excluded.last_run_at, owner = excluded.owner, planned = '{}', "
        "finished_at = null, state = 'running', reason = '', resumes_at = null",
        (niche, crawl.crawl_id, now, now, _me()),
    )
    return crawl


def planned_stages(connection: psycopg.Connection[Any], niche: str, since: datetime | None = None) -> set[str]:
    """Stages whose work has been written down; with `since`, on its Pacific day."""
    row = connection.execute(
        "select planned from thumbrank.collection_runs where niche = %s and state <> 'complete'", (niche,)
    ).fetchone()
    planned: dict[str, str] = row[0] if row else {}
    return {stage for stage, day in planned.items() if since is None or day == pacific_date(since).isoformat()}


def mark_planned(connection: psycopg.Connection[Any], niche: str, stage: str, now: datetime) -> None:
    """In the transaction that wrote the stage's work."""
    connection.execute(
        "update thumbrank.collection_runs set planned = planned || jsonb_build_object(%s::text, %s::text) where niche = %s",
        (stage, pacific_date(now).isoformat(), niche),
    )


def mark_refused(connection: psycopg.Connection[Any], niche: str, now: datetime) -> None:
    """batchGetStats was refused; the next forecast plans with videos.list."""
    connection.execute("update thumbrank.collection_runs set batch_refused_at = %s where niche = %s", (now, niche))


def pause(connection: psycopg.Connection[Any], niche: str, reason: str, resumes_at: datetime, now: datetime) -> None:
    """The collection stands still, and says why and until when."""
    connection.execute(
        "update thumbrank.collection_runs set state = 'partial', reason = %s, resumes_at = %s, last_run_at = %s, "
        "owner = null where niche = %s",
        (reason, resumes_at, now, niche),
    )


def finish(connection: psycopg.Connection[Any], niche: str, now: datetime) -> None:
    """Everything was asked: nothing of the progress is needed any more."""
    _clear(connection, niche)
    connection.execute(
        "update thumbrank.collection_runs set state = 'complete', finished_at = %s, last_run_at = %s, planned = '{}', "
        "reason = '', resumes_at = null, owner = null where niche = %s",
        (now, now, niche),
    )


def _lately(refused_at: datetime | None, now: datetime) -> bool:
    return refused_at is not None and refused_at > now - REFUSED_FOR


def _me() -> str:
    return f"{socket.gethostname()}:{os.getpid()}"


def _refuse_a_second(connection: psycopg.Connection[Any], niche: str) -> None:
    """A killed process on this machine is seen to be gone at once; one of another machine once it charges nothing more."""
    row = connection.execute(
        "select owner, exists (select from thumbrank.quota_ledger q where q.niche = r.niche and q.renewed_at > now() - %s) "
        "from thumbrank.collection_runs r where r.niche = %s and r.state = 'running' and r.owner is not null for update of r",
        (LEASE, niche),
    ).fetchone()
    if row is None or row[0] == _me():
        return
    host, _, process = str(row[0]).rpartition(":")
    alive = psutil.pid_exists(int(process)) if host == socket.gethostname() else bool(row[1])
    if alive:
        raise CollectionRunningError(
            f"Another collection of {niche} is running (process {process} on {host}): wait for it, or stop it."
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
