"""The JSON shapes of the Data API: a channel, a video, a row of a playlist, a search result. Pure functions."""

import html
import json
from base64 import b64encode
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from thumbrank_core.simulator.api_errors import Json
from thumbrank_core.simulator.channels import Channel
from thumbrank_core.simulator.ids import base64url, digest, uploads_playlist_id
from thumbrank_core.simulator.pictures import SIZES, listed_sizes
from thumbrank_core.simulator.requests import Page
from thumbrank_core.simulator.world import Video, World

CHANNEL_PARTS = (
    "id",
    "snippet",
    "statistics",
    "contentDetails",
    "topicDetails",
    "status",
    "brandingSettings",
    "localizations",
)
VIDEO_PARTS = (
    "id",
    "snippet",
    "contentDetails",
    "statistics",
    "status",
    "topicDetails",
    "liveStreamingDetails",
    "paidProductPlacementDetails",
    "recordingDetails",
    "localizations",
    "player",
)
PLAYLIST_ITEM_PARTS = ("id", "snippet", "contentDetails", "status")
SEARCH_PARTS = ("id", "snippet")

_CATEGORIES = {"tech": "28", "gaming": "20", "education": "27", "entertainment": "24", "beauty": "26", "news": "25"}
_TOPIC_PAGES = {
    "tech": "Technology",
    "gaming": "Video_game_culture",
    "education": "Knowledge",
    "entertainment": "Entertainment",
    "beauty": "Physical_attractiveness",
    "news": "Politics",
}
AVATAR_SIZES = {"default": 88, "medium": 240, "high": 800}


def tagged(body: Json) -> Json:
    """The body with its etag in second place, as YouTube sends it."""
    text = json.dumps(body, sort_keys=True)
    return {"kind": body["kind"], "etag": base64url(digest(20, "etag", text)), **body}


def list_answer(kind: str, page: Page[Json], total: int, *, region: str | None = None) -> Json:
    """A list response around a page of items."""
    body: Json = {"kind": f"youtube#{kind}ListResponse"}
    if page.next_token is not None:
        body["nextPageToken"] = page.next_token
    if page.previous_token is not None:
        body["prevPageToken"] = page.previous_token
    if region is not None:
        body["regionCode"] = region
    body["pageInfo"] = {"totalResults": total, "resultsPerPage": page.size}
    body["items"] = list(page.items)
    return tagged(body)


def channel_item(world: World, channel: Channel, parts: set[str], host: str) -> Json:
    """A channel resource with the parts asked for."""
    text: Json = {"title": channel.title, "description": f"{channel.title}: {channel.niche} every week."}
    country: Json = {} if channel.country is None else {"country": channel.country}
    public = [video for video in world.uploads(channel.id) if video.is_listed]
    statistics: Json = {"viewCount": str(sum(video.views for video in public))}
    if not channel.hides_subscribers:
        statistics["subscriberCount"] = str(rounded_down(channel.subscribers))
    statistics |= {"hiddenSubscriberCount": channel.hides_subscribers, "videoCount": str(len(public))}
    return _resource(
        "channel",
        channel.id,
        parts,
        {
            "snippet": lambda: {
                **text,
                "customUrl": channel.handle,
                "publishedAt": timestamp(channel.created_at),
                "thumbnails": _avatars(channel, host),
                "localized": text,
                **country,
            },
            "statistics": lambda: statistics,
            "contentDetails": lambda: {"relatedPlaylists": {"likes": "", "uploads": uploads_playlist_id(channel.id)}},
            "topicDetails": lambda: _topics(channel.niche),
            "status": lambda: {
                "privacyStatus": "public",
                "isLinked": True,
                "longUploadsStatus": "longUploadsUnspecified",
            },
            "brandingSettings": lambda: {"channel": {**text, **country}},
        },
    )


