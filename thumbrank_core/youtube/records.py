"""What an answer of the Data API means: JSON in, the records of store/catalog.py out.

Counts are strings and may be missing (hidden, disabled, upcoming): missing is None, never 0. Live and upcoming videos
report a duration of P0D: unknown, not zero.
"""

import re
from datetime import UTC, datetime
from typing import Any

from thumbrank_core.store.catalog import ChannelSeen, Source, VideoSeen

_DURATION = re.compile(r"P(?:(\d+)W)?(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)(?:\.\d+)?S)?)?")
_UNIT_SECONDS = (604_800, 86_400, 3_600, 60, 1)
WIDE_SIZES = ("maxres", "medium")
"""The 16:9 sizes, best first; default, high and standard are 4:3 with black bars."""


def seconds_of(duration: str | None) -> int | None:
    """Seconds of an ISO 8601 duration; None where it is missing or zero (live, upcoming).

    Raises:
        ValueError: it is not a duration.
    """
    if not duration:
        return None
    match = _DURATION.fullmatch(duration)
    if match is None or duration in {"P", "PT"}:
        raise ValueError(f"'{duration}' is not an ISO 8601 duration")
    total = sum(int(part) * unit for part, unit in zip(match.groups(), _UNIT_SECONDS, strict=True) if part)
    return total or None


def time_of(text: str) -> datetime:
    """A timestamp of the API, with or without fractions of a second; UTC when it names no zone.

    Raises:
        ValueError: it is not a timestamp.
    """
    parsed = datetime.fromisoformat(text)
    return parsed.replace(tzinfo=UTC) if parsed.tzinfo is None else parsed.astimezone(UTC)


def count_of(value: object) -> int | None:
    """A count as the API sends it (a string), or None where it is missing."""
    return None if value is None else int(str(value))


def thumbnail_url(thumbnails: dict[str, Any]) -> str | None:
    """The URL of the best 16:9 size that the API lists; sizes it does not list do not exist."""
    return next((str(thumbnails[size]["url"]) for size in WIDE_SIZES if size in thumbnails), None)


def channel_of(item: dict[str, Any], seen_at: datetime, expires_at: datetime | None, source: Source) -> ChannelSeen:
    """A channels.list item."""
    snippet, statistics = item.get("snippet", {}), item.get("statistics", {})
    hidden = bool(statistics.get("hiddenSubscriberCount"))
    return ChannelSeen(
        channel_id=str(item["id"]),
        title=snippet.get("title"),
        subscriber_count=None if hidden else count_of(statistics.get("subscriberCount")),
        video_count=count_of(statistics.get("videoCount")),
        view_count=count_of(statistics.get("viewCount")),
        uploads_playlist=item.get("contentDetails", {}).get("relatedPlaylists", {}).get("uploads"),
        country=snippet.get("country"),
        source=source,
        fetched_at=seen_at,
        expires_at=expires_at,
    )


def video_of(item: dict[str, Any], seen_at: datetime, expires_at: datetime | None, source: Source) -> VideoSeen:
    """A videos.list item."""
    snippet, statistics = item["snippet"], item.get("statistics", {})
    return VideoSeen(
        video_id=str(item["id"]),
        channel_id=str(snippet["channelId"]),
        title=str(snippet["title"]),
        published_at=time_of(snippet["publishedAt"]),
        duration_seconds=seconds_of(item.get("contentDetails", {}).get("duration")),
        live_broadcast=str(snippet.get("liveBroadcastContent", "none")),
        category_id=snippet.get("categoryId"),
        language=snippet.get("defaultAudioLanguage") or snippet.get("defaultLanguage"),
        tags=tuple(snippet.get("tags", ())),
        made_for_kids=item.get("status", {}).get("madeForKids"),
        thumbnail_url=thumbnail_url(snippet.get("thumbnails", {})),
        view_count=count_of(statistics.get("viewCount")),
        like_count=count_of(statistics.get("likeCount")),
        comment_count=count_of(statistics.get("commentCount")),
        source=source,
        seen_at=seen_at,
        expires_at=expires_at,
    )
