"""What a channel looks like in channels.list, and what a search result looks like."""

from thumbrank_core.simulator import traits
from thumbrank_core.simulator.channels import Channel
from thumbrank_core.simulator.formats import escaped, rounded_down
from thumbrank_core.simulator.ids import uploads_playlist_id
from thumbrank_core.simulator.live import LiveWorld
from thumbrank_core.simulator.shapes import Shape, count, flag, text, time
from thumbrank_core.simulator.thumbnails import thumbnails_shape
from thumbrank_core.simulator.video_shapes import description, live_content, topic_categories
from thumbrank_core.simulator.world import Video

AVATAR_SIZES = {"default": 88, "medium": 240, "high": 800}
_SEARCH_PICTURES = ("default", "medium", "high")


def channel_shape(live: LiveWorld, host: str) -> Shape[Channel]:
    """channels.list. All but `id` are parts."""
    kids = live.world.settings.made_for_kids
    named: Shape[Channel] = Shape(
        {
            "title": lambda it: text(it.title),
            "description": lambda it: text(f"{it.title}: {it.niche} every week."),
        }
    )
    country: Shape[Channel] = Shape({"country": lambda it: None if it.country is None else f'"{it.country}"'})
    return Shape(
        {
            "id": lambda it: f'"{it.id}"',
            "snippet": Shape(
                {
                    **named.members,
                    "customUrl": lambda it: text(it.handle),
                    "publishedAt": lambda it: time(it.created_at),
                    "thumbnails": _avatars(host),
                    "localized": named,
                    **country.members,
                }
            ),
            "statistics": Shape(
                {
                    "viewCount": lambda it: count(live.totals(it.id).views),
                    "subscriberCount": lambda it: None if it.hides_subscribers else count(rounded_down(it.subscribers)),
                    "hiddenSubscriberCount": lambda it: flag(it.hides_subscribers),
                    "videoCount": lambda it: count(live.totals(it.id).videos),
                }
            ),
            "contentDetails": Shape(
                {
                    "relatedPlaylists": Shape(
                        {"likes": '""', "uploads": lambda it: f'"{uploads_playlist_id(it.id)}"'},
                    )
                }
            ),
            "topicDetails": Shape({"topicCategories": lambda it: topic_categories(it.niche)}),
            "status": Shape(
                {
                    "privacyStatus": '"public"',
                    "isLinked": "true",
                    "longUploadsStatus": '"longUploadsUnspecified"',
                    "madeForKids": lambda it: flag(traits.is_made_for_kids(it.id, kids)),
                }
            ),
            "brandingSettings": Shape({"channel": Shape({**named.members, **country.members})}),
        }
    )


def found_video_shape(host: str) -> Shape[Video]:
    """A video in search.list. Its texts are HTML-escaped, unlike everywhere else, and three pictures are shown."""
    return Shape(
        {
            "id": Shape({"kind": '"youtube#video"', "videoId": lambda it: f'"{it.id}"'}),
            "snippet": Shape(
                {
                    "publishedAt": lambda it: time(it.published_at),
                    "channelId": lambda it: f'"{it.channel.id}"',
                    "title": lambda it: text(escaped(it.title)),
                    "description": lambda it: text(escaped(description(it)[:120] + " ...")),
                    "thumbnails": thumbnails_shape(host, sizes=_SEARCH_PICTURES),
                    "channelTitle": lambda it: text(escaped(it.channel.title)),
                    "liveBroadcastContent": lambda it: f'"{live_content(it)}"',
                    "publishTime": lambda it: time(it.published_at),
                }
            ),
        }
    )


def found_channel_shape(host: str) -> Shape[Channel]:
    """A channel in search.list."""
    return Shape(
        {
            "id": Shape({"kind": '"youtube#channel"', "channelId": lambda it: f'"{it.id}"'}),
            "snippet": Shape(
                {
                    "publishedAt": lambda it: time(it.created_at),
                    "channelId": lambda it: f'"{it.id}"',
                    "title": lambda it: text(escaped(it.title)),
                    "description": '""',
                    "thumbnails": _avatars(host),
                    "channelTitle": lambda it: text(escaped(it.title)),
                    "liveBroadcastContent": '"none"',
                    "publishTime": lambda it: time(it.created_at),
                }
            ),
        }
    )


def _avatars(host: str) -> Shape[Channel]:
    def of_size(pixels: int) -> Shape[Channel]:
        return Shape(
            {
                "url": lambda it: f'"{host}/avatar/{it.id}/{pixels}.jpg"',
                "width": str(pixels),
                "height": str(pixels),
            }
        )

    return Shape({name: of_size(pixels) for name, pixels in AVATAR_SIZES.items()})