def video_item(world: World, video: Video, parts: set[str], host: str) -> Json:
    """A video resource with the parts asked for."""
    return _resource(
        "video",
        video.id,
        parts,
        {
            "snippet": lambda: _video_snippet(video, host),
            "contentDetails": lambda: {
                "duration": iso_duration(video.duration_seconds),
                "dimension": "2d",
                "definition": "hd" if digest(1, "definition", video.id)[0] > 12 else "sd",
                "caption": "true" if digest(1, "caption", video.id)[0] < 90 else "false",
                "licensedContent": True,
                "contentRating": {},
                "projection": "rectangular",
            },
            "statistics": lambda: _statistics(video),
            "status": lambda: {
                "uploadStatus": "processed" if video.duration_seconds else "uploaded",
                "privacyStatus": "public",
                "license": "youtube",
                "embeddable": True,
                "publicStatsViewable": True,
                "madeForKids": False,
            },
            "topicDetails": lambda: _topics(video.channel.niche),
            "liveStreamingDetails": lambda: _live_details(world, video),
            "paidProductPlacementDetails": lambda: {
                "hasPaidProductPlacement": digest(1, "paid", video.id)[0] < 10,
            },
            "recordingDetails": lambda: {},
            "player": lambda: {
                "embedHtml": f'<iframe width="480" height="270" src="{host}/embed/{video.id}"></iframe>',
            },
        },
    )


def playlist_item(video: Video, position: int, parts: set[str], host: str) -> Json:
    """One row of an uploads playlist; a deleted or private video keeps its row and little else."""
    channel = video.channel
    playlist = uploads_playlist_id(channel.id)
    title, description, privacy = video.title, _description(video), "public"
    if video.state == "deleted":
        title, description, privacy = "Deleted video", "This video is unavailable.", "privacyStatusUnspecified"
    elif video.state == "private":
        title, description, privacy = "Private video", "This video is private.", "private"
    content: Json = {"videoId": video.id}
    owner: Json = {}
    if video.is_listed:
        content["videoPublishedAt"] = timestamp(video.published_at)
        owner = {"videoOwnerChannelTitle": channel.title, "videoOwnerChannelId": channel.id}
    return _resource(
        "playlistItem",
        b64encode(f"{playlist}.{video.id}".encode()).decode().rstrip("="),
        parts,
        {
            "snippet": lambda: {
                "publishedAt": timestamp(video.added_at),
                "channelId": channel.id,
                "title": title,
                "description": description,
                "thumbnails": thumbnails(video, host),
                "channelTitle": channel.title,
                "playlistId": playlist,
                "position": position,
                "resourceId": {"kind": "youtube#video", "videoId": video.id},
                **owner,
            },
            "contentDetails": lambda: content,
            "status": lambda: {"privacyStatus": privacy},
        },
    )


def search_item(found: Video | Channel, parts: set[str], host: str) -> Json:
    """A search result. Its texts are HTML-escaped, unlike everywhere else, and it shows three pictures at most."""
    if isinstance(found, Video):
        channel, when = found.channel, found.published_at
        identity: Json = {"kind": "youtube#video", "videoId": found.id}
        description = _description(found)[:120] + " ..."
        pictures = thumbnails(found, host, ("default", "medium", "high"))
        live = found.state if found.state in ("live", "upcoming") else "none"
    else:
        channel, when = found, found.created_at
        identity = {"kind": "youtube#channel", "channelId": found.id}
        description, pictures, live = "", _avatars(found, host), "none"
    body: Json = {"kind": "youtube#searchResult", "id": identity}
    if "snippet" in parts:
        body["snippet"] = {
            "publishedAt": timestamp(when),
            "channelId": channel.id,
            "title": html.escape(found.title).replace("&#x27;", "&#39;"),
            "description": html.escape(description).replace("&#x27;", "&#39;"),
            "thumbnails": pictures,
            "channelTitle": html.escape(channel.title).replace("&#x27;", "&#39;"),
            "liveBroadcastContent": live,
            "publishTime": timestamp(when),
        }
    return tagged(body)


