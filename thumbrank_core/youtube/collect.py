"""Collecting one niche: discover, vet, list, hydrate, refresh, snapshot. Every public video seen is kept.

What belongs here: the order of the stages, the budget, and what a run says of itself. A run stops cleanly where its
budget ends or YouTube says so; the next one goes on at the same place and ends with the same tables.
"""

import contextlib
import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

import psycopg

from thumbrank_core.errors import ThumbrankError
from thumbrank_core.exclusions import Exclusions
from thumbrank_core.niches import NicheConfig
from thumbrank_core.policy import Policy
from thumbrank_core.progress import track
from thumbrank_core.store.catalog import Source
from thumbrank_core.store.database import Database
from thumbrank_core.store.errors import StoreError
from thumbrank_core.youtube import crawl as crawls
from thumbrank_core.youtube.client import YouTube
from thumbrank_core.youtube.crawl import CrawlContext, Tally
from thumbrank_core.youtube.forecast import Forecast, forecast
from thumbrank_core.youtube.quota import QuotaLedger
from thumbrank_core.youtube.stages.discover import Discover
from thumbrank_core.youtube.stages.hydrate import Hydrate, ReadVideos, Refresh
from thumbrank_core.youtube.stages.listing import List
from thumbrank_core.youtube.stages.snapshot import Snapshot
from thumbrank_core.youtube.stages.trainability import Trainability
from thumbrank_core.youtube.stages.vet import Vet
from thumbrank_core.youtube.waves import Pause, Stage, run_stage

StageName = Literal["discover", "vet", "list", "hydrate", "refresh", "snapshot", "trainability"]

STAGES: dict[StageName, Callable[[CrawlContext], Stage[Any]]] = {
    "discover": Discover,
    "vet": Vet,
    "list": List,
    "hydrate": Hydrate,
    "refresh": Refresh,
    "snapshot": Snapshot,
    "trainability": Trainability,
}
"""In the order in which they run."""

CHAIN: tuple[StageName, ...] = ("discover", "vet", "list", "hydrate")
"""Each works on what the one before it found: a collection that began one of them is complete after the last."""


@dataclass
class Collected:
    """What one run of a niche's collection did. `units` were charged by this run, a unit an attempt."""

    state: Literal["complete", "partial"] = "complete"
    reason: str = ""
    resumes_at: datetime | None = None
    resumed: bool = False
    channels: int = 0
    videos: int = 0
    videos_new: int = 0
    snapshots: int = 0
    elsewhere: int = 0
    misses: dict[str, int] = field(default_factory=dict[str, int])
    units: dict[str, int] = field(default_factory=dict[str, int])
    forecast_upper: dict[str, int] = field(default_factory=dict[str, int])

    @property
    def headline(self) -> str:
        """One line for people."""
        if self.state == "complete":
            return "complete"
        return f"partial, resumes at {self.resumes_at:%Y-%m-%d %H:%M} UTC: {self.reason}"


class NothingFoundError(ThumbrankError):
    """Discovery found no channel at all."""


def forecast_niche(
    database: Database,
    api: YouTube,
    niche: str,
    config: NicheConfig,
    policy: Policy,
    source: Source,
    exclusions: Exclusions,
    *,
    only: Sequence[StageName] = (),
    budget: int | None = None,
    now: datetime | None = None,
) -> Forecast:
    """What `collect_niche` with the same arguments would spend. Writes nothing, and with `now` (aware) sends nothing; None: the
    server is asked for the time, which costs no unit."""
    now = now or api.ask_the_time()
    with database.connection() as connection:
        found = crawls.open_crawl(connection, niche, now) or crawls.new_crawl(connection, niche, now)
        context = CrawlContext(niche, config, policy, exclusions, source, found, Tally(), frozenset(only))
        return _capped(forecast(connection, context, _stages(policy, only), now), budget)


def collect_niche(
    database: Database,
    api: YouTube,
    niche: str,
    config: NicheConfig,
    policy: Policy,
    source: Source,
    exclusions: Exclusions,
    *,
    only: Sequence[StageName] = (),
    budget: int | None = None,
) -> Collected:
    """Collect `niche` into the observed tables, or go on where an unfinished collection stands.

    Args:
        database: migrated.
        api: a client; this run's ledger becomes its meter.
        niche: its key.
        config: queries and channels.
        policy: limits, lifetimes, units a day.
        source: what rows are marked with.
        exclusions: what is never asked for.
        only: these stages; all, unless named.
        budget: units of the common bucket that this run may spend at most.

    Raises:
        FatalYouTubeError: the API refuses us; what was written until then stays, and the next run goes on.
        CollectionRunningError: another process collects this niche.
        NothingFoundError: no query of the niche found a channel.
    """
    stages = _stages(policy, only)
    ledger = QuotaLedger(database, policy.quota, niche, lambda: api.now)
    api.meter = ledger
    now = api.ask_the_time()
    with database.connection() as connection:
        crawl = crawls.begin(connection, niche, now)
        context = CrawlContext(niche, config, policy, exclusions, source, crawl, Tally(), frozenset(only))
        # Queries and channels may have been added since the last run; planning them again never doubles.
        for name in ("discover", "vet"):
            if name in stages:
                STAGES[name](context).plan(connection)
                crawls.mark_planned(connection, niche, name, now)
        planned = _capped(forecast(connection, context, stages, now), budget)
    ledger.cap(planned.upper)
    ledger.reserve()
    pauses: dict[StageName, Pause] = {}
    why = "it was interrupted"
    ended = False
    try:
        for name in stages:
            # What one of these has not found yet, the next cannot choose from; stored videos are refreshed in any case.
            if name in (*CHAIN, "trainability") and any(earlier in CHAIN for earlier in pauses):
                continue
            pause = _run(database, api, ledger, context, name)
            if pause is not None:
                pauses[name] = pause
        ended = True
    except ThumbrankError as error:
        why = str(error)
        raise
    finally:
        if not ended:
            with contextlib.suppress(StoreError):  # where the database is gone, the first error says so
                ledger.release()
                _pause(database, context, Pause(why, context.crawl.run_at))
    ledger.release()
    return _result(database, api, context, ledger, planned, list(pauses.values()))


