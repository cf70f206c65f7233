"""How a test or a benchmark moves the running world: routes under /simulator/ that need the token of the parent process.

No part of YouTube, and never a public surface: without the token they do not exist, and a wrong one is told nothing.
"""

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from thumbrank_core.simulator.picture_sizes import SIZES, listed_sizes
from thumbrank_core.simulator.simulation import Simulation

Arguments = dict[str, Any]
Action = Callable[[Simulation, Arguments], Awaitable[object]]


def control_routes(simulation: Simulation, token: str) -> list[Route]:
    """POST /simulator/<action> with a JSON object of arguments; answers {"result": ...} or {"error": ...}."""

    def doing(act: Action) -> Callable[[Request], Awaitable[Response]]:
        async def control(request: Request) -> Response:
            if not secrets.compare_digest(request.headers.get("x-simulator-token", ""), token):
                return Response(status_code=404)
            try:
                return JSONResponse({"result": await act(simulation, await request.json())})
            except KeyError as error:
                return JSONResponse({"error": f"there is no {error}."}, 400)
            except ValueError as error:
                return JSONResponse({"error": str(error)}, 400)

        return control

    return [Route(f"/simulator/{name}", doing(act), methods=["POST"]) for name, act in _ACTIONS.items()]


async def _attempts(simulation: Simulation, _arguments: Arguments) -> object:
    return simulation.quota.total()


async def _attempts_by_day(simulation: Simulation, _arguments: Arguments) -> object:
    return simulation.quota.by_day()


async def _served(simulation: Simulation, _arguments: Arguments) -> object:
    return dict(simulation.served)


async def _advance(simulation: Simulation, arguments: Arguments) -> object:
    return simulation.advance(arguments["seconds"]).isoformat()


async def _set_faults(simulation: Simulation, arguments: Arguments) -> object:
    simulation.faults.set(arguments["faults"])
    return None


async def _swap_pictures(simulation: Simulation, arguments: Arguments) -> object:
    simulation.live.swap_pictures(arguments["video_ids"])
    return None


async def _add_upload(simulation: Simulation, arguments: Arguments) -> object:
    return simulation.live.add_upload(arguments["channel_id"]).id


async def _remove_videos(simulation: Simulation, arguments: Arguments) -> object:
    simulation.live.remove(arguments["video_ids"])
    return None


async def _draw_pictures(simulation: Simulation, arguments: Arguments) -> object:
    """Draw ahead until the limit, the end of the world or the end of the memory; other requests get their turn."""
    size, limit = arguments["size"], arguments["limit"]
    if size not in SIZES:
        raise KeyError(size)
    drawn = 0
    for video in simulation.live.world.videos:
        if drawn == limit or simulation.pictures.is_full:
            break
        if size in listed_sizes(video):
            simulation.pictures.jpeg(video, size)
            drawn += 1
            await asyncio.sleep(0)
    return drawn


_ACTIONS: dict[str, Action] = {
    "attempts": _attempts,
    "attempts_by_day": _attempts_by_day,
    "served": _served,
    "advance": _advance,
    "set_faults": _set_faults,
    "swap_pictures": _swap_pictures,
    "add_upload": _add_upload,
    "remove_videos": _remove_videos,
    "draw_pictures": _draw_pictures,
}
