"""What a video looks like in videos.list, in an uploads playlist and in videos:batchGetStats."""

from base64 import b64encode
from dataclasses import dataclass
from datetime import timedelta

from thumbrank_core.simulator import traits
from thumbrank_core.simulator.categories import NICHE_CATEGORIES, NICHE_TOPICS
from thumbrank_core.simulator.counts import Counts
from thumbrank_core.simulator.formats import iso_duration
from thumbrank_core.simulator.ids import uploads_playlist_id
from thumbrank_core.simulator.live import LiveWorld
from thumbrank_core.simulator.shapes import Shape, count, flag, text, time, words
from thumbrank_core.simulator.thumbnails import thumbnails_shape
from thumbrank_core.simulator.world import Video

WIDE = (16, 9)
VERTICAL = (9, 16)

Row = tuple[int, Video]
"""A position in an uploads playlist and the video that stands there."""


@dataclass(frozen=True)
class Box:
    """The room for a player: `maxWidth` and `maxHeight` of videos.list, None where not given."""

    width: int | None = None
    height: int | None = None


def video_shape(live: LiveWorld, host: str, box: Box) -> Shape[Video]:
    """videos.list. All but `id` are parts; a part without content is absent, as liveStreamingDetails mostly is."""
    kids, counts = live.world.settings.made_for_kids, live.counts
    localized: Shape[Video] = Shape(
        {"title": lambda it: text(it.title), "description": lambda it: text(description(it))}
    )
    return Shape(
        {
            "id": lambda it: f'"{it.id}"',
            "snippet": Shape(
                {
                    "publishedAt": lambda it: time(it.published_at),
                    "channelId": lambda it: f'"{it.channel.id}"',
                    **localized.members,
                    "thumbnails": thumbnails_shape(host),
                    "channelTitle": lambda it: text(it.channel.title),
                    "tags": lambda it: words(_tags(it)) if traits.has_tags(it) else None,
                    "categoryId": lambda it: f'"{NICHE_CATEGORIES[it.channel.niche]}"',
                    "liveBroadcastContent": lambda it: f'"{live_content(it)}"',
                    "localized": localized,
                    "defaultLanguage": _language,
                    "defaultAudioLanguage": _language,
                }
            ),
            "contentDetails": Shape(
                {
                    "duration": lambda it: f'"{iso_duration(it.duration_seconds)}"',
                    "dimension": '"2d"',
                    "definition": lambda it: '"hd"' if traits.is_high_definition(it) else '"sd"',
                    "caption": lambda it: '"true"' if traits.has_captions(it) else '"false"',
                    "licensedContent": "true",
                    "contentRating": "{}",
                    "projection": '"rectangular"',
                }
            ),
            "statistics": Shape(
                {
                    "viewCount": lambda it: _views(counts, it),
                    "likeCount": lambda it: count(counts.likes(it)),
                    "favoriteCount": '"0"',
                    "commentCount": lambda it: _comments(counts, it),
                }
            ),
            "status": Shape(
                {
                    "uploadStatus": lambda it: '"processed"' if it.duration_seconds else '"uploaded"',
                    "privacyStatus": '"public"',
                    "license": '"youtube"',
                    "embeddable": "true",
                    "publicStatsViewable": "true",
                    "madeForKids": lambda it: flag(traits.is_made_for_kids(it.channel.id, kids)),
                }
            ),
            "topicDetails": Shape({"topicCategories": lambda it: topic_categories(it.channel.niche)}),
            "liveStreamingDetails": _live_shape(live),
            "paidProductPlacementDetails": Shape(
                {"hasPaidProductPlacement": lambda it: flag(traits.is_paid_placement(it))}
            ),
            "recordingDetails": Shape({}),
            "player": _player_shape(host, box),
        }
    )


def playlist_shape(host: str) -> Shape[Row]:
    """playlistItems.list. A deleted or private video keeps its row and little else."""
    pictures: Shape[Row] = thumbnails_shape(host, video=lambda row: row[1])
    return Shape(
        {
            "id": lambda row: f'"{_row_id(row[1])}"',
            "snippet": Shape(
                {
                    "publishedAt": lambda row: time(row[1].added_at),
                    "channelId": lambda row: f'"{row[1].channel.id}"',
                    "title": lambda row: text(_UNLISTED_TITLES.get(row[1].state, row[1].title)),
                    "description": lambda row: text(_UNLISTED_TEXTS.get(row[1].state) or description(row[1])),
                    "thumbnails": pictures,
                    "channelTitle": lambda row: text(row[1].channel.title),
                    "playlistId": lambda row: f'"{uploads_playlist_id(row[1].channel.id)}"',
                    "position": lambda row: str(row[0]),
                    "resourceId": Shape({"kind": '"youtube#video"', "videoId": lambda row: f'"{row[1].id}"'}),
                    "videoOwnerChannelTitle": lambda row: text(row[1].channel.title) if row[1].is_listed else None,
                    "videoOwnerChannelId": lambda row: f'"{row[1].channel.id}"' if row[1].is_listed else None,
                }
            ),
            "contentDetails": Shape(
                {
                    "videoId": lambda row: f'"{row[1].id}"',
                    "videoPublishedAt": lambda row: time(row[1].published_at) if row[1].is_listed else None,
                }
            ),
            "status": Shape({"privacyStatus": lambda row: _PRIVACY.get(row[1].state, '"public"')}),
        }
    )


