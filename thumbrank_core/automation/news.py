"""What owners brought since it was last looked at: outcomes of A/B tests, and real click-through rates. Reads only.

What belongs here: how much is new. Whether that is enough to evaluate or to train is decided elsewhere. Counts are of rows,
videos and channels; impressions are an owner's own figures and are never added up across owners.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, LiteralString

from thumbrank_core.store.database import Connection


@dataclass(frozen=True)
class News:
    """`count` rows came after `since`, the last of them at `newest`; `since` is None where nothing was looked at yet. `says`: one
    sentence, which names nobody."""

    since: datetime | None
    newest: datetime
    count: int
    says: str


def ab_news(connection: Connection) -> News | None:
    """The outcomes that were imported or mended since the newest model was last evaluated; None: none were.

    The newest is the last registered one that was evaluated at all: rows of an older bundle, or of one from elsewhere, which
    `thumbrank evaluate --model` writes too, say nothing of it. An evaluation counts from when it began to read. A file that is
    being imported in that very moment may be seen by neither: the next evaluation, whatever asks for it, has it.
    """
    since = _one(
        connection,
        "select max(evaluated_at) from thumbrank.model_evaluations "
        "where model_version = (select max(model_version) from thumbrank.model_evaluations)",
    )
    count, won, channels, newest = _row(
        connection,
        "select count(*), count(*) filter (where outcome = 'winner'), count(distinct owner_id), max(imported_at) "
        "from thumbrank.ab_outcomes where %(since)s::timestamptz is null or imported_at > %(since)s",
        since,
    )
    if count == 0:
        return None
    says = f"{_several(count, 'A/B test')} of {_several(channels, 'channel')}, {won:,} with a winner, came since the last evaluation"
    return News(since, newest, count, f"{says}{_time(since)}.")


def owner_rates_news(connection: Connection) -> News | None:
    """The rows with impressions that were stored since a training was last asked for, or since the first evaluation where none
    was asked for yet; None: none were.

    By when they were stored here: YouTube's own time of issue is days older where reports are read late, and months older where
    a Studio export was kept, so that by it rows would be missed that no model has learnt from. A month that was skipped asked
    for no training.
    """
    since = _one(
        connection,
        "select coalesce((select max(requested_at) from thumbrank.training_months where state <> 'skipped'), "
        "(select min(evaluated_at) from thumbrank.model_evaluations))",
    )
    count, videos, channels, newest = _row(
        connection,
        "select count(*), count(distinct (owner_id, video_id)), count(distinct owner_id), max(stored_at) "
        "from thumbrank.reach_daily where impressions > 0 and (%(since)s::timestamptz is null or stored_at > %(since)s)",
        since,
    )
    if count == 0:
        return None
    says = (
        f"{_several(count, 'row')} of real click-through rates, of {_several(videos, 'video')} of {_several(channels, 'channel')}, "
        "came since the last training was asked for"
    )
    return News(since, newest, count, f"{says}{_time(since)}.")


def _one(connection: Connection, query: LiteralString) -> datetime | None:
    return _row(connection, query, None)[0]


def _row(connection: Connection, query: LiteralString, since: datetime | None) -> tuple[Any, ...]:
    row = connection.execute(query, {"since": since}).fetchone()
    assert row is not None, "an aggregate without group by returns one row"
    return row


def _time(since: datetime | None) -> str:
    return f" ({since.astimezone(UTC):%Y-%m-%d %H:%M} UTC)" if since else ", which there was none of yet"


def _several(n: int, what: str) -> str:
    return f"{n:,} {what}{'s' * (n != 1)}"
