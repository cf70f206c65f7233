"""The pictures of a niche: which are wanted, and what is written down of each. A miss is a row with its reason.

A picture is wanted where a video lists one and none is stored, and again once the stored one was last seen long enough ago
that it would soon have to go. What comes back the same is seen once more; what changed is a version of its own.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, LiteralString

import psycopg

from thumbrank_core.batches import batched
from thumbrank_core.exclusions import Exclusions
from thumbrank_core.policy import Policy, RetentionPolicy
from thumbrank_core.progress import track
from thumbrank_core.store.catalog import Miss, PictureSeen, clear_misses, record_misses, record_pictures
from thumbrank_core.store.database import Database
from thumbrank_core.store.images import ImageStore
from thumbrank_core.store.picture import PictureError
from thumbrank_core.store.tombstones import forgotten
from thumbrank_core.youtube.download import Downloader
from thumbrank_core.youtube.in_flight import results

COMMIT_EVERY = 200
"""Pictures per transaction: what a killed run may have to fetch again."""
READ_AT_ONCE = 1000
"""Wanted pictures read from the database at a time, so that memory does not grow with the niche."""

# A team's own picture is never stale: it is what the team says was up.
_WANTED: LiteralString = """
    from thumbrank.thumbnails t join thumbrank.channels c using (channel_key)
    where c.niche = %(niche)s and t.thumbnail_url is not null
    and not exists (
        select from thumbrank.picture_versions p
        where p.video_key = t.video_key and (p.last_seen_at > %(stale)s or t.source = 'import')
    )
    and not exists (
        select from thumbrank.tombstones x where x.reason = 'forgotten'
        and ((x.kind = 'video' and x.item_id = t.video_id) or (x.kind = 'channel' and x.item_id = c.channel_id))
    )
    and not t.video_id = any(%(excluded)s) and not c.channel_id = any(%(excluded_channels)s)
"""


@dataclass(frozen=True)
class PictureRequest:
    """A picture to fetch. `expires`: whether it is API data, which may stay only so long."""

    video_key: int
    video_id: str
    url: str
    expires: bool


@dataclass
class Fetched:
    """What one niche's downloads did. `stored` were had, `versions` of them are new to their video; `bytes` is their size."""

    wanted: int = 0
    stored: int = 0
    versions: int = 0
    bytes: int = 0
    misses: dict[str, int] = field(default_factory=dict[str, int])


def fetch_pictures(
    database: Database,
    images: ImageStore,
    niche: str,
    policy: Policy,
    exclusions: Exclusions,
    *,
    now: datetime | None = None,
) -> Fetched:
    """Fetch what is wanted; each result is a stored picture or a recorded miss, committed every 200.

    Args:
        database: where rows go.
        images: where pictures go.
        niche: whose videos.
        policy: how many downloads at once, from which day on a picture is read again, and how long it may stay.
        exclusions: what is never asked for.
        now: the time from which ages are counted. None: this machine's clock; for a simulator's videos, whose clock
            stands still, the time of their last collection.

    Raises:
        ThumbrankError: the store or the database cannot be written; what was committed stays.
    """
    begun, started = now or _clock(database, niche), time.monotonic()
    stale = begun - timedelta(days=policy.retention.refresh_from_day)

    def clock() -> datetime:
        return begun + timedelta(seconds=time.monotonic() - started)

    workers = policy.collection.downloads
    scope = _scope(niche, stale, exclusions)
    result = Fetched(wanted=_count_wanted(database, scope))
    with (
        track(f"{niche}: pictures", result.wanted) as advance,
        Downloader(images, at_once=workers, per_host=policy.collection.downloads_per_host, clock=clock) as downloader,
    ):
        fetch, wanted = (
            _fetcher(downloader, clock, policy.retention),
            wanted_pictures(database, niche, stale, exclusions),
        )
        with closing(results(fetch, wanted, workers=workers)) as outcomes:
            for batch in batched(outcomes, COMMIT_EVERY):
                _write(database, niche, batch, result)
                advance(len(batch))
    return result