def thumbnails(video: Video, host: str, only: Sequence[str] = tuple(SIZES)) -> Json:
    """The sizes that exist, with addresses on the simulator's own host."""
    return {
        name: {
            "url": f"{host}/vi/{video.id}/{SIZES[name].file_name}",
            "width": SIZES[name].width,
            "height": SIZES[name].height,
        }
        for name in listed_sizes(video)
        if name in only
    }


def timestamp(when: datetime) -> str:
    """A time as the API writes it today: whole seconds and a Z."""
    return when.strftime("%Y-%m-%dT%H:%M:%SZ")


def iso_duration(seconds: int) -> str:
    """ISO 8601 as the API writes it: no zero fields, and P0D for what has no length yet."""
    if seconds == 0:
        return "P0D"
    days, rest = divmod(seconds, 86400)
    hours, rest = divmod(rest, 3600)
    minutes, left = divmod(rest, 60)
    clock = "".join(f"{value}{unit}" for value, unit in ((hours, "H"), (minutes, "M"), (left, "S")) if value)
    return f"P{f'{days}D' if days else ''}{f'T{clock}' if clock else ''}"


def rounded_down(count: int) -> int:
    """A subscriber count rounded down to three significant figures."""
    step = 10 ** max(0, len(str(count)) - 3)
    return count // step * step


def _resource(kind: str, identity: str, parts: set[str], makers: dict[str, Callable[[], Json]]) -> Json:
    body: Json = {"kind": f"youtube#{kind}", "id": identity}
    for part, make in makers.items():
        if part in parts:
            content = make()
            # A part without content is absent, as liveStreamingDetails is for an ordinary video.
            if content or part in ("statistics", "recordingDetails"):
                body[part] = content
    return tagged(body)


def _video_snippet(video: Video, host: str) -> Json:
    text: Json = {"title": video.title, "description": _description(video)}
    tags: Json = {"tags": [video.channel.niche, *video.title.lower().split()[:3]]}
    language: Json = {"defaultLanguage": "en", "defaultAudioLanguage": "en"}
    return {
        "publishedAt": timestamp(video.published_at),
        "channelId": video.channel.id,
        **text,
        "thumbnails": thumbnails(video, host),
        "channelTitle": video.channel.title,
        **(tags if digest(1, "tags", video.id)[0] < 200 else {}),
        "categoryId": _CATEGORIES[video.channel.niche],
        "liveBroadcastContent": video.state if video.state in ("live", "upcoming") else "none",
        "localized": text,
        **(language if digest(1, "language", video.id)[0] < 180 else {}),
    }


def _statistics(video: Video) -> Json:
    counts: Json = {} if video.state == "upcoming" else {"viewCount": str(video.views)}
    if video.likes is not None:
        counts["likeCount"] = str(video.likes)
    counts["favoriteCount"] = "0"
    if video.comments is not None and video.state != "upcoming":
        counts["commentCount"] = str(video.comments)
    return counts


def _live_details(world: World, video: Video) -> Json:
    match video.state:
        case "upcoming":
            return {"scheduledStartTime": timestamp(world.settings.as_of + timedelta(days=3))}
        case "live":
            start = timestamp(video.published_at)
            return {"actualStartTime": start, "scheduledStartTime": start, "concurrentViewers": str(video.views % 997)}
        case _:
            return {}


def _description(video: Video) -> str:
    return f"{video.title}. New {video.channel.niche} videos from {video.channel.title} every week."


def _topics(niche: str) -> Json:
    return {"topicCategories": [f"https://en.wikipedia.org/wiki/{_TOPIC_PAGES[niche]}"]}


def _avatars(channel: Channel, host: str) -> Json:
    return {
        name: {"url": f"{host}/avatar/{channel.id}/{pixels}.jpg", "width": pixels, "height": pixels}
        for name, pixels in AVATAR_SIZES.items()
    }
