"""A simulated YouTube with consent inside the test's own process: its clock moves, and any request can be meddled with."""

import json
import re
import socket
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import uvicorn
from psycopg import sql
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from thumbrank_core.settings import Settings
from thumbrank_core.simulator.api import create_app
from thumbrank_core.simulator.clock import Clock
from thumbrank_core.simulator.oauth import client_secrets
from thumbrank_core.simulator.world import World, WorldSettings
from thumbrank_core.store.database import Database
from thumbrank_core.youtube.reach.sync import LoggedIn, Reach, Synced, login, sync_all
from thumbrank_core.youtube.reach.transport import Transport

WORLD = WorldSettings(seed=3, channels_per_niche=1, videos_per_channel=40)
TWO_DAYS = timedelta(hours=48)
BACKFILLED = 31
"""The day of the order and the 30 before it."""
Meddle = Callable[[Request], Response | None]


@dataclass
class Google:
    """What answers; `meddle` may answer instead, and `asked` counts requests by method and kind of path."""

    endpoint: str
    app: ASGIApp
    clock: Clock
    meddle: Meddle | None = None
    asked: Counter[str] = field(default_factory=Counter)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        self.asked[kind_of(request)] += 1
        answer = self.meddle(request) if self.meddle else None
        await (answer or self.app)(scope, receive, send)


def kind_of(request: Request) -> str:
    """ "GET reports", "POST token", "GET media"."""
    path = request.url.path
    kind = "media" if "/media/" in path else path.rstrip("/").rpartition("/")[2]
    return f"{request.method} {kind}"


class _Switch:
    """One server for all tests; a fresh application for each."""

    google: Google

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.google(scope, receive, send)


@contextmanager
def serving() -> Iterator[tuple[str, _Switch]]:
    """A server on 127.0.0.1 and the switch to its application."""
    switch = _Switch()
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(switch, log_level="error", access_log=False, lifespan="off"))
    thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
    thread.start()
    deadline = time.monotonic() + 10
    while not server.started and time.monotonic() < deadline:
        time.sleep(0.005)
    assert server.started
    yield f"http://127.0.0.1:{listener.getsockname()[1]}", switch
    server.should_exit = True
    thread.join(timeout=10)
    assert not thread.is_alive()


def google_of(served: tuple[str, _Switch], world: World) -> Google:
    """A fresh Google for one world."""
    endpoint, switch = served
    clock = Clock(world.settings.as_of)
    switch.google = Google(endpoint, create_app(world, clock=clock), clock)
    return switch.google


def settings_of(google: Google, home: Path) -> Settings:
    """Settings that point at it, with the client file where they say."""
    file = home / "client_secret.json"
    home.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(client_secrets(google.endpoint)))
    return Settings(THUMBRANK_HOME=home, YOUTUBE_API_ENDPOINT=google.endpoint, THUMBRANK_OAUTH_CLIENT=file)


def reach_of(google: Google, home: Path, db: Database) -> Reach:
    """As the commands make it, but without waiting before another attempt."""
    return replace(Reach.of(settings_of(google, home), db), transport=lambda: Transport(pause=lambda _seconds: None))


@dataclass
class Browser:
    """Somebody with a browser, who owns a channel: opens the address, chooses it and is sent back. `pages`: what they saw."""

    channel_id: str
    pages: list[str] = field(default_factory=list)
    thread: threading.Thread | None = None

    def open(self, address: str, port: int | None = None) -> Any:
        """As webbrowser.open, which answers True, and as `show`, whose answer nobody reads."""
        self.thread = threading.Thread(target=self._consent, args=(address,), daemon=True)
        self.thread.start()
        return True

    def _consent(self, address: str) -> None:
        back = urlsplit(parse_qs(urlsplit(address).query)["redirect_uri"][0])
        with socket.create_connection((back.hostname, back.port)):  # browsers connect ahead and say nothing
            self._get(address)
            for wrong in ("favicon.ico", "?state=guessed&code=4/stolen"):
                self._get(f"{back.geturl()}{wrong}")
            self._get(f"{address}&channel_id={self.channel_id}")

    def _get(self, address: str) -> None:
        try:
            with urllib.request.urlopen(address, timeout=10) as answer:
                self.pages.append(answer.read().decode())
        except urllib.error.HTTPError as error:
            self.pages.append(f"{error.code} {error.read().decode()}")


def log_in(reach: Reach, channel_id: str) -> LoggedIn:
    """An owner's consent, with everything that is between."""
    return login(reach, Browser(channel_id).open, wait_seconds=10)


def sync_one(reach: Reach) -> Synced:
    """One sync where there is one owner."""
    [found] = sync_all(reach)
    return found


def stored(db: Database, owner_id: str | None = None) -> list[tuple]:
    """Rows of reach_daily, sorted."""
    with db.connection() as connection:
        return connection.execute(
            "select owner_id, source, video_id, first_day, last_day, impressions, click_rate, issued_at "
            "from thumbrank.reach_daily where %(o)s::text is null or owner_id = %(o)s order by 1, 2, 3, 4",
            {"o": owner_id},
        ).fetchall()


def emptied(db: Database) -> Database:
    """The same database as if new: many times faster than one for each test."""
    tables = ("reach_daily", "reach_reports", "reach_owners", "tombstones", "retention_audit")
    with db.connection() as connection:
        connection.execute("truncate " + ", ".join(f"thumbrank.{table}" for table in tables))
    return db


def count(db: Database, table: str) -> int:
    """Rows of a table."""
    with db.connection() as connection:
        statement = sql.SQL("select count(*)::int from thumbrank.{}").format(sql.Identifier(table))
        return connection.execute(statement).fetchall()[0][0]


def refresh_token(home: Path, owner_id: str) -> str:
    """What nobody may see."""
    return json.loads((home / "owners" / f"{owner_id}.json").read_text())["refresh_token"]


def withdraw(google: Google, token: str) -> None:
    """The owner removes us at Google."""
    urllib.request.urlopen(f"{google.endpoint}/revoke", data=f"token={token}".encode(), timeout=10).close()


def csv_answer(text: str, **headers: str) -> Response:
    """A report's body."""
    return Response(text.encode(), media_type="text/csv", headers=headers)


SECRET = re.compile(r"owner-UC[\w-]{22}\.\w|GOCSPX|1//|4/[\w-]{20}")
"""What an access token, the client's secret, a refresh token and a code look like in the simulator."""
