"""Collecting one niche: discover channels, vet them, list their uploads, read their videos. Every public video seen is kept.

Each batch is written and committed before the next is asked for, so that a killed run loses at most the requests in
flight and a second run ends with the same tables.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from thumbrank_core.batches import batched
from thumbrank_core.errors import ThumbrankError
from thumbrank_core.niches import NicheConfig
from thumbrank_core.policy import CollectionPolicy
from thumbrank_core.progress import track
from thumbrank_core.store.catalog import (
    Discovery,
    Miss,
    Source,
    record_channels,
    record_discoveries,
    record_misses,
    record_videos,
)
from thumbrank_core.store.database import Database
from thumbrank_core.youtube.client import MAX_IDS, YouTube
from thumbrank_core.youtube.errors import SkippableYouTubeError
from thumbrank_core.youtube.records import channel_of, time_of, video_of


@dataclass
class Collected:
    """What one niche's collection did. `calls` counts attempts sent to the API."""

    channels: int = 0
    videos: int = 0
    videos_new: int = 0
    elsewhere: int = 0
    misses: dict[str, int] = field(default_factory=dict[str, int])
    calls: int = 0


class NothingFoundError(ThumbrankError):
    """Discovery found no channel at all."""


def collect_niche(
    database: Database, api: YouTube, niche: str, config: NicheConfig, policy: CollectionPolicy, source: Source
) -> Collected:
    """Collect `niche` into the observed tables.

    Raises:
        YouTubeError: the API stopped us; what was written until then stays.
        NothingFoundError: no query of the niche found a channel.
    """
    calls_before = api.calls
    result = Collected()
    found = discover(database, api, niche, config, policy)
    if not found:
        raise NothingFoundError(
            f"No channel was found for {niche}: check its queries in config/niches.yaml, or name channels there."
        )
    playlists = _vet(database, api, niche, found, policy, source, result)
    video_ids = _list_uploads(database, api, niche, playlists, policy, result)
    _read_videos(database, api, niche, video_ids, policy, source, result)
    result.calls = api.calls - calls_before
    return result


def discover(database: Database, api: YouTube, niche: str, config: NicheConfig, policy: CollectionPolicy) -> list[str]:
    """Channel ids of the niche: the team's own list first, then what search finds, without repeats.

    `type=video` with publishedAfter finds active channels, `type=channel` finds those that name the topic.
    """
    found: dict[str, None] = dict.fromkeys(config.channels)
    with track(f"{niche}: searching", len(config.queries) * 2) as advance:
        for query in config.queries:
            seen: dict[str, Discovery] = {}
            for kind in ("channel", "video"):
                for channel_id in _search(api, query, kind, policy):
                    seen.setdefault(channel_id, Discovery(channel_id, query, len(seen), api.now))
                advance(1)
            with database.connection() as connection:
                record_discoveries(connection, niche, list(seen.values()))
            found.update(dict.fromkeys(seen))
    return list(found)


def _search(api: YouTube, query: str, kind: str, policy: CollectionPolicy) -> Iterator[str]:
    parameters: dict[str, object] = {"q": query, "type": kind}
    if kind == "video":
        after = api.now - timedelta(days=policy.window_days)
        parameters |= {"order": "date", "publishedAfter": after.strftime("%Y-%m-%dT%H:%M:%SZ")}
    for _ in range(policy.search_pages):
        answer = api.search(**parameters)
        for item in answer.get("items", []):
            yield str(item["id"]["channelId"] if kind == "channel" else item["snippet"]["channelId"])
        token = answer.get("nextPageToken")
        if token is None:
            return
        parameters["pageToken"] = token