def stats_shape(counts: Counts) -> Shape[Video]:
    """videos:batchGetStats: a time called publishTime, a length in seconds such as "212s", counts as strings."""
    return Shape(
        {
            "id": lambda it: f'"{it.id}"',
            "snippet": Shape({"publishTime": lambda it: time(it.published_at)}),
            "contentDetails": Shape({"duration": lambda it: f'"{it.duration_seconds}s"'}),
            "statistics": Shape(
                {
                    "viewCount": lambda it: _views(counts, it) if traits.batch_statistics(it) == "full" else None,
                    "likeCount": lambda it: count(counts.likes(it)) if traits.batch_statistics(it) == "full" else None,
                    "commentCount": lambda it: _comments(counts, it) if traits.batch_statistics(it) == "full" else None,
                },
                exists=lambda it: traits.batch_statistics(it) != "absent",
            ),
        }
    )


def description(video: Video) -> str:
    """What stands below the video."""
    return f"{video.title}. New {video.channel.niche} videos from {video.channel.title} every week."


def live_content(video: Video) -> str:
    """snippet.liveBroadcastContent."""
    return video.state if video.state in ("live", "upcoming") else "none"


def topic_categories(niche: str) -> str:
    """topicDetails.topicCategories of a niche's channels and videos."""
    return words([f"https://en.wikipedia.org/wiki/{NICHE_TOPICS[niche]}"])


_UNLISTED_TITLES = {"deleted": "Deleted video", "private": "Private video"}
_UNLISTED_TEXTS = {"deleted": "This video is unavailable.", "private": "This video is private."}
_PRIVACY = {"deleted": '"privacyStatusUnspecified"', "private": '"private"'}


def _row_id(video: Video) -> str:
    return b64encode(f"{uploads_playlist_id(video.channel.id)}.{video.id}".encode()).decode().rstrip("=")


def _views(counts: Counts, video: Video) -> str | None:
    return None if video.state == "upcoming" else f'"{counts.views(video)}"'


def _comments(counts: Counts, video: Video) -> str | None:
    return None if video.state == "upcoming" else count(counts.comments(video))


def _tags(video: Video) -> list[str]:
    return [video.channel.niche, *video.title.lower().split()[:3]]


def _language(video: Video) -> str | None:
    return '"en"' if traits.names_its_language(video) else None


def _live_shape(live: LiveWorld) -> Shape[Video]:
    begins = time(live.world.settings.as_of + timedelta(days=3))

    def ended(video: Video) -> str | None:
        if not traits.is_recorded_live(video):
            return None
        return time(video.published_at + timedelta(seconds=video.duration_seconds))

    return Shape(
        {
            "actualStartTime": lambda it: None if it.state == "upcoming" else time(it.published_at),
            "actualEndTime": ended,
            "scheduledStartTime": lambda it: begins if it.state == "upcoming" else time(it.published_at),
            "concurrentViewers": lambda it: f'"{it.views % 997}"' if it.state == "live" else None,
        },
        exists=lambda it: it.state in ("live", "upcoming") or traits.is_recorded_live(it),
    )


def _player_shape(host: str, box: Box) -> Shape[Video]:
    """The player; its measures are told only where the caller named a limit, and then fit the video's shape."""
    told = box.width is not None or box.height is not None
    sizes = {shape: _fitted(shape, box) for shape in (WIDE, VERTICAL)}

    def size(video: Video) -> tuple[int, int]:
        return sizes[VERTICAL if traits.is_short(video) else WIDE]

    def frame(video: Video) -> str:
        width, height = size(video) if told else (480, 270)
        return text(f'<iframe width="{width}" height="{height}" src="{host}/embed/{video.id}"></iframe>')

    if not told:
        return Shape({"embedHtml": frame})
    return Shape(
        {
            "embedHtml": frame,
            "embedHeight": lambda it: f'"{size(it)[1]}"',
            "embedWidth": lambda it: f'"{size(it)[0]}"',
        }
    )


def _fitted(shape: tuple[int, int], box: Box) -> tuple[int, int]:
    """The largest (width, height) of a shape that the box holds."""
    wide, high = shape
    limits = [side * unit for side, unit in ((box.width, high), (box.height, wide)) if side is not None]
    return (min(limits) // high, min(limits) // wide) if limits else shape
