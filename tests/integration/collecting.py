"""What the tests of collection share: a policy with other numbers, one call to collect, and what lies in the tables after.

What belongs here: no fixture and no test. `as_written` is what "the same tables" means everywhere: natural keys and
contents, without surrogate keys, ids of runs, and the address of the simulator that was asked.
"""

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from typing import Any, LiteralString

from psycopg import sql
from pydantic import SecretStr

from thumbrank_core.exclusions import Exclusions
from thumbrank_core.niches import NicheConfig
from thumbrank_core.policy import Policy, load_policy
from thumbrank_core.simulator.behaviour import Behaviour
from thumbrank_core.simulator.server import SimulatorServer
from thumbrank_core.simulator.world import WorldSettings
from thumbrank_core.store.catalog import Source
from thumbrank_core.store.database import Database
from thumbrank_core.youtube.client import YouTube
from thumbrank_core.youtube.collect import Collected, StageName, collect_niche, forecast_niche
from thumbrank_core.youtube.forecast import Forecast

NOBODY = Exclusions({}, {})
TECH = NicheConfig(title="Technology", queries=("tech review",))
TINY = WorldSettings(seed=3, niches=("tech",), channels_per_niche=6, videos_per_channel=14)
RICH = WorldSettings(seed=99, niches=("tech",), channels_per_niche=3, videos_per_channel=60)
"""Two pages of uploads a channel, and every kind and state of video: Shorts, live, recorded, premiere, deleted, private."""
PLENTY: dict[str, Any] = {"quota_search": 1_000_000, "quota_stats_batch": 1_000_000, "quota_default": 1_000_000}
DAY = 86_400.0
KEY = "AIzaSyD3xAmPl3-k3Y_oF-39-characterS-Aa1"
"""Made up, with the shape of a real one: AIza and 35 more."""

_TABLES: dict[str, LiteralString] = {
    "channels": (
        "select channel_id, niche::text, title, subscriber_count, video_count, view_count, uploads_playlist, country, "
        "made_for_kids, source from thumbrank.channels"
    ),
    "discoveries": "select channel_id, niche::text, query, rank from thumbrank.discoveries",
    "thumbnails": (
        "select t.video_id, c.channel_id, t.title, t.published_at, t.duration_seconds, t.live_broadcast, t.video_kind, "
        "t.category_id, t.language, t.tags, t.made_for_kids, t.thumbnail_url, t.source, t.trainability "
        "from thumbrank.thumbnails t join thumbrank.channels c using (channel_key)"
    ),
    "view_snapshots": (
        "select t.video_id, s.view_count, s.like_count, s.comment_count "
        "from thumbrank.view_snapshots s join thumbrank.thumbnails t using (video_key)"
    ),
    "misses": "select kind, item_id, niche::text, reason, detail from thumbrank.misses",
    "collection_progress": "select niche::text, stage, item, page_token, pages, done from thumbrank.collection_progress",
    "collection_queue": "select niche::text, stage, video_id from thumbrank.collection_queue",
    "collection_runs": "select niche::text, state, reason, planned from thumbrank.collection_runs",
}


def policy_of(profile: str = "default", **sections: Mapping[str, object]) -> Policy:
    """The shipped policy with these fields changed: `policy_of(quota={"default": 10})`. Eight requests, no trainability."""
    policy = load_policy(profile=profile)
    small = {"requests": 8, "trainability": "off", "trainability_sample": 5} | dict(sections.pop("collection", {}))
    changes = {"collection": small, **sections}
    return policy.model_copy(
        update={name: getattr(policy, name).model_copy(update=dict(fields)) for name, fields in changes.items()}
    )


POLICY = policy_of()


def generous(world: WorldSettings = TINY, **behaviour: Any) -> SimulatorServer:
    """A simulator that never runs out of quota by itself."""
    return SimulatorServer(world, behaviour=Behaviour(**(PLENTY | behaviour)))


def youtube_of(server: SimulatorServer, key: str = KEY, **options: Any) -> YouTube:
    """The real client."""
    return YouTube(SecretStr(key), server.endpoint, **options)