def _vet(
    database: Database,
    api: YouTube,
    niche: str,
    found: Sequence[str],
    policy: CollectionPolicy,
    source: Source,
    result: Collected,
) -> list[tuple[str, str]]:
    """Record the channels that exist; returns (channel id, uploads playlist) of those that belong to this niche."""
    with track(f"{niche}: channels", len(found)) as advance:
        for batch in batched(found, MAX_IDS):
            answer = api.channels(batch)
            now = api.now
            channels = [channel_of(item, now, _expiry(now, policy), source) for item in answer.get("items", [])]
            gone = set(batch) - {channel.channel_id for channel in channels}
            with database.connection() as connection:
                written = record_channels(connection, niche, channels)
                record_misses(
                    connection,
                    niche,
                    [
                        Miss("channel", channel, "channel_gone", "channels.list does not return it.", now)
                        for channel in gone
                    ],
                )
            result.elsewhere += sum(count for owner, count in written.by_niche.items() if owner != niche)
            _count(result, "channel_gone", len(gone))
            advance(len(batch))
    with database.connection() as connection:
        rows = connection.execute(
            "select channel_id, uploads_playlist from thumbrank.channels where niche = %s and channel_id = any(%s) "
            "and uploads_playlist is not null order by subscriber_count desc nulls last, channel_id limit %s",
            (niche, list(found), policy.max_channels),
        ).fetchall()
    result.channels = len(rows)
    return [(str(channel), str(playlist)) for channel, playlist in rows]


def _list_uploads(
    database: Database,
    api: YouTube,
    niche: str,
    playlists: Sequence[tuple[str, str]],
    policy: CollectionPolicy,
    result: Collected,
) -> list[str]:
    """Ids of the uploads inside the window, without repeats; private and deleted ones are misses."""
    found: dict[str, None] = {}
    with track(f"{niche}: uploads", len(playlists)) as advance:
        for channel_id, playlist in playlists:
            misses: list[Miss] = []
            try:
                for item in _uploads(api, playlist, policy):
                    details: dict[str, Any] = item["contentDetails"]
                    if "videoPublishedAt" in details:
                        found[str(details["videoId"])] = None
                    else:
                        misses.append(
                            Miss(
                                "video",
                                str(details["videoId"]),
                                "private_or_deleted",
                                "Its uploads entry has no publication time.",
                                api.now,
                            )
                        )
            except SkippableYouTubeError as error:
                misses.append(Miss("channel", channel_id, error.reason, str(error), api.now))
            if misses:
                with database.connection() as connection:
                    record_misses(connection, niche, misses)
                for miss in misses:
                    _count(result, miss.reason, 1)
            advance(1)
    return list(found)


def _uploads(api: YouTube, playlist: str, policy: CollectionPolicy) -> Iterator[dict[str, Any]]:
    """Items newest upload first, until the window or the limit ends.

    The order is by upload, not by publication (a premiere can sit deeper), so a whole page must be too old before we stop.
    """
    token: str | None = None
    left = policy.per_channel
    while left > 0:
        answer = api.uploads(playlist, token)
        items = answer.get("items", [])
        oldest = api.now - timedelta(days=policy.window_days)
        published = [_published(item) for item in items]
        for item, when in zip(items[:left], published, strict=False):
            if when is None or when >= oldest:
                yield item
        left -= len(items)
        token = answer.get("nextPageToken")
        if token is None or not any(when is not None and when >= oldest for when in published):
            return


def _published(item: dict[str, Any]) -> datetime | None:
    text = item["contentDetails"].get("videoPublishedAt")
    return None if text is None else time_of(text)


def _read_videos(
    database: Database,
    api: YouTube,
    niche: str,
    video_ids: Sequence[str],
    policy: CollectionPolicy,
    source: Source,
    result: Collected,
) -> None:
    with track(f"{niche}: videos", len(video_ids)) as advance:
        for batch in batched(video_ids, MAX_IDS):
            answer = api.videos(batch)
            now = api.now
            videos = [video_of(item, now, _expiry(now, policy), source) for item in answer.get("items", [])]
            gone = set(batch) - {video.video_id for video in videos}
            with database.connection() as connection:
                written = record_videos(connection, videos)
                record_misses(
                    connection,
                    niche,
                    [Miss("video", video, "not_returned", "videos.list does not return it.", now) for video in gone],
                )
            result.videos += len(videos)
            result.videos_new += written.inserted
            _count(result, "not_returned", len(gone))
            advance(len(batch))


def _expiry(now: datetime, policy: CollectionPolicy) -> datetime:
    return now + timedelta(days=30)


def _count(result: Collected, reason: str, amount: int) -> None:
    if amount:
        result.misses[reason] = result.misses.get(reason, 0) + amount
