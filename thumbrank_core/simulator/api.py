"""The simulated Data API and picture host as a Starlette application: routes, identity, and the world's clock.

Faithful in shapes: a collector that works here works against the real service. The `Date` header of every answer is the
world's clock, for that is where a collector takes its observation time from.
"""

from collections.abc import Awaitable, Callable
from email.utils import format_datetime
from urllib.parse import parse_qs

from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from thumbrank_core.simulator import answers, api_errors
from thumbrank_core.simulator.api_errors import ApiError, Json
from thumbrank_core.simulator.pictures import SIZES, avatar_jpeg, jpeg_bytes, listed_sizes, missing_picture
from thumbrank_core.simulator.requests import Page, Query, page
from thumbrank_core.simulator.search import estimated_total, search
from thumbrank_core.simulator.world import World

INVALID_KEY = "invalid"
"""The one key that this YouTube refuses; any other is accepted."""

_SIZE_OF_FILE = {size.file_name: name for name, size in SIZES.items()}


def create_app(world: World) -> Starlette:
    """An application that answers for one world."""
    resources: dict[str, Callable[[World, Query], Json]] = {
        "search": _search,
        "channels": _channels,
        "playlistItems": _playlist_items,
        "videos": _videos,
    }

    def answering(make: Callable[[World, Query], Json]) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            try:
                return _json(make(world, await _query(request)))
            except ApiError as error:
                return _json(error.body(), error.code)

        return answer

    async def picture(request: Request) -> Response:
        video = world.find_video(request.path_params["video_id"])
        size = _SIZE_OF_FILE.get(request.path_params["file_name"])
        if video is None or size is None or size not in listed_sizes(video):
            return Response(missing_picture(), 404, media_type="image/jpeg")
        return Response(jpeg_bytes(world, video, size), media_type="image/jpeg")

    async def avatar(request: Request) -> Response:
        channel = world.find_channel(request.path_params["channel_id"])
        pixels = request.path_params["pixels"]
        if channel is None or pixels not in answers.AVATAR_SIZES.values():
            return Response(missing_picture(), 404, media_type="image/jpeg")
        return Response(avatar_jpeg(channel.style, pixels), media_type="image/jpeg")

    return Starlette(
        routes=[
            *(
                Route(f"/youtube/v3/{name}", answering(make), methods=["GET", "POST"])
                for name, make in resources.items()
            ),
            Route("/vi/{video_id}/{file_name}", picture),
            Route("/avatar/{channel_id}/{pixels:int}.jpg", avatar),
        ],
        middleware=[Middleware(_WorldClock, date=format_datetime(world.settings.as_of, usegmt=True))],
    )


class _WorldClock:
    """Puts the world's time into the Date header of every answer, framework errors included."""

    def __init__(self, app: ASGIApp, date: str) -> None:
        self.app = app
        self.date = date

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def dated(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["date"] = self.date
            await send(message)

        await self.app(scope, receive, dated)


async def _query(request: Request) -> Query:
    """The parameters from the address or, where that would be too long, from a form; the key is checked first."""
    fields = parse_qs(request.url.query, keep_blank_values=True)
    if request.method == "POST":
        if request.headers.get("x-http-method-override", "").upper() != "GET":
            raise api_errors.method_not_allowed()
        for name, values in parse_qs((await request.body()).decode(), keep_blank_values=True).items():
            fields.setdefault(name, []).extend(values)
    query = Query(fields, host=str(request.base_url).rstrip("/"))
    key = query.get("key") or request.headers.get("x-goog-api-key")
    if not key:
        raise api_errors.no_key()
    if key == INVALID_KEY:
        raise api_errors.bad_key()
    return query


def _json(body: Json, status: int = 200) -> Response:
    return JSONResponse(body, status, media_type="application/json; charset=UTF-8")


def _search(world: World, query: Query) -> Json:
    parts = query.parts(answers.SEARCH_PARTS)
    found = search(world, query)
    of = "search/" + "/".join(f"{name}={query.all(name)}" for name in sorted(query.values) if name in _SEARCH_IDENTITY)
    chosen = page(query, found, of)
    items = [answers.search_item(it, parts, query.host) for it in chosen.items]
    total = estimated_total(query.get("q") or "", len(found))
    region = query.get("regionCode") or "US"
    return answers.list_answer("search", chosen.holding(items), total, region=region)


_SEARCH_IDENTITY = ("q", "type", "order", "channelId", "publishedAfter", "publishedBefore")
"""A page token belongs to the search with these parameters."""


def _channels(world: World, query: Query) -> Json:
    parts = query.parts(answers.CHANNEL_PARTS)
    handle = query.get("forHandle")
    if query.all("id"):
        found = [channel for asked in query.ids() if (channel := world.find_channel(asked)) is not None]
    elif handle is not None:
        found = [channel for channel in world.channels if channel.handle == "@" + handle.removeprefix("@").lower()]
    else:
        raise api_errors.no_filter(("id", "forHandle", "forUsername", "mine", "managedByMe", "categoryId"))
    chosen = page(query, found, f"channels/{query.all('id')}")
    items = [answers.channel_item(world, channel, parts, query.host) for channel in chosen.items]
    body = answers.list_answer("channel", chosen.holding(items), len(found))
    if not items:
        # channels.list, unlike its sisters, leaves `items` out when it found nothing.
        del body["items"]
    return body


def _playlist_items(world: World, query: Query) -> Json:
    parts = query.parts(answers.PLAYLIST_ITEM_PARTS)
    playlist = query.get("playlistId")
    if playlist is None:
        raise api_errors.no_filter(("id", "playlistId"))
    uploads = world.uploads("UC" + playlist[2:]) if playlist.startswith("UU") else ()
    if not uploads:
        raise api_errors.playlist_not_found()
    wanted = query.get("videoId")
    rows = [(position, video) for position, video in enumerate(uploads) if wanted in (None, video.id)]
    chosen = page(query, rows, f"playlistItems/{playlist}")
    items = [answers.playlist_item(video, position, parts, query.host) for position, video in chosen.items]
    return answers.list_answer("playlistItem", chosen.holding(items), len(rows))


def _videos(world: World, query: Query) -> Json:
    parts = query.parts(answers.VIDEO_PARTS)
    if not query.all("id"):
        if query.get("chart") is not None:
            raise api_errors.chart_not_found()
        raise api_errors.no_filter(("myRating", "id", "chart"))
    found = [video for asked in query.ids() if (video := world.find_video(asked)) is not None and video.is_listed]
    items = [answers.video_item(world, video, parts, query.host) for video in found]
    return answers.list_answer("video", Page(items, len(items), None, None), len(items))
