"""The picture host: thumbnails and avatars, the grey stand-in for what is missing, and what can go wrong with either."""

import io

from PIL import Image
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from thumbrank_core.simulator.channel_shapes import AVATAR_SIZES
from thumbrank_core.simulator.connections import Dropped
from thumbrank_core.simulator.picture_sizes import SIZES, listed_sizes
from thumbrank_core.simulator.pictures import avatar_jpeg, missing_picture
from thumbrank_core.simulator.simulation import Simulation

_SIZE_OF_FILE = {size.file_name: name for name, size in SIZES.items()}
_HTML = "<!DOCTYPE html><html><title>Sorry...</title><p>We're sorry, but your request looks automated."


def picture_routes(simulation: Simulation) -> list[Route]:
    """`/vi/<video>/<file>` and `/avatar/<channel>/<pixels>.jpg`."""

    async def picture(request: Request) -> Response:
        number = simulation.picture_requests
        simulation.picture_requests += 1
        fault = simulation.faults.of_picture(number)
        video = simulation.live.shown_video(request.path_params["video_id"])
        size = _SIZE_OF_FILE.get(request.path_params["file_name"])
        if fault == "dropped":
            return Dropped(simulation.connections)
        if fault == "picture_500":
            return Response("Internal Server Error", 500, media_type="text/plain")
        if fault == "picture_html":
            return Response(_HTML, media_type="text/html; charset=UTF-8")
        if fault == "picture_404grey_as_200":
            return _jpeg(missing_picture())
        if video is None or size is None or size not in listed_sizes(video):
            return _jpeg(missing_picture(), 404)
        drawn = simulation.pictures.jpeg(video, size)
        if fault == "picture_truncated":
            return _jpeg(drawn[: len(drawn) // 2])
        if fault == "picture_webp":
            return _jpeg(_as_webp(drawn))
        simulation.served["picture"] += 1
        return _jpeg(drawn)

    async def avatar(request: Request) -> Response:
        channel = simulation.live.find_channel(request.path_params["channel_id"])
        pixels = request.path_params["pixels"]
        if channel is None or pixels not in AVATAR_SIZES.values():
            return _jpeg(missing_picture(), 404)
        return _jpeg(avatar_jpeg(channel.style, pixels))

    return [Route("/vi/{video_id}/{file_name}", picture), Route("/avatar/{channel_id}/{pixels:int}.jpg", avatar)]


def _jpeg(data: bytes, status: int = 200) -> Response:
    """Always called image/jpeg: whether it is one is for the caller to find out."""
    return Response(data, status, media_type="image/jpeg")


def _as_webp(jpeg: bytes) -> bytes:
    with Image.open(io.BytesIO(jpeg)) as picture:
        buffer = io.BytesIO()
        picture.save(buffer, "WEBP", quality=70)
    return buffer.getvalue()