def _scope(niche: str, stale: datetime, exclusions: Exclusions) -> dict[str, object]:
    """What `_WANTED` is written in terms of."""
    return {
        "niche": niche,
        "stale": stale,
        "excluded": list(exclusions.videos),
        "excluded_channels": list(exclusions.channels),
    }


def wanted_pictures(
    database: Database, niche: str, stale: datetime, exclusions: Exclusions
) -> Iterator[PictureRequest]:
    """Videos of the niche that list a 16:9 picture of which no version was seen after `stale`; none forgotten, none excluded.

    Each is given once, also when what is written meanwhile leaves it wanted.
    """
    scope, after = _scope(niche, stale, exclusions), -1
    while rows := _read_wanted(database, scope, after):
        yield from rows
        after = rows[-1].video_key


def _read_wanted(database: Database, scope: dict[str, object], after: int) -> list[PictureRequest]:
    statement: LiteralString = (
        f"select t.video_key, t.video_id, t.thumbnail_url, t.source = 'youtube_api' {_WANTED}"
        "and t.video_key > %(after)s order by t.video_key limit %(limit)s"
    )
    with database.connection() as connection:
        rows = connection.execute(statement, scope | {"after": after, "limit": READ_AT_ONCE}).fetchall()
    return [PictureRequest(*row) for row in rows]


def _count_wanted(database: Database, scope: dict[str, object]) -> int:
    with database.connection() as connection:
        return _one(connection, f"select count(*)::int {_WANTED}", scope)


def _clock(database: Database, niche: str) -> datetime:
    statement: LiteralString = (
        "select max(t.fetched_at) from thumbrank.thumbnails t join thumbrank.channels c using (channel_key) "
        "where c.niche = %(niche)s and t.source = 'simulator'"
    )
    with database.connection() as connection:
        return _one(connection, statement, {"niche": niche}) or datetime.now(UTC)


def _one(connection: psycopg.Connection, statement: LiteralString, values: dict[str, object]) -> Any:
    row = connection.execute(statement, values).fetchone()
    assert row is not None, "an aggregate without group by returns one row"
    return row[0]


def _fetcher(
    downloader: Downloader, clock: Callable[[], datetime], retention: RetentionPolicy
) -> Callable[[PictureRequest], PictureSeen | Miss]:
    """From what is wanted to what is written down of it, in whichever thread."""

    def expiry(request: PictureRequest, seen_at: datetime) -> datetime | None:
        return seen_at + timedelta(days=retention.days) if request.expires else None

    def fetch(request: PictureRequest) -> PictureSeen | Miss:
        try:
            found = downloader.fetch(request.url)
        except PictureError as error:
            at = clock()
            return Miss("picture", request.video_id, error.reason, str(error), at, expiry(request, at))
        return PictureSeen(request.video_id, found.picture, request.url, found.seen_at, expiry(request, found.seen_at))

    return fetch


def _write(database: Database, niche: str, outcomes: Sequence[PictureSeen | Miss], result: Fetched) -> None:
    seen = [outcome for outcome in outcomes if isinstance(outcome, PictureSeen)]
    missed = [outcome for outcome in outcomes if isinstance(outcome, Miss)]
    with database.connection() as connection:
        banned = forgotten(connection, "video", {*(p.video_id for p in seen), *(m.item_id for m in missed)})
        seen = [picture for picture in seen if picture.video_id not in banned]
        missed = [miss for miss in missed if miss.item_id not in banned]
        written = record_pictures(connection, seen)
        clear_misses(connection, "picture", [picture.video_id for picture in seen])
        record_misses(connection, niche, missed)
    result.stored += written.inserted + written.updated
    result.versions += written.inserted
    result.bytes += sum(picture.picture.bytes for picture in seen)
    for miss in missed:
        result.misses[miss.reason] = result.misses.get(miss.reason, 0) + 1
