"""The one query of the Analytics API that this world answers: a channel's views by day. Pure.

Everything else is refused as not supported, above all `videoThumbnailImpressions` and
`videoThumbnailImpressionsClickRate`, which the real service documents and refuses with every dimension.
"""

from datetime import date, datetime, timedelta

import numpy as np

from thumbrank_core.simulator.api_errors import Json
from thumbrank_core.simulator.channels import Channel
from thumbrank_core.simulator.reporting_access import forbidden, invalid_argument, query_not_supported
from thumbrank_core.simulator.reporting_jobs import last_ready_day, pacific_day, pacific_midnight
from thumbrank_core.simulator.reporting_reach import reported_videos, views_at
from thumbrank_core.simulator.requests import Query
from thumbrank_core.simulator.world import World

_UNSUPPORTED = ("filters", "maxResults", "startIndex", "currency")


def views_by_day(world: World, owner: Channel, query: Query, now: datetime) -> Json:
    """The result table; without `rows` where there is nothing, as also for the last two to three days.

    ApiError 400 for a query that is malformed or is not this one, 403 for another owner's channel.
    """
    identity = query.get("ids")
    start, end = _day(query, "startDate"), _day(query, "endDate")
    metrics = query.all("metrics")
    if identity is None or not identity.startswith("channel==") or not metrics:
        raise invalid_argument("The parameters ids (channel==MINE or channel==CHANNEL_ID) and metrics are required.")
    if identity not in ("channel==MINE", f"channel=={owner.id}"):
        raise forbidden()
    if start > end:
        raise invalid_argument("startDate must not lie after endDate.")
    if (
        metrics != ["views"]
        or query.all("dimensions") != ["day"]
        or query.get("sort") not in (None, "day")
        or any(query.get(name) for name in _UNSUPPORTED)
    ):
        raise query_not_supported()
    table: Json = {
        "kind": "youtubeAnalytics#resultTable",
        "columnHeaders": [
            {"name": "day", "columnType": "DIMENSION", "dataType": "STRING"},
            {"name": "views", "columnType": "METRIC", "dataType": "INTEGER"},
        ],
    }
    rows = _rows(world, owner, start, min(end, last_ready_day(now)))
    return {**table, "rows": rows} if rows else table


def _rows(world: World, owner: Channel, start: date, end: date) -> list[list[object]]:
    """Days with views, oldest first; the first publication bounds how far back it looks."""
    videos = reported_videos(world, owner.id)
    if not videos:
        return []
    start = max(start, min(pacific_day(video.published_at) for video in videos))
    days = [start + timedelta(days=number) for number in range((end - start).days + 1)]
    if not days:
        return []
    midnights = [pacific_midnight(day) for day in (*days, end + timedelta(days=1))]
    # Whole views at each midnight rather than rounded days: so days add up, whatever the range asked for.
    views = np.floor(views_at(world, videos, midnights)).sum(axis=0)
    gained = np.diff(views).astype(np.int64).tolist()
    return [[day.isoformat(), count] for day, count in zip(days, gained, strict=True) if count]


def _day(query: Query, name: str) -> date:
    text = query.get(name) or ""
    try:
        day = date.fromisoformat(text)
    except ValueError as error:
        raise invalid_argument(f"Invalid value for {name}: '{text}'. Use YYYY-MM-DD.") from error
    if day.isoformat() != text:
        raise invalid_argument(f"Invalid value for {name}: '{text}'. Use YYYY-MM-DD.")
    return day
