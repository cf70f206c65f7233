"""What is usual for a channel: replaced per niche in one transaction."""

from dataclasses import dataclass
from datetime import datetime

import psycopg

from thumbrank_core.paths import query


@dataclass(frozen=True)
class BaselineSummary:
    """A niche's baselines in a few numbers.

    `median_vph`: the median channel's median views per hour. `median_growth`: the median channel's slope of ln(1 + views) on
    ln(age). `as_of`: the newest counts.
    """

    channels: int
    videos: int
    median_vph: float | None
    median_videos: float | None
    median_growth: float | None
    as_of: datetime | None


def replace_baselines(connection: psycopg.Connection, niche: str) -> BaselineSummary:
    """Recompute the baselines of every channel of the niche that has a video which counts."""
    connection.execute("delete from thumbrank.channel_baselines where niche = %s", (niche,))
    connection.execute(query("channel_baselines").encode(), {"niche": niche})
    row = connection.execute(
        "select count(*)::int, coalesce(sum(video_count), 0)::int, "
        "exp(percentile_cont(0.5) within group (order by median_log_vph)) - 1, "
        "percentile_cont(0.5) within group (order by video_count), percentile_cont(0.5) within group (order by growth), "
        "max(as_of) from thumbrank.channel_baselines where niche = %s",
        (niche,),
    ).fetchone()
    assert row is not None, "an aggregate without group by returns one row"
    return BaselineSummary(*row)
