"""The open connections, so that one can be closed without an answer. Nothing of HTTP."""

import asyncio

from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.auto import AutoHTTPProtocol


class Connections:
    """Transports by the address of who is at the other end."""

    def __init__(self) -> None:
        self._transports: dict[tuple[str, int], asyncio.Transport] = {}

    def protocol(self) -> type[asyncio.Protocol]:
        """uvicorn's HTTP protocol, which tells us of each connection."""
        transports = self._transports

        class Watched(AutoHTTPProtocol):
            def connection_made(self, transport: asyncio.Transport) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
                self._peer = _peer(transport)
                transports[self._peer] = transport
                super().connection_made(transport)

            def connection_lost(self, exc: Exception | None) -> None:
                transports.pop(self._peer, None)
                super().connection_lost(exc)

        return Watched

    def abort(self, peer: tuple[str, int]) -> None:
        """Close a connection at once, whatever was still to be sent."""
        self._transports[peer].abort()


class Dropped(Response):
    """The answer that never comes."""

    def __init__(self, connections: Connections) -> None:
        super().__init__()
        self._connections = connections

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Close the connection and wait until the server has noticed, for it would answer 500 in our place."""
        self._connections.abort(tuple(scope["client"]))
        while (await receive())["type"] != "http.disconnect":
            pass


def _peer(transport: asyncio.Transport) -> tuple[str, int]:
    address = transport.get_extra_info("peername")
    return str(address[0]), int(address[1])