def collect(
    db: Database,
    youtube: YouTube | SimulatorServer,
    niche: str = "tech",
    config: NicheConfig = TECH,
    policy: Policy = POLICY,
    source: Source = "youtube_api",
    exclusions: Exclusions = NOBODY,
    *,
    only: Sequence[StageName] = (),
    budget: int | None = None,
) -> Collected:
    """`collect_niche`, with what most tests want. A server gets a new client, as every run of the product does."""
    api = youtube_of(youtube) if isinstance(youtube, SimulatorServer) else youtube
    return collect_niche(db, api, niche, config, policy, source, exclusions, only=only, budget=budget)


def forecast(
    db: Database,
    youtube: YouTube | SimulatorServer,
    niche: str = "tech",
    config: NicheConfig = TECH,
    policy: Policy = POLICY,
    source: Source = "youtube_api",
    exclusions: Exclusions = NOBODY,
    *,
    only: Sequence[StageName] = (),
    budget: int | None = None,
) -> Forecast:
    """`forecast_niche` for the same arguments."""
    api = youtube_of(youtube) if isinstance(youtube, SimulatorServer) else youtube
    return forecast_niche(db, api, niche, config, policy, source, exclusions, only=only, budget=budget)


def as_written(db: Database) -> dict[str, list[tuple[Any, ...]]]:
    """Every observed table, sorted, as two collections of the same world must leave it."""
    found: dict[str, list[tuple[Any, ...]]] = {}
    with db.connection() as connection:
        for table, statement in _TABLES.items():
            rows = [tuple(_comparable(value) for value in row) for row in connection.execute(statement).fetchall()]
            found[table] = sorted(rows, key=repr)
    return found


def every_row(db: Database) -> dict[str, list[str]]:
    """All of every table, to the last column: what a step that writes nothing leaves alone."""
    every = sql.SQL("select r::text from thumbrank.{} r")
    with db.connection() as connection:
        tables = connection.execute("select tablename from pg_tables where schemaname = 'thumbrank'").fetchall()
        return {
            name: sorted(row for (row,) in connection.execute(every.format(sql.Identifier(name))).fetchall())
            for (name,) in tables
        }


def rows(
    db: Database, statement: LiteralString, parameters: Sequence[Any] | Mapping[str, Any] | None = None
) -> list[tuple[Any, ...]]:
    """What a query finds."""
    with db.connection() as connection:
        return connection.execute(statement, parameters).fetchall()


def emptied(db: Database) -> Database:
    """The same database without a row of a collection: many times faster than a new one."""
    with db.connection() as connection:
        for table in (
            "channels",  # and with it videos and snapshots
            "discoveries",
            "misses",
            "quota_ledger",
            "collection_runs",
            "collection_progress",
            "collection_queue",
            "tombstones",
        ):
            connection.execute(f"delete from thumbrank.{table}")
    return db


def ledger(db: Database) -> dict[str, int]:
    """Units charged by bucket, all days and niches together."""
    return dict.fromkeys(("search", "stats_batch", "default"), 0) | dict(
        rows(db, "select bucket, sum(spent)::int from thumbrank.quota_ledger group by bucket")
    )


def ledger_by_day(db: Database) -> dict[date, dict[str, int]]:
    """The same by Pacific date, buckets without a unit left out."""
    found: dict[date, dict[str, int]] = {}
    for day, bucket, spent in rows(
        db, "select pacific_date, bucket, sum(spent)::int from thumbrank.quota_ledger where spent > 0 group by 1, 2"
    ):
        found.setdefault(day, {})[bucket] = spent
    return found


def attempts_from_here(server: SimulatorServer) -> Callable[[], dict[str, int]]:
    """What the server has counted by bucket since this call, for tests that share one server."""
    before = server.attempts()
    return lambda: {bucket: count - before[bucket] for bucket, count in server.attempts().items()}


def difference(after: Mapping[str, int], before: Mapping[str, int]) -> dict[str, int]:
    """`after` minus `before`, key by key, without zeros."""
    changed = Counter(after)
    changed.subtract(before)
    return {key: count for key, count in changed.items() if count}


def _comparable(value: object) -> object:
    return re.sub(r"^https?://127\.0\.0\.1:\d+", "", value) if isinstance(value, str) else value