def _run(database: Database, api: YouTube, ledger: QuotaLedger, context: CrawlContext, name: StageName) -> Pause | None:
    stage = STAGES[name](context)
    with database.connection() as connection:
        if _to_plan(connection, stage, context):
            stage.plan(connection)
            crawls.mark_planned(connection, context.niche, name, context.crawl.run_at)
        if isinstance(stage, Hydrate):
            stage.prune(connection)
        left = stage.remaining(connection)
    if name == "vet" and not left:
        _require_channels(database, context)
    with track(f"{context.niche}: {name}", left) as advance:
        pause = run_stage(database, stage, api, ledger, context.policy.collection.requests, advance)
    if isinstance(stage, Snapshot) and stage.refused:
        with database.connection() as connection:
            crawls.mark_refused(connection, context.niche, api.now)
        pause = Pause("videos.batchGetStats is refused; the next run reads the counts with videos.list", api.now)
    if isinstance(stage, ReadVideos) and left:
        with database.connection() as connection:
            # The stages after this one join tables that have just grown from nothing, long before autovacuum looks at them.
            connection.execute("analyze thumbrank.thumbnails, thumbrank.view_snapshots, thumbrank.collection_queue")
    return pause


def _to_plan(connection: psycopg.Connection[Any], stage: Stage[Any], context: CrawlContext) -> bool:
    """Once a day: a collection that waits for days must not let what is stored expire. What is left is done first."""
    if stage.name in crawls.planned_stages(connection, context.niche, context.crawl.run_at):
        return False
    return stage.name not in crawls.planned_stages(connection, context.niche) or not stage.remaining(connection)


def _require_channels(database: Database, context: CrawlContext) -> None:
    with database.connection() as connection:
        if "discover" not in crawls.planned_stages(connection, context.niche):
            return  # nobody asked for a search
        found = connection.execute(
            "select from thumbrank.collection_progress where niche = %s and stage = 'vet' "
            "union all select from thumbrank.collection_progress where niche = %s and stage = 'discover' and not done limit 1",
            (context.niche, context.niche),
        ).fetchone()
    if found is None:
        raise NothingFoundError(
            f"No channel was found for {context.niche}: check its queries in config/niches.yaml, or name channels there."
        )


def _result(
    database: Database,
    api: YouTube,
    context: CrawlContext,
    ledger: QuotaLedger,
    planned: Forecast,
    pauses: Sequence[Pause],
) -> Collected:
    with database.connection() as connection:
        open_stages = _unfinished(connection, context.niche)
    result = Collected(
        **dataclasses.asdict(context.tally),
        resumed=context.crawl.resumed,
        units={bucket: units for bucket, units in ledger.spent.items() if units},
        forecast_upper={bucket: units for bucket, units in planned.upper.items() if units},
    )
    if pauses:
        # The latest end of all waiting: before it, a run could not finish.
        last = max(pauses, key=lambda pause: pause.resumes_at)
        result.state, result.reason, result.resumes_at = "partial", last.reason, last.resumes_at
        _pause(database, context, last)
    elif open_stages:
        result.state, result.resumes_at = "partial", api.now
        result.reason = f"{', '.join(open_stages)} not asked for yet"
        _pause(database, context, Pause(result.reason, api.now))
    else:
        with database.connection() as connection:
            crawls.finish(connection, context.niche, api.now)
    return result


def _unfinished(connection: psycopg.Connection[Any], niche: str) -> list[str]:
    """Stages with work left; of the chain from search to videos also those that were not asked for yet."""
    rows = connection.execute(
        "select distinct stage from thumbrank.collection_progress where niche = %s and not done "
        "union select distinct stage from thumbrank.collection_queue where niche = %s",
        (niche, niche),
    ).fetchall()
    waiting = {str(stage) for (stage,) in rows}
    planned = crawls.planned_stages(connection, niche)
    if planned & set(CHAIN):
        waiting |= set(CHAIN) - planned
    return [name for name in STAGES if name in waiting]


def _pause(database: Database, context: CrawlContext, why: Pause) -> None:
    with database.connection() as connection:
        crawls.pause(connection, context.niche, why.reason, why.resumes_at, context.crawl.run_at)


def _stages(policy: Policy, only: Sequence[StageName]) -> list[StageName]:
    """In order; trainability only where the policy asks for it."""
    return [
        name
        for name in STAGES
        if name in only or (not only and (name != "trainability" or policy.collection.trainability != "off"))
    ]


def _capped(found: Forecast, budget: int | None) -> Forecast:
    """The forecast under a budget for the common bucket."""
    if budget is None:
        return found
    return dataclasses.replace(
        found,
        buckets=tuple(
            dataclasses.replace(bucket, expected=min(bucket.expected, budget), upper=min(bucket.upper, budget))
            if bucket.bucket == "default"
            else bucket
            for bucket in found.buckets
        ),
    )
