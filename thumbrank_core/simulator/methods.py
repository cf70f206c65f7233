"""What each method of the Data API answers, from a checked request. How it is sent is in `rendering` and `api`."""

import re
from base64 import urlsafe_b64decode
from binascii import Error
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from thumbrank_core.simulator import api_errors, categories
from thumbrank_core.simulator.channel_shapes import channel_shape, found_channel_shape, found_video_shape
from thumbrank_core.simulator.live import UPLOADS_LIMIT
from thumbrank_core.simulator.parameters import CHANNEL_FILTERS, check_codes, check_video_filters, given
from thumbrank_core.simulator.quota import Bucket
from thumbrank_core.simulator.rendering import Answer, listing, table
from thumbrank_core.simulator.requests import Page, Query, page
from thumbrank_core.simulator.search import estimated_total
from thumbrank_core.simulator.shapes import Shape, only, writer
from thumbrank_core.simulator.simulation import Simulation
from thumbrank_core.simulator.traits import permitted_trainers
from thumbrank_core.simulator.video_shapes import Box, Row, playlist_shape, stats_shape, video_shape
from thumbrank_core.simulator.world import Video

T = TypeVar("T")

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
STATS_PARTS = ("contentDetails", "id", "snippet", "statistics")

PLAYER_SIDES = (72, 8192)
"""The range of maxWidth and maxHeight."""
WRITERS_KEPT = 256

_CHANNEL_ID = re.compile(r"UC[A-Za-z0-9_-]{22}")


@dataclass(frozen=True)
class Method:
    """One method: where it lives, which quota it draws on, what it answers."""

    name: str
    path: str
    bucket: Bucket
    answer: Callable[[Simulation, Query], Answer]


def _search(simulation: Simulation, query: Query) -> Answer:
    parts = query.parts(SEARCH_PARTS)
    check_video_filters(query)
    check_codes(query, categories.REGION_CODES, categories.LANGUAGE_CODES)
    channel = query.get("channelId")
    if channel is not None and _CHANNEL_ID.fullmatch(channel) is None:
        raise api_errors.invalid_channel_id()
    found, identity = simulation.searches.results(query)
    chosen = page(query, found, identity)
    video = _writer(simulation, query, parts, "found video", lambda: found_video_shape(query.host))
    other = _writer(simulation, query, parts, "found channel", lambda: found_channel_shape(query.host))
    texts = [video(it) if isinstance(it, Video) else other(it) for it in chosen.items]
    total = estimated_total(query.get("q") or "", len(found))
    region = query.get("regionCode") or "US"
    return listing("search", chosen.holding(texts), total, region=region, salt=str(simulation.searches.calls))


def _channels(simulation: Simulation, query: Query) -> Answer:
    parts, live = query.parts(CHANNEL_PARTS), simulation.live
    filters = given(query, CHANNEL_FILTERS)
    if not filters:
        raise api_errors.no_filter(CHANNEL_FILTERS)
    if len(filters) > 1:
        raise api_errors.invalid_criteria(CHANNEL_FILTERS)
    handle = query.get("forHandle")
    if filters == ["id"]:
        found = [channel for asked in query.ids() if (channel := live.find_channel(asked)) is not None]
    elif filters == ["mine"]:
        own = live.find_channel(query.owner) if query.owner is not None else None
        found = [] if own is None else [own]
    else:
        # No channel of this world has a user name of old or a category.
        named = live.channel_of_handle(handle) if handle is not None else None
        found = [] if named is None else [named]
    chosen = page(query, found, f"channels/{query.all('id')}")
    write = _writer(simulation, query, parts, "channel", lambda: channel_shape(live, query.host))
    answer = listing("channel", chosen.holding([write(channel) for channel in chosen.items]), len(found))
    # channels.list, unlike its sisters, leaves `items` out when it found nothing.
    return answer if answer.items else Answer(answer.kind, answer.head)


def _playlist_items(simulation: Simulation, query: Query) -> Answer:
    parts, live = query.parts(PLAYLIST_ITEM_PARTS), simulation.live
    filters = given(query, ("id", "playlistId"))
    if not filters:
        raise api_errors.no_filter(("id", "playlistId"))
    if len(filters) > 1:
        raise api_errors.incompatible_parameters(filters)
    write = _writer(simulation, query, parts, "row", lambda: playlist_shape(query.host))
    playlist, wanted = query.get("playlistId") or "", query.get("videoId")
    if filters == ["id"]:
        rows = [row for asked in query.ids() if (row := _row(simulation, asked)) is not None]
        return _rows_page(query, rows, f"playlistItems/{query.all('id')}", write)
    channel = "UC" + playlist[2:]
    if live.is_suspended(channel) and live.find_channel(channel) is not None:
        raise api_errors.channel_suspended()
    uploads = live.uploads(channel)[:UPLOADS_LIMIT] if playlist.startswith("UU") else ()
    if not uploads:
        raise api_errors.playlist_not_found()
    if wanted is not None:
        rows = [(position, video) for position, video in enumerate(uploads) if video.id == wanted]
        return _rows_page(query, rows, f"playlistItems/{playlist}/{wanted}", write)
    chosen = page(query, range(len(uploads)), f"playlistItems/{playlist}")
    texts = [write((position, uploads[position])) for position in chosen.items]
    if chosen.next_token and not chosen.previous_token and simulation.faults.uploads_midcrawl(query.number):
        live.add_upload(channel)
    return listing("playlistItem", chosen.holding(texts), len(uploads))


