"""What is usual for a channel: replaced per niche in one transaction."""

from dataclasses import dataclass

import psycopg

from thumbrank_core.paths import query


@dataclass(frozen=True)
class BaselineSummary:
    """A niche's baselines in four numbers. `median_vph` is the median channel's median views per hour."""

    channels: int
    videos: int
    median_vph: float | None
    median_videos: float | None


def replace_baselines(connection: psycopg.Connection, niche: str) -> BaselineSummary:
    """Recompute the baselines of every channel of the niche that has a video which counts."""
    connection.execute("delete from thumbrank.channel_baselines where niche = %s", (niche,))
    connection.execute(query("channel_baselines").encode(), {"niche": niche})
    row = connection.execute(
        "select count(*)::int, coalesce(sum(video_count), 0)::int, "
        "exp(percentile_cont(0.5) within group (order by median_log_vph)) - 1, "
        "percentile_cont(0.5) within group (order by video_count) from thumbrank.channel_baselines where niche = %s",
        (niche,),
    ).fetchone()
    assert row is not None, "an aggregate without group by returns one row"
    return BaselineSummary(*row)
