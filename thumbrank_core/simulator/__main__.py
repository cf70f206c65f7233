"""The child process of `SimulatorServer`: builds a world and serves it on 127.0.0.1 until its parent ends.

It prints one line of JSON, {"port": ...}, when it is listening. Imports stay light: it must answer within a second
or two.
"""

import argparse
import ctypes
import gc
import json
import os
import signal
import socket
import sys
from datetime import datetime
from types import FrameType

import uvicorn

from thumbrank_core.simulator.api import create_app
from thumbrank_core.simulator.behaviour import Behaviour
from thumbrank_core.simulator.connections import Connections
from thumbrank_core.simulator.server import PORT_TAKEN, TOKEN_VARIABLE
from thumbrank_core.simulator.world import WorldSettings, build_world

_PR_SET_PDEATHSIG = 1


def main() -> int:
    """Serve; the exit status is PORT_TAKEN where the port cannot be had."""
    options = _options()
    if options.parent:
        _die_with(options.parent)
    # asyncio switches Nagle off only where the protocol is named; without that each answer takes 40 ms longer.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", options.port))
    except (OSError, OverflowError) as error:
        sys.stderr.write(f"Port {options.port} on 127.0.0.1 cannot be had: {error}.\n")
        return PORT_TAKEN
    world = build_world(
        WorldSettings(
            seed=options.seed,
            effect=options.effect,
            channels_per_niche=options.channels_per_niche,
            videos_per_channel=options.videos_per_channel,
            title_mentions=options.title_mentions,
            as_of=options.as_of,
            niches=options.niches,
            large_pictures=options.large_pictures,
            made_for_kids=options.made_for_kids,
        )
    )
    connections = Connections()
    app = create_app(
        world,
        options.behaviour,
        connections=connections,
        token=os.environ.pop(TOKEN_VARIABLE, None),
    )
    # What is built now stays until the end: the collector need not look at it again with each request.
    gc.freeze()
    config = uvicorn.Config(
        app,
        http=connections.protocol(),
        lifespan="off",
        log_level="warning",
        access_log=False,
        date_header=False,
        server_header=False,
        # Google's servers keep an idle connection for minutes; uvicorn's own five seconds would drop requests by chance.
        timeout_keep_alive=240,
        # A client that keeps its connection open must not hold up the end.
        timeout_graceful_shutdown=1,
    )
    _AnnouncingServer(config).run(sockets=[listener])
    return 0


class _AnnouncingServer(uvicorn.Server):
    """Says where it listens, once it does."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for listener in sockets or []:
            sys.stdout.write(json.dumps({"port": listener.getsockname()[1]}) + "\n")
            sys.stdout.flush()


def _die_with(parent: int) -> None:
    """End this process when `parent` ends, however it ends.

    Linux sends the signal also when only the thread that started us ends, so the handler looks before it leaps. Where
    there is no prctl (macOS), an orderly `stop()` is all there is.
    """

    def parent_ended(_signal: int, _frame: FrameType | None) -> None:
        if os.getppid() != parent:
            os._exit(0)

    signal.signal(signal.SIGUSR1, parent_ended)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGUSR1)
    # The parent may have ended before the line above.
    if os.getppid() != parent:
        sys.exit(0)


def _options() -> argparse.Namespace:
    defaults = WorldSettings()
    parser = argparse.ArgumentParser(prog="python -m thumbrank_core.simulator", description=__doc__)
    parser.add_argument("--seed", type=int, default=defaults.seed)
    parser.add_argument("--effect", type=float, default=defaults.effect)
    parser.add_argument("--channels-per-niche", type=int, default=defaults.channels_per_niche)
    parser.add_argument("--videos-per-channel", type=int, default=defaults.videos_per_channel)
    parser.add_argument("--title-mentions", type=float, default=defaults.title_mentions)
    parser.add_argument("--as-of", type=datetime.fromisoformat, default=defaults.as_of)
    parser.add_argument("--niches", type=lambda text: tuple(text.split(",")), default=defaults.niches)
    parser.add_argument("--large-pictures", type=float, default=defaults.large_pictures)
    parser.add_argument("--made-for-kids", type=float, default=defaults.made_for_kids)
    parser.add_argument("--behaviour", type=Behaviour.from_json, default=Behaviour())
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--parent", type=int, default=0, help="the process id with which to end")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
