"""What an answer of the Data API means: JSON in, the records of store/catalog.py out.

Counts are strings and may be missing (hidden, disabled, upcoming): missing is None, never 0. Live and upcoming videos
report a duration of P0D: unknown, not zero.
"""

import re
from datetime import UTC, datetime
from typing import Any

from thumbrank_core.store.catalog import ChannelSeen, CountsSeen, Source, VideoKind, VideoSeen
from thumbrank_core.store.copy import storable_text
from thumbrank_core.youtube.lifetimes import Lifetimes

UNREADABLE = (KeyError, TypeError, ValueError, AttributeError)
"""What an item raises that is not what the documentation promises: a miss, and no reason to stop."""

_DURATION = re.compile(r"P(?:(\d+)W)?(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)(?:\.\d+)?S)?)?")
_UNIT_SECONDS = (604_800, 86_400, 3_600, 60, 1)
WIDE_SIZES = {"uhd": 2160, "qhd": 1440, "fhd": 1080, "maxres": 720, "medium": 180}
"""The 16:9 sizes, best first, with their heights in pixels; default, high and standard are 4:3 with black bars."""

SHORT_SECONDS = 180
"""Longest Short since October 2024."""
SURELY_SHORT_SECONDS = 60
"""Below this a video whose shape is unknown is taken for a Short."""


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


def thumbnail_url(thumbnails: dict[str, Any], largest: int = 720) -> str | None:
    """The URL of the best 16:9 size that the API lists, no higher than `largest` pixels.

    Sizes it does not list do not exist: guessing their addresses gets a grey placeholder.
    """
    for size, height in WIDE_SIZES.items():
        listed = thumbnails.get(size)
        if height <= largest and isinstance(listed, dict) and listed.get("url"):
            return str(listed["url"])
    return None


def kind_of(item: dict[str, Any]) -> VideoKind:
    """Upload, Short, live or premiere, as far as one videos.list item tells.

    The API has no flag for either. A premiere is a video that has a length before it has begun; once it is over it looks
    like a recorded live stream, which is why the tables keep the first answer. A Short is at most 180 s long and not wider
    than high; `player` tells the shape, `shortsAspectRatio` (documented, not seen in the field yet) would too.
    """
    seconds = seconds_of(item.get("contentDetails", {}).get("duration"))
    state = item.get("snippet", {}).get("liveBroadcastContent", "none")
    if state == "upcoming" and seconds is not None:
        return "premiere"
    if state in ("live", "upcoming") or item.get("liveStreamingDetails"):
        return "live"
    if seconds is None or seconds > SHORT_SECONDS:
        return "upload"
    if "shortsAspectRatio" in item.get("snippet", {}).get("thumbnails", {}):
        return "short"
    player = item.get("player", {})
    width, height = count_of(player.get("embedWidth")), count_of(player.get("embedHeight"))
    if width is None or height is None:
        return "short" if seconds <= SURELY_SHORT_SECONDS else "upload"
    return "short" if width <= height else "upload"


def channel_of(item: dict[str, Any], seen_at: datetime, lifetimes: Lifetimes, source: Source) -> ChannelSeen:
    """A channels.list item."""
    snippet, statistics = item.get("snippet", {}), item.get("statistics", {})
    hidden = bool(statistics.get("hiddenSubscriberCount"))
    return ChannelSeen(
        channel_id=str(item["id"]),
        title=None if snippet.get("title") is None else storable_text(str(snippet["title"])),
        subscriber_count=None if hidden else count_of(statistics.get("subscriberCount")),
        video_count=count_of(statistics.get("videoCount")),
        view_count=count_of(statistics.get("viewCount")),
        uploads_playlist=item.get("contentDetails", {}).get("relatedPlaylists", {}).get("uploads"),
        country=snippet.get("country"),
        made_for_kids=item.get("status", {}).get("madeForKids"),
        source=source,
        fetched_at=seen_at,
        expires_at=lifetimes.content_until(seen_at),
    )


def video_of(
    item: dict[str, Any], seen_at: datetime, lifetimes: Lifetimes, source: Source, largest: int = 720
) -> VideoSeen:
    """A videos.list item; `largest` is the height of the largest picture wanted."""
    snippet, statistics = item["snippet"], item.get("statistics", {})
    return VideoSeen(
        video_id=str(item["id"]),
        channel_id=str(snippet["channelId"]),
        title=storable_text(str(snippet["title"])),
        published_at=time_of(snippet["publishedAt"]),
        duration_seconds=seconds_of(item.get("contentDetails", {}).get("duration")),
        live_broadcast=str(snippet.get("liveBroadcastContent", "none")),
        kind=kind_of(item),
        category_id=snippet.get("categoryId"),
        language=snippet.get("defaultAudioLanguage") or snippet.get("defaultLanguage"),
        tags=tuple(storable_text(str(tag)) for tag in snippet.get("tags", ())),
        made_for_kids=item.get("status", {}).get("madeForKids"),
        thumbnail_url=thumbnail_url(snippet.get("thumbnails", {}), largest),
        view_count=count_of(statistics.get("viewCount")),
        like_count=count_of(statistics.get("likeCount")),
        comment_count=count_of(statistics.get("commentCount")),
        source=source,
        seen_at=seen_at,
        expires_at=lifetimes.content_until(seen_at),
        snapshot_expires_at=lifetimes.counts_until(seen_at),
    )


def counts_of(item: dict[str, Any], seen_at: datetime, lifetimes: Lifetimes) -> CountsSeen | None:
    """An item of batchGetStats or videos.list with its counts; None where it shows no views."""
    statistics = item.get("statistics", {})
    views = count_of(statistics.get("viewCount"))
    if views is None:
        return None
    return CountsSeen(
        str(item["id"]),
        views,
        count_of(statistics.get("likeCount")),
        count_of(statistics.get("commentCount")),
        seen_at,
        lifetimes.counts_until(seen_at),
    )
