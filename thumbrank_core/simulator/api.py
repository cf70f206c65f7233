"""The simulated YouTube as a Starlette application: the routes of all its services, and the world's clock in each answer.

Faithful in shapes: a collector that works here works against the real service. The `Date` header of every answer is the
world's clock, for that is where a collector takes its observation time from.
"""

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from thumbrank_core.simulator import oauth, reporting
from thumbrank_core.simulator.behaviour import Behaviour
from thumbrank_core.simulator.clock import Clock
from thumbrank_core.simulator.connections import Connections
from thumbrank_core.simulator.control import control_routes
from thumbrank_core.simulator.data_api import data_api_routes
from thumbrank_core.simulator.picture_host import picture_routes
from thumbrank_core.simulator.simulation import Simulation
from thumbrank_core.simulator.world import World


def create_app(
    world: World,
    behaviour: Behaviour | None = None,
    clock: Clock | None = None,
    *,
    connections: Connections | None = None,
    token: str | None = None,
) -> Starlette:
    """An application that answers for one world.

    Args:
        world: what there is.
        behaviour: quotas and faults; the defaults are the real service's on a good day.
        clock: starts at the world's `as_of` unless given.
        connections: those of the server that runs the application; without them nothing can be dropped.
        token: opens the control routes; without it there are none.
    """
    clock = clock or Clock(world.settings.as_of)
    simulation = Simulation(world, clock, behaviour or Behaviour(), connections)
    return Starlette(
        routes=[
            *data_api_routes(simulation),
            *picture_routes(simulation),
            *oauth.routes(world, simulation.grants),
            *reporting.routes(world, clock, simulation.grants),
            *(control_routes(simulation, token) if token else ()),
        ],
        middleware=[Middleware(_WorldClock, simulation=simulation)],
    )


class _WorldClock:
    """Puts the world's time into the Date header of every answer, framework errors included."""

    def __init__(self, app: ASGIApp, simulation: Simulation) -> None:
        self.app = app
        self.simulation = simulation

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def dated(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"date", self.simulation.date)]
            await send(message)

        await self.app(scope, receive, dated)