def _rows_page(query: Query, rows: Sequence[Row], of: str, write: Callable[[Row], str]) -> Answer:
    chosen = page(query, rows, of)
    return listing("playlistItem", chosen.holding([write(row) for row in chosen.items]), len(rows))


def _row(simulation: Simulation, item_id: str) -> Row | None:
    """The row of an uploads playlist with this item id, which is base64 of playlist and video."""
    try:
        decoded = urlsafe_b64decode(item_id + "=" * (-len(item_id) % 4)).decode("ascii")
    except (Error, ValueError):
        return None
    playlist, _, wanted = decoded.partition(".")
    for position, video in enumerate(simulation.live.uploads("UC" + playlist[2:])):
        if video.id == wanted:
            return position, video
    return None


def _videos(simulation: Simulation, query: Query) -> Answer:
    parts, live = query.parts(VIDEO_PARTS), simulation.live
    filters = given(query, ("id", "chart", "myRating"))
    if not filters:
        raise api_errors.no_filter(("myRating", "id", "chart"))
    if len(filters) > 1:
        raise api_errors.incompatible_parameters(filters)
    if filters == ["chart"]:
        raise api_errors.chart_not_found()
    of_lists = given(query, ("maxResults", "pageToken", "regionCode", "videoCategoryId"))
    if of_lists:
        raise api_errors.incompatible_parameters(["id", *of_lists])
    box = Box(query.integer("maxWidth", *PLAYER_SIDES), query.integer("maxHeight", *PLAYER_SIDES))
    write = _writer(simulation, query, parts, box, lambda: video_shape(live, query.host, box))
    texts = [write(video) for asked in query.ids() if (video := live.shown_video(asked)) is not None]
    return listing("video", Page(texts, len(texts), None, None), len(texts))


def _batch_get_stats(simulation: Simulation, query: Query) -> Answer:
    parts = query.parts(STATS_PARTS)
    asked = query.ids()
    if not asked:
        raise api_errors.missing_parameter("id")
    found = {video_id: video for video_id in asked if (video := simulation.live.shown_video(video_id)) is not None}
    failed = [video_id for video_id in asked if video_id not in found]
    write = _writer(simulation, query, parts, "stats", lambda: stats_shape(simulation.live.counts))
    return Answer(
        "youtube#batchGetStatsResponse",
        # Nobody promises the order of the request.
        items=[write(found[video_id]) for video_id in sorted(found)],
        item_kind="youtube#videoStats",
        tail={
            "summary": {
                "requestedVideoCount": len(asked),
                "succeededVideoCount": len(found),
                "failedVideoCount": len(failed),
                "failedVideoIds": failed,
            }
        },
    )


def _writer(
    simulation: Simulation, query: Query, parts: set[str], resource: object, make: Callable[[], Shape[T]]
) -> Callable[[T], str]:
    """What writes a resource for queries like this one; made once for each way of asking."""
    key = (resource, query.host, frozenset(parts), query.get("fields"))
    known = simulation.writers.get(key)
    if known is None:
        if len(simulation.writers) >= WRITERS_KEPT:
            simulation.writers.clear()
        known = simulation.writers[key] = writer(only(make(), parts), query.items_selection)
    return known


def _trainability(simulation: Simulation, query: Query) -> Answer:
    asked = query.get("id")
    if asked is None:
        raise api_errors.missing_parameter("id")
    video = simulation.live.shown_video(asked)
    if video is None:
        raise api_errors.video_not_found()
    return Answer("youtube#videoTrainability", {"videoId": video.id, "permitted": permitted_trainers(video.id)})


def _video_categories(_simulation: Simulation, query: Query) -> Answer:
    query.parts(("id", "snippet"))
    filters = given(query, ("id", "regionCode"))
    if not filters:
        raise api_errors.no_filter(("id", "regionCode"))
    if len(filters) > 1:
        raise api_errors.incompatible_parameters(filters)
    check_codes(query, categories.REGION_CODES, categories.LANGUAGE_CODES)
    return table("videoCategory", categories.category_bodies(query.ids()), query.selection)


def _languages(_simulation: Simulation, query: Query) -> Answer:
    query.parts(("id", "snippet"))
    return table("i18nLanguage", categories.language_bodies(), query.selection)


def _regions(_simulation: Simulation, query: Query) -> Answer:
    query.parts(("id", "snippet"))
    return table("i18nRegion", categories.region_bodies(), query.selection)


METHODS: tuple[Method, ...] = (
    Method("search.list", "search", "search", _search),
    Method("channels.list", "channels", "default", _channels),
    Method("playlistItems.list", "playlistItems", "default", _playlist_items),
    Method("videos.list", "videos", "default", _videos),
    Method("videos.batchGetStats", "videos:batchGetStats", "stats_batch", _batch_get_stats),
    Method("videoCategories.list", "videoCategories", "default", _video_categories),
    Method("i18nLanguages.list", "i18nLanguages", "default", _languages),
    Method("i18nRegions.list", "i18nRegions", "default", _regions),
    Method("videoTrainability.get", "videoTrainability", "default", _trainability),
)
"""What this service answers. Nothing documents what videoTrainability costs; we charge the default bucket."""
